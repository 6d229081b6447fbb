//! What programs read: documented fields, one document, nothing beside it.

use crate::support::Sandbox;
use serde_json::Value;

#[track_caller]
fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(*field).is_some(), "`{field}` is not in {value}");
    }
}

#[test]
fn scan_says_what_was_found_and_why() {
    let sandbox = Sandbox::new(5);
    let report = sandbox.json(1, &["scan", "app.db"]);
    has(&report, &["format", "store", "complete", "tables", "findings", "recommendations"]);
    assert_eq!((&report["format"], &report["store"]), (&"unseed.scan/1".into(), &"main".into()));
    assert_eq!(report["complete"], true);
    has(&report["tables"][0], &["table", "entity", "rows", "test", "suspect"]);
    has(&report["findings"][0], &["table", "key", "label", "score", "verdict", "signals"]);
    has(&report["findings"][0]["signals"][0], &["id", "weight", "says"]);
    let tenants = report["tables"].as_array().unwrap().iter().find(|t| t["table"] == "tenants").unwrap();
    assert_eq!((&tenants["rows"], &tenants["test"]), (&7.into(), &5.into()));
}

#[test]
fn a_clean_store_ends_with_zero_and_a_dirty_one_with_one() {
    let sandbox = Sandbox::new(5);
    sandbox.expect(1, &["scan", "app.db"]);
    let id = sandbox.plan(&[]);
    sandbox.expect(0, &["purge", "plan.json", "--confirm", &id]);
    sandbox.expect(0, &["scan", "app.db"]);
}

#[test]
fn table_page_and_json_of_a_scan_agree() {
    let sandbox = Sandbox::new(5);
    let text = sandbox.expect(1, &["scan", "app.db", "--html", "page.html", "-o", "scan.json"]);
    let file: Value = serde_json::from_slice(&std::fs::read(sandbox.path("scan.json")).unwrap()).unwrap();
    assert_eq!(file, sandbox.json(1, &["scan", "app.db"]));
    let page = std::fs::read_to_string(sandbox.path("page.html")).unwrap();
    for finding in file["findings"].as_array().unwrap().iter().take(3) {
        let label = finding["label"].as_str().unwrap();
        assert!(page.contains(label) && text.contains(label), "`{label}` in page and table");
    }
}

#[test]
fn plan_has_the_documented_fields() {
    let sandbox = Sandbox::new(3);
    sandbox.plan(&[]);
    let plan: Value = serde_json::from_slice(&std::fs::read(sandbox.path("plan.json")).unwrap()).unwrap();
    has(
        &plan,
        &["format", "id", "digest", "created_at", "created_by", "stores", "roots", "steps", "warnings"],
    );
    assert_eq!((&plan["format"], &plan["created_by"]), (&"unseed.plan/1".into(), &"dana".into()));
    assert!(plan["digest"].as_str().unwrap().starts_with("blake3:"));
    has(&plan["stores"][0], &["store", "schema_fingerprint"]);
    has(&plan["roots"][0], &["table", "count", "keys"]);
    let steps = plan["steps"].as_array().unwrap();
    let step = |table: &str| steps.iter().find(|s| s["table"] == table).unwrap();
    assert_eq!((&step("users")["action"], &step("users")["rows"]), (&"delete".into(), &6.into()));
    assert_eq!(step("users")["via"], "users.tenant_id → tenants.id (NO ACTION)");
    assert_eq!(
        (&step("notes")["action"], &step("notes")["columns"][0]),
        (&"detach".into(), &"reviewer_id".into())
    );
    assert_eq!(plan["conflicts"], Value::Array(Vec::new()));
    assert_eq!(sandbox.json(0, &["show", "plan.json"]), plan);
}

#[test]
fn runs_are_listed_newest_first_with_their_figures() {
    let sandbox = Sandbox::new(3);
    let empty = sandbox.json(0, &["runs"]);
    assert_eq!((&empty["format"], &empty["runs"]), (&"unseed.runs/1".into(), &Value::Array(Vec::new())));
    let first = sandbox.purged();
    sandbox.expect(0, &["restore", &first, "--confirm", &first]);
    let second = sandbox.purged();
    sandbox.expect(0, &["verify", &second]);
    let runs = sandbox.json(0, &["runs"]);
    let line = |index: usize| &runs["runs"][index];
    assert_eq!((&line(0)["id"], &line(0)["state"]), (&"r-2".into(), &"verified".into()));
    assert_eq!((&line(1)["id"], &line(1)["state"]), (&"r-1".into(), &"restored".into()));
    has(line(0), &["id", "plan", "state", "started_at", "batches", "rows"]);
    assert_eq!(line(0)["rows"], serde_json::json!({"deleted": 12, "detached": 1}));
    assert_eq!(line(0)["batches"], serde_json::json!({"done": 1, "total": 1}));
}

