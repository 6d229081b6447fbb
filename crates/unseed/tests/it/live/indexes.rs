//! Indexes for the time of a run: chosen, shown, and gone afterwards whatever happens.

use super::{Running, configure, report};
use crate::lab::{Lab, fault};
use serde_json::json;

/// A key without an index under which many rows leave, and one of its neighbours.
const UNINDEXED: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY);
    CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
    CREATE TABLE sessions (id int PRIMARY KEY, \"the user\" int NOT NULL REFERENCES users);
    CREATE INDEX ON users (tenant_id);
    INSERT INTO tenants SELECT g FROM generate_series(1, 20) g;
    INSERT INTO users SELECT g, 1 + g % 20 FROM generate_series(1, 4000) g;
    INSERT INTO sessions SELECT g, 1 + g % 4000 FROM generate_series(1, 7000) g; ANALYZE;
    CREATE TABLE gate (shut int); INSERT INTO gate VALUES (0);";

const OURS: &str = "SELECT count(*) FROM pg_class WHERE relname ~ '^unseed_tmp_'";

#[test]
fn what_is_built_is_a_choice_that_the_plan_shows() {
    let lab = Lab::postgres(UNINDEXED).owned();
    let planned =
        |choice: &str| lab.plan("tenants: id > 1", &["--build-indexes", choice]).0["indexes"].clone();
    assert_eq!(planned("never"), json!(null));
    lab.purge();
    assert_eq!(report(&lab, "r-1")["indexes"], json!(null));
    lab.restore("r-1");
    let auto = planned("auto");
    assert_eq!((auto[0]["table"].as_str(), &auto[0]["columns"]), (Some("sessions"), &json!(["the user"])));
    assert_eq!(auto.as_array().unwrap().len(), 1, "{auto}");
    let shown = lab.run(&["show", "plan.json"]).stdout;
    assert!(
        shown.contains("builds an index for the run: public.sessions (the user), which saves about"),
        "{shown}"
    );
    let id = lab.plan_id();
    let sql = lab.run(&["show", "plan.json", "--sql"]).stdout;
    let statement =
        format!("CREATE INDEX CONCURRENTLY \"unseed_tmp_{id}_1\" ON \"public\".\"sessions\" (\"the user\")");
    assert!(sql.contains(&statement), "{sql}");
    let answer = lab.try_purge();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.stderr.contains("built an index for the run: public.sessions (the user)"), "{answer:?}");
    let built = report(&lab, "r-2")["indexes"].clone();
    assert_eq!(
        (built[0]["name"].as_str(), built[0]["state"].as_str()),
        (Some(format!("public.unseed_tmp_{id}_1").as_str()), Some("dropped"))
    );
    assert_eq!(lab.sql(OURS), "0");
    let log = lab.run(&["audit", "export"]).stdout;
    for word in ["index.build", "index.drop"] {
        assert!(log.contains(word), "{log}");
    }
    // Where checks are skipped nothing is gained, unless somebody wants it.
    let lab = Lab::postgres(UNINDEXED);
    assert_eq!(lab.plan("tenants: id > 1", &[]).0["indexes"], json!(null));
    let always = lab.plan("tenants: id > 1", &["--build-indexes", "always"]).0["indexes"].clone();
    assert_eq!(always.as_array().unwrap().len(), 1, "{always}");
    lab.purge();
    assert_eq!(lab.sql(OURS), "0");
    let lite =
        Lab::sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1), (2, 2);");
    let answer = lite.try_plan("t: id = 1", &["--build-indexes", "always"]);
    fault(&answer, 2, &["sqlite builds no indexes for the time of a run"]);
}

