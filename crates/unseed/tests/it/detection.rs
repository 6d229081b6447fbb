//! How well records with a known truth are told apart, by the binary, on the part of the corpus that nobody looks at
//! while signals are made.

use crate::lab::Lab;
use crate::support::Sandbox;
use std::process::{Command, Stdio};
use unseed_testkit::corpus::measure::{Summary, measure};
use unseed_testkit::corpus::{Part, lines, records};

#[track_caller]
fn change(sandbox: &Sandbox, script: &str) {
    unseed_io::sample::change(&sandbox.path("app.db"), script).unwrap();
}

fn classified(part: Part) -> Summary {
    let records = records(part);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records.ndjson");
    std::fs::write(&file, lines(&records)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_unseed"))
        .args(["classify", "--format", "ndjson", "--quiet"])
        .arg(&file)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    measure(&records, &String::from_utf8(output.stdout).unwrap())
}

#[test]
fn held_out_records_are_told_apart_as_promised() {
    let summary = classified(Part::HeldOut);
    let mistakes = summary.mistakes.join("\n");
    for (kind, counts) in &summary.by_kind {
        assert!(counts.precision() >= 0.995, "{kind}: {counts:?}\n{mistakes}");
        assert!(counts.recall() >= 0.90, "{kind}: {counts:?}\n{mistakes}");
    }
    // A score of nine in ten and more is worth as much.
    let last = summary.steps[9];
    assert!(f64::from(last.test) >= 0.99 * f64::from(last.records), "{last:?}\n{mistakes}");
}

#[test]
fn no_name_alone_makes_a_company_or_person_test_data() {
    for part in [Part::Train, Part::HeldOut] {
        let summary = classified(part);
        for (source, counts) in &summary.by_source {
            assert!(
                !source.contains("look like tests") && !source.contains("bare names") || counts.wrong == 0,
                "{source}: {counts:?}\n{}",
                summary.mistakes.join("\n")
            );
        }
    }
}

#[test]
fn the_whole_sum_of_a_row_is_shown_whatever_its_verdict() {
    let sandbox = Sandbox::new(5);
    let text = sandbox.expect(0, &["scan", "app.db", "--explain", "tenants:101"]);
    assert!(
        text.contains("is test") && text.contains("name.machine-suffix") && text.contains("prior"),
        "{text}"
    );
    let real = sandbox.json(0, &["scan", "app.db", "--explain", "tenants:1"]);
    assert_eq!((&real["format"], &real["rows"][0]["verdict"]), (&"unseed.explain/1".into(), &"real".into()));
    let row = &sandbox.json(0, &["scan", "app.db", "--explain", "tenants:101"])["rows"][0];
    let counts = row["signals"].as_array().unwrap().iter().map(|s| s["counts"].as_f64().unwrap());
    let sum = row["prior"].as_f64().unwrap() + counts.sum::<f64>();
    assert!((sum - row["log_odds"].as_f64().unwrap()).abs() < 1e-9);
    // A key that tenants and users share shows both; one that nobody has is a mistake.
    assert_eq!(sandbox.json(0, &["scan", "app.db", "--explain", "101"])["rows"].as_array().unwrap().len(), 2);
    sandbox.expect(2, &["scan", "app.db", "--explain", "tenants:7777"]);
}

#[test]
fn a_baseline_leaves_only_what_is_new() {
    let sandbox = Sandbox::new(5);
    sandbox.expect(1, &["scan", "app.db", "-o", "before.json"]);
    let same = sandbox.json(0, &["scan", "app.db", "--baseline", "before.json"]);
    assert_eq!(same["findings"], serde_json::json!([]));
    let tenants = same["tables"].as_array().unwrap().iter().find(|t| t["table"] == "tenants").unwrap();
    assert_eq!((&tenants["known"], &tenants["test"]), (&5.into(), &0.into()));
    change(&sandbox, "INSERT INTO tenants VALUES (999, 'E2E Org 00d2be', '2026-05-05 03:04:05')");
    let more = sandbox.json(1, &["scan", "app.db", "--baseline", "before.json"]);
    assert_eq!(more["findings"].as_array().unwrap().len(), 1);
    assert_eq!(more["findings"][0]["key"]["id"], "999");
    sandbox.expect(1, &["scan", "app.db", "--baseline", "before.json", "--html", "new.html"]);
    let page = std::fs::read_to_string(sandbox.path("new.html")).unwrap();
    assert!(
        page.contains("are new test data") && page.contains("<bdi>before.json</bdi> lists already"),
        "{page}"
    );
    let months = more["timeline"].as_array().unwrap();
    assert_eq!(months.iter().map(|m| m["test"].as_u64().unwrap()).sum::<u64>(), 1, "{months:?}");
    sandbox.write("other.json", "{\"format\":\"unseed.plan/1\",\"findings\":[]}");
    sandbox.expect(2, &["scan", "app.db", "--baseline", "other.json"]);
}

#[test]
fn the_configuration_decides_over_thresholds_rules_and_lists() {
    let sandbox = Sandbox::new(5);
    let test = |toml: &str| -> u64 {
        sandbox.write("unseed.toml", toml);
        let answer = sandbox.run(&["scan", "app.db", "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
        report["tables"].as_array().unwrap().iter().map(|t| t["test"].as_u64().unwrap()).sum()
    };
    let plain = test("");
    assert!(plain >= 5);
    let rule = "[[detect.rules]]\nid = \"ours\"\nentity = \"tenant\"\nfield = \"name\"\npattern = \"brennan*\"\nweight = 9\n";
    assert!(test(rule) > plain);
    assert!(test("[detect.allow]\ntenant.name = \"Test Tenant*\"\nuser.email = \"*@example.com\"\n") < plain);
    assert!(test("[detect]\ntest = 0.9999999\nsuspect = 0.999999\n") < plain);
}

#[test]
fn hostile_text_in_a_store_neither_ends_a_scan_nor_passes_for_test_data() {
    let sandbox = Sandbox::new(5);
    let long = format!("'{}'", "a".repeat(1_000_000));
    let labels = format!("'x@{}com'", "a.".repeat(10_000));
    let marks = format!("'e{}'", "\u{301}".repeat(100_000));
    for (n, text) in
        (5_000..).zip([&long, &labels, &marks, "'\u{202e}tset\u{202c}'", "'a' || char(0) || 'b'", "''"])
    {
        change(&sandbox, &format!("INSERT INTO tenants VALUES ({n}, {text}, {text})"));
        change(&sandbox, &format!("INSERT INTO users VALUES ({n}, 1, {text}, {text})"));
    }
    change(&sandbox, "INSERT INTO tenants VALUES (6000, CAST(x'ff00fe' AS TEXT), x'00ff')");
    let report = sandbox.json(1, &["scan", "app.db"]);
    let tenants = report["tables"].as_array().unwrap().iter().find(|t| t["table"] == "tenants").unwrap();
    assert_eq!((&tenants["rows"], &tenants["test"]), (&14.into(), &5.into()));
    // Hostile text in rows that are test data reaches the page and the terminal, short and harmless.
    let marked = "'Test \u{202e}User</td><script>alert(1)</script>' || char(0) || 'x'";
    let wide = "'Test <b>' || hex(zeroblob(500000))";
    for (n, name) in (7_000..).zip([marked, wide]) {
        change(&sandbox, &format!("INSERT INTO users VALUES ({n}, 1, 'test@example.com', {name})"));
    }
    change(&sandbox, "CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT, email TEXT)");
    change(
        &sandbox,
        "INSERT INTO customers VALUES (hex(zeroblob(500000)), 'Test Customer 5', 'test@example.com')",
    );
    let text = sandbox.expect(1, &["scan", "app.db", "--html", "page.html"]);
    let page = std::fs::read_to_string(sandbox.path("page.html")).unwrap();
    assert!(text.len() < 50_000 && page.len() < 100_000, "{} and {} bytes", text.len(), page.len());
    for bad in ["<script", "<b>Test", "\u{202e}", "\0"] {
        assert!(!page.contains(bad) && !text.contains('\u{202e}'), "{bad:?}");
    }
}

/// Somebody at another tenant to whom rows of the protected one refer, and somebody to whom only rows of the other do.
fn protected_tenants_speak(lab: &Lab<'_>) {
    let signal = |user: u32, protect: &str| {
        std::fs::write(lab.path("unseed.toml"), format!("[protect]\n{protect}\n")).unwrap();
        let told = lab.json(0, &["scan", &lab.url(), "--explain", &format!("users:{user}")]);
        let signals = told["rows"][0]["signals"].as_array().unwrap();
        signals.iter().find(|s| s["id"] == "graph.protected").map(|s| s["says"].as_str().unwrap().to_owned())
    };
    let protect = "tenants.id = [\"1\"]";
    assert_eq!(signal(21, protect).as_deref(), Some("3 rows of protected tenants refer to it"));
    assert_eq!(signal(22, protect), None);
    assert_eq!(signal(21, ""), None);
    // What the command line protects, by a predicate here, is asked for as well.
    let roots = |more: &[&str]| {
        let url = lab.url();
        let plan = [&["plan", &url, "--findings", "--max-share", "1", "-o", "some.json"], more].concat();
        lab.json(0, &plan)["roots"][0]["keys"].as_array().unwrap().len()
    };
    assert_eq!(roots(&[]), 2);
    assert_eq!(roots(&["--protect", "tenants: name = 'Brennan'"]), 1);
}

const MESSAGES: &str = "
    CREATE TABLE tenants (id integer PRIMARY KEY, name varchar(80));
    CREATE TABLE users (id integer PRIMARY KEY, tenant_id integer, name varchar(80), email varchar(80),
        FOREIGN KEY (tenant_id) REFERENCES tenants (id));
    CREATE TABLE messages (id integer PRIMARY KEY, tenant_id integer NOT NULL, recipient_id integer,
        FOREIGN KEY (tenant_id) REFERENCES tenants (id), FOREIGN KEY (recipient_id) REFERENCES users (id));
    INSERT INTO tenants VALUES (1, 'Brennan'), (2, 'Harbor Foods');
    INSERT INTO users VALUES (11, 1, 'Maria Okafor', 'maria@brennan.com'), (21, 2, 'Jane Keller', 'demo12@mailinator.com'),
        (22, 2, 'Jane Keller', 'demo13@mailinator.com');
    INSERT INTO messages VALUES (1, 1, 21), (2, 1, 21), (3, 1, 21), (4, 2, 22), (5, 2, 22), (6, 1, NULL)";

#[test]
fn references_from_protected_tenants_speak_against_in_postgresql() {
    protected_tenants_speak(&Lab::postgres(MESSAGES));
}

#[test]
fn references_from_protected_tenants_speak_against_in_mariadb() {
    protected_tenants_speak(&Lab::mariadb(MESSAGES));
}

#[test]
fn references_from_protected_tenants_speak_against_in_sqlite() {
    protected_tenants_speak(&Lab::sqlite(MESSAGES));
}