#[test]
fn verify_restore_and_show_have_formats_of_their_own() {
    let sandbox = Sandbox::new(3);
    let run = sandbox.purged();
    let verified = sandbox.json(0, &["verify", &run]);
    assert_eq!((&verified["format"], &verified["clean"]), (&"unseed.verify/1".into(), &true.into()));
    assert_eq!(sandbox.json(0, &["show", &run])["format"], "unseed.run/1");
    let sql = sandbox.json(0, &["show", "plan.json", "--sql"]);
    assert_eq!(sql["format"], "unseed.sql/1");
    assert!(!sql["statements"].as_array().unwrap().is_empty());
    let restored = sandbox.json(0, &["restore", &run, "--confirm", &run]);
    assert_eq!((&restored["format"], &restored["restored"]), (&"unseed.restore/1".into(), &true.into()));
    assert_eq!(restored["inserted"]["users"], 6);
}

#[test]
fn something_that_remains_ends_verify_with_one() {
    let sandbox = Sandbox::new(3);
    let run = sandbox.purged();
    let back = "INSERT INTO tenants VALUES (100, 'Test Tenant again', '2026-02-02 02:02:02')";
    unseed_io::sample::change(&sandbox.path("app.db"), back).unwrap();
    let verified = sandbox.json(1, &["verify", &run]);
    assert_eq!((&verified["clean"], &verified["verification"]["roots_present"]), (&false.into(), &1.into()));
    let answer = sandbox.run(&["verify", &run]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("1 of 3 roots is there"), "{answer:?}");
}

#[test]
fn a_restore_lists_what_is_in_its_way_and_changes_nothing() {
    let sandbox = Sandbox::new(3);
    let run = sandbox.purged();
    let db = sandbox.path("app.db");
    let back = "INSERT INTO tenants VALUES (100, 'A new customer', '2026-02-02 02:02:02')";
    unseed_io::sample::change(&db, back).unwrap();
    std::fs::copy(&db, sandbox.path("before.db")).unwrap();
    let restored = sandbox.json(1, &["restore", &run, "--confirm", &run]);
    assert_eq!(restored["restored"], false);
    assert_eq!(restored["conflicts"][0]["table"], "tenants");
    crate::support::assert_same(&db, &sandbox.path("before.db"));
}

#[test]
fn a_picture_is_drawn_and_completions_are_printed() {
    let sandbox = Sandbox::new(3);
    sandbox.plan(&[]);
    sandbox.expect(0, &["show", "plan.json", "--graph", "closure.svg"]);
    let svg = std::fs::read_to_string(sandbox.path("closure.svg")).unwrap();
    assert!(svg.contains("tenant_id · NO ACTION") && svg.contains("reviewer_id · detach"));
    assert!(sandbox.expect(0, &["completions", "bash"]).contains("unseed"));
}

#[test]
fn init_writes_a_configuration_that_works() {
    let sandbox = Sandbox::new(3);
    sandbox.expect(0, &["init", "app.db"]);
    let text = std::fs::read_to_string(sandbox.path("unseed.toml")).unwrap();
    assert!(text.contains("[entities.tenant]\ntable = \"tenants\""), "{text}");
    sandbox.expect(1, &["scan"]);
    assert_eq!(sandbox.run(&["init", "app.db"]).code, Some(2), "nothing is overwritten");
}

#[test]
fn notes_are_silent_when_asked_and_colour_is_off_in_a_file() {
    let sandbox = Sandbox::new(3);
    let answer = sandbox.run(&["plan", "app.db", "--where", "tenants: id >= 100", "-q"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""));
    assert!(!answer.stdout.contains('\u{1b}'));
    let answer = sandbox.run(&["show", "plan.json", "--color", "always"]);
    assert!(answer.stdout.contains('\u{1b}'));
}

#[test]
fn every_verb_has_help_with_an_example() {
    let sandbox = Sandbox::new(1);
    for verb in [
        "demo",
        "init",
        "scan",
        "classify",
        "plan",
        "show",
        "purge",
        "resume",
        "verify",
        "restore",
        "runs",
        "archive",
        "inventory",
        "completions",
    ] {
        let help = sandbox.expect(0, &[verb, "--help"]);
        assert!(help.contains("Example"), "{help}");
    }
    let help = sandbox.expect(0, &["--help"]);
    for planned in ["serve", "guard", "worker"] {
        assert!(!help.contains(planned), "`{planned}` is not built yet");
    }
}