/// Some on one table, some on several, and one on a table of somebody else: two connections build them.
#[test]
fn many_are_built_and_what_cannot_be_is_told() {
    let children: String = (0..5)
        .map(|n| {
            format!(
                "CREATE TABLE \"Child {n}\" (id int PRIMARY KEY, a int REFERENCES users, b int NOT NULL REFERENCES users);
                 INSERT INTO \"Child {n}\" SELECT g, g, 1 + g % 4000 FROM generate_series(1, 4000) g;"
            )
        })
        .collect();
    let lab = Lab::postgres(&format!("{UNINDEXED} {children} ANALYZE")).owned();
    lab.sql("ALTER TABLE \"Child 3\" OWNER TO CURRENT_USER; GRANT ALL ON \"Child 3\" TO PUBLIC");
    let before = lab.picture();
    let plan = lab.plan("tenants: id > 1", &["--build-indexes", "always"]);
    assert_eq!(plan.0["indexes"].as_array().map(Vec::len), Some(11), "{}", plan.0["indexes"]);
    lab.purge();
    let built = report(&lab, "r-1")["indexes"].clone();
    let states: Vec<&str> = built.as_array().unwrap().iter().map(|i| i["state"].as_str().unwrap()).collect();
    assert_eq!(states.iter().filter(|state| **state == "dropped").count(), 9, "{built}");
    let skipped: Vec<_> = built.as_array().unwrap().iter().filter(|i| i["state"] == "skipped").collect();
    assert_eq!(skipped.len(), 2);
    for index in skipped {
        assert!(index["on"].as_str().unwrap().contains("Child 3"), "{built}");
        assert!(index["says"].as_str().unwrap().contains("does not own the table"), "{built}");
    }
    assert_eq!(lab.sql(OURS), "0");
    let log = lab.run(&["audit", "export"]).stdout;
    let counted =
        |outcome: &str| log.lines().filter(|line| line.contains("index.") && line.contains(outcome)).count();
    assert_eq!(["started", "\"built", "not built", "dropped"].map(counted), [11, 9, 2, 9], "{log}");
    lab.verify("r-1");
    lab.restore("r-1");
    crate::lab::assert_same(&lab.picture(), &before);
}

/// The process dies after an index was built. Whoever comes next knows of it.
#[test]
fn what_a_killed_run_left_is_known_and_goes() {
    for spoilt in [false, true] {
        let lab = Lab::postgres(UNINDEXED).owned();
        lab.plan("tenants: id > 1", &[]);
        let name = format!("public.unseed_tmp_{}_1", lab.plan_id());
        lab.sql("UPDATE gate SET shut = 9");
        let throttled = "[throttle]\nquery = \"SELECT shut FROM public.gate\"\nquery_max = 1";
        configure(&lab, throttled);
        let mut purge = Running::purge(&lab);
        purge.says("waiting: the throttle query returned 9 > 1");
        // A run at work keeps its indexes, whatever other runs clean up.
        let other = lab.path("other");
        std::fs::create_dir_all(&other).unwrap();
        let state = other.display().to_string();
        let url = lab.url();
        std::fs::write(lab.path("bare.toml"), "").unwrap();
        let bare = ["--config", "bare.toml", "--state", &state];
        let plan =
            ["plan", &url, "--where", "tenants: id = 1", "-o", "other.json", "--build-indexes", "never"];
        assert_eq!(lab.run(&[&plan[..], &bare[..]].concat()).code, Some(0));
        let text = std::fs::read_to_string(lab.path("other.json")).unwrap();
        let id = serde_json::from_str::<serde_json::Value>(&text).unwrap()["id"].as_str().unwrap().to_owned();
        let done = lab.run(&[&["purge", "other.json", "--confirm", &id], &bare[..]].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(lab.sql(OURS), "1");
        purge.kill();
        let runs = lab.json(0, &["runs"]);
        assert_eq!(runs["runs"][0]["indexes_left"], json!([name]), "{runs}");
        let table = lab.run(&["runs"]).stdout;
        assert!(table.contains(&format!("may still be there: {name}; `unseed resume r-1`")), "{table}");
        let valid = "SELECT indisvalid FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE relname ~ '^unseed_tmp_'";
        assert_eq!(lab.sql(valid), "t");
        if spoilt {
            // As after a crash in the middle of building it.
            lab.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid IN (SELECT oid FROM pg_class WHERE relname ~ '^unseed_tmp_')");
        }
        lab.sql("UPDATE gate SET shut = 0");
        lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
        assert_eq!(lab.sql(OURS), "0");
        assert_eq!(lab.json(0, &["runs"])["runs"][0]["indexes_left"], json!([]));
        assert_eq!(lab.count("tenants"), 0);
        lab.verify("r-1");
    }
}

/// Nobody resumes: a restore, or the next run of anybody, cleans up.
#[test]
fn another_run_drops_what_a_dead_one_left() {
    let lab = Lab::postgres(UNINDEXED).owned();
    lab.plan("tenants: id > 1", &[]);
    lab.sql("UPDATE gate SET shut = 9");
    configure(&lab, "[throttle]\nquery = \"SELECT shut FROM public.gate\"\nquery_max = 1");
    let mut purge = Running::purge(&lab);
    purge.says("waiting: ");
    purge.kill();
    assert_eq!(lab.sql(OURS), "1");
    configure(&lab, "");
    // The server lets go of the lock of a dead session when it notices.
    crate::semantics_postgres::wait_for(
        &lab,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'unseed' AND datname = current_database()",
        "0",
    );
    lab.plan("tenants: id = 1", &["--build-indexes", "never"]);
    lab.purge();
    assert_eq!(lab.sql(OURS), "0");
}
