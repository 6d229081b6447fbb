//! Somebody is in the way: it is tried again, and then told who it is.

use super::{Running, TENANTS, configure, plan, report};
use crate::lab::{Lab, assert_same, fault};
use crate::semantics_postgres::{Holder, wait_for};
use std::io::Write;
use std::process::{Command, Stdio};

const IMPATIENT: &str = "[purge]\nlock_timeout = \"3s\"\nattempts_max = 2\npause_first = \"10ms\"";

#[test]
fn who_holds_a_lock_is_told_without_what_it_runs() {
    // Who is no superuser may not see the state of other people's sessions.
    let labs =
        [(Lab::postgres(TENANTS), "holder, idle in transaction"), (Lab::postgres(TENANTS).owned(), "holder")];
    for (lab, who) in labs {
        configure(&lab, IMPATIENT);
        plan(&lab);
        let before = lab.picture();
        let holder =
            Holder::of(&lab, "UPDATE users SET id = id WHERE tenant_id = 2; SELECT 'a secret of a row'");
        let answer = lab.try_purge();
        let says = [
            "purge `r-1` stopped at batch ",
            "2 attempts failed: removing a batch failed: canceling statement due to lock timeout",
            &format!("({who}) holds the lock on `users`"),
            "unseed resume r-1",
        ];
        let text = fault(&answer, 4, &says);
        assert!(!text.contains("secret") && !text.contains("UPDATE"), "{text}");
        let pid = lab.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'holder' AND datname = current_database()");
        assert!(text.contains(&format!("session {pid} ")), "{text}");
        assert!(answer.stderr.contains("closing again"), "{answer:?}");
        drop(holder);
        assert_same(&lab.picture(), &before);
        lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
        assert_eq!(lab.count("tenants"), 1);
        lab.verify("r-1");
    }
}

/// A migration holds a table that is only read: the wait has an end there too, in every step.
#[test]
fn a_table_that_a_migration_holds_is_waited_for_a_while() {
    let lab = Lab::postgres(TENANTS);
    configure(&lab, IMPATIENT);
    plan(&lab);
    let migration = Holder::of(&lab, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE");
    let answer = lab.try_purge();
    fault(
        &answer,
        4,
        &[
            "purge `r-1` stopped before its first batch: 2 attempts failed: ",
            "lock timeout",
            "nothing was changed",
        ],
    );
    drop(migration);
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(lab.count("tenants"), 1);
}

/// The lock is free again before the last attempt: nobody has to do anything.
#[test]
fn a_lock_that_is_given_up_costs_an_attempt() {
    let lab = Lab::postgres(TENANTS);
    configure(
        &lab,
        "[purge]\nlock_timeout = \"500ms\"\nattempts_max = 200\npause_first = \"10ms\"\npause_max = \"100ms\"",
    );
    plan(&lab);
    let holder = Holder::of(&lab, "UPDATE users SET id = id WHERE tenant_id = 2");
    let mut purge = Running::purge(&lab);
    purge.says("(holder, idle in transaction) holds the lock");
    drop(holder);
    let answer = purge.end();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(report(&lab, "r-1")["retries"].as_u64().unwrap() >= 1);
    lab.verify("r-1");
}

/// Each waits for what the other has; the server ends the purge's transaction, since the other does not look.
#[test]
fn a_deadlock_is_tried_again() {
    // It looks for a deadlock once, so long after it began to wait.
    let lab = Lab::postgres(TENANTS).with_setting("deadlock_timeout=10s");
    configure(&lab, "[purge]\nlock_timeout = \"60s\"");
    plan(&lab);
    let mut other = lab.database().server().client("psql", lab.database().name());
    let mut other = other
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = other.stdin.take().unwrap();
    let first = "SET application_name = 'other'; SET deadlock_timeout = '1h'; BEGIN; \
        SELECT id FROM users WHERE tenant_id = 2 FOR UPDATE;\n";
    input.write_all(first.as_bytes()).unwrap();
    let holds = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'other' AND \
        datname = current_database() AND state = 'idle in transaction' AND query ~ 'FOR UPDATE'";
    wait_for(&lab, holds, "1");
    let mut purge = Running::purge(&lab);
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity a WHERE application_name = 'unseed' AND \
        datname = current_database() AND wait_event_type = 'Lock'";
    wait_for(&lab, waits, "t");
    // The purge has its roots and waits for the users; now the other wants a root.
    input.write_all(b"SELECT id FROM tenants WHERE id = 2 FOR UPDATE;\n").unwrap();
    purge.says("deadlock detected");
    input.write_all(b"COMMIT;\n").unwrap();
    drop(input);
    assert!(other.wait().unwrap().success(), "the other one got what it wanted");
    let answer = purge.end();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.stderr.contains("closing again"), "{answer:?}");
    assert_eq!(lab.count("tenants"), 1);
    lab.verify("r-1");
}

#[test]
fn a_statement_that_takes_too_long_is_ended_and_tried_again() {
    let lab = Lab::postgres(&format!(
        "{TENANTS} CREATE TABLE slow (yes bool); INSERT INTO slow VALUES (true);
         CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF (SELECT yes FROM slow) THEN PERFORM pg_sleep(30); END IF; RETURN OLD; END $$;
         CREATE TRIGGER linger BEFORE DELETE ON tenants FOR EACH ROW EXECUTE FUNCTION linger();"
    ));
    configure(&lab, "[purge]\nstatement_timeout = \"5s\"\nattempts_max = 2\npause_first = \"10ms\"");
    plan(&lab);
    let says = ["2 attempts failed: removing a batch failed: canceling statement due to statement timeout"];
    fault(&lab.try_purge(), 4, &says);
    assert_eq!(lab.count("tenants"), 60);
    lab.sql("UPDATE slow SET yes = false");
    configure(&lab, "");
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(lab.count("tenants"), 1);
    lab.verify("r-1");
}

/// In this mode a reader keeps a commit from happening, after everything was proven.
#[test]
fn a_commit_that_a_reader_keeps_from_happening_never_counts() {
    let lab = Lab::sqlite(TENANTS);
    configure(&lab, "[purge]\nlock_timeout = \"300ms\"\nattempts_max = 2\npause_first = \"10ms\"");
    lab.plan("tenants: id > 1", &[]);
    let before = lab.picture();
    let flag = lab.path("reads");
    let mut reader =
        Command::new("sqlite3").arg(lab.file()).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut input = reader.stdin.take().unwrap();
    let script = format!("BEGIN;\nSELECT count(*) FROM tenants;\n.shell touch {}\n", flag.display());
    input.write_all(script.as_bytes()).unwrap();
    let begun = std::time::Instant::now();
    while !flag.exists() {
        assert!(begun.elapsed() < super::LONG);
    }
    let says = ["2 attempts failed: committing failed: database is locked", "unseed resume r-1"];
    fault(&lab.try_purge(), 4, &says);
    input.write_all(b"COMMIT;\n").unwrap();
    drop(input);
    reader.wait().unwrap();
    assert_same(&lab.picture(), &before);
    assert_eq!(lab.json(0, &["runs"])["runs"][0]["batches"]["done"], 0);
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(lab.count("tenants"), 1);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}
