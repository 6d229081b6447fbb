//! What triggers do, seen by hooks and counts, and what neither of them sees.

use super::{LEFT, SHOP};
use crate::lab::{Lab, assert_same, fault};

#[track_caller]
fn refused(ddl: &str, says: &[&str]) {
    let lab = Lab::sqlite(ddl);
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    let mut all = vec!["the batch was rolled back"];
    all.extend(says);
    fault(&lab.try_purge(), 3, &all);
    assert_same(&lab.picture(), &before);
}

#[test]
fn a_trigger_that_keeps_a_row_is_refused_and_named() {
    let ddl = format!(
        "{SHOP} CREATE TRIGGER keep_it BEFORE DELETE ON users WHEN OLD.id = 3 BEGIN SELECT RAISE(IGNORE); END;"
    );
    refused(&ddl, &["1 of 2 rows of `users` could be deleted", "keep_it"]);
}

#[test]
fn a_trigger_that_objects_is_told_with_its_words() {
    let ddl = format!(
        "{SHOP} CREATE TRIGGER guard BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'sessions are for ever'); END;"
    );
    let lab = Lab::sqlite(&ddl);
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    fault(&lab.try_purge(), 4, &["sessions are for ever", "rolled back"]);
    assert_same(&lab.picture(), &before);
}

const COUNTER: &str = "
    CREATE TABLE totals (name TEXT PRIMARY KEY, users INTEGER); INSERT INTO totals VALUES ('users', 3), ('x', 9);
    CREATE TRIGGER count_down AFTER DELETE ON users BEGIN UPDATE totals SET users = users - 1 WHERE name = 'users'; END;";

#[test]
fn a_trigger_that_changes_a_row_that_stays_is_refused_and_named() {
    refused(
        &format!("{SHOP} {COUNTER}"),
        &["change 2 rows of `totals`", "trigger `count_down`", "--allow-effect totals"],
    );
}

#[test]
fn an_allowed_change_is_archived_and_a_restore_brings_the_old_row_back() {
    for key in ["", "WITHOUT ROWID"] {
        let counter = COUNTER.replace("users INTEGER)", &format!("users INTEGER) {key}"));
        let lab = Lab::sqlite(&format!("{SHOP} {counter}"));
        let before = lab.removes("tenants: id = 2", &["--allow-effect", "totals"], &LEFT);
        assert_eq!(lab.sql("SELECT users FROM totals WHERE name = 'users'"), "1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

#[test]
fn a_trigger_that_removes_rows_beyond_the_plan_is_refused_and_can_be_allowed() {
    let ddl = format!(
        "{SHOP} CREATE TABLE cache (tenant_id INTEGER, v); INSERT INTO cache VALUES (1, 'real'), (2, 'x'), (2, x'00');
         CREATE TRIGGER flush AFTER DELETE ON tenants BEGIN DELETE FROM cache WHERE tenant_id = OLD.id; END;"
    );
    refused(&ddl, &["delete 2", "`cache`", "trigger `flush`"]);
    let mut gone = LEFT.to_vec();
    gone.push(("cache", 2));
    Lab::sqlite(&ddl).circle("tenants: id = 2", &["--allow-effect", "cache"], &gone);
}

#[test]
fn rows_that_a_trigger_inserts_are_reported_and_a_restore_takes_them_away() {
    let lab = Lab::sqlite(&format!(
        "{SHOP} CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT); INSERT INTO audit VALUES (1, 'user 3 is gone');
         CREATE TRIGGER note AFTER DELETE ON users BEGIN INSERT INTO audit (what) VALUES ('user ' || OLD.id || ' is gone'); END;"
    ));
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    let report = lab.purge();
    assert_eq!(report["inserted_by_triggers"], serde_json::json!({ "audit": 2 }));
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// Neither the highest rowid nor the order tells which rows are new.
#[test]
fn rows_that_a_trigger_inserts_under_low_numbers_are_taken_away_too() {
    let lab = Lab::sqlite(&format!(
        "{SHOP} CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT); INSERT INTO audit VALUES (-5, 'old'), (500, 'old');
         CREATE TRIGGER note AFTER DELETE ON users BEGIN INSERT INTO audit VALUES (-10 * OLD.id, 'new'); END;"
    ));
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    lab.purge();
    assert_eq!(lab.count("audit"), 4);
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

#[test]
fn equal_rows_without_a_key_survive_when_inserted_ones_are_taken_away() {
    let lab = Lab::sqlite(&format!(
        "{SHOP} CREATE TABLE log (what TEXT); INSERT INTO log VALUES ('gone'), ('gone'), ('x');
         CREATE TRIGGER note AFTER DELETE ON users BEGIN INSERT INTO log VALUES ('gone'); END;"
    ));
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    lab.purge();
    assert_eq!(lab.count("log"), 5);
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// REPLACE removes rows without telling triggers or hooks, wherever it is written.
#[test]
fn rows_that_a_trigger_replaces_are_noticed() {
    for (table, statement) in [
        (
            "CREATE TABLE latest (k TEXT PRIMARY KEY, v TEXT);",
            "INSERT OR REPLACE INTO latest VALUES ('user', 'gone')",
        ),
        ("CREATE TABLE latest (k TEXT PRIMARY KEY, v TEXT);", "REPLACE INTO latest VALUES ('user', 'gone')"),
        (
            "CREATE TABLE latest (k TEXT UNIQUE ON CONFLICT REPLACE, v TEXT);",
            "INSERT INTO latest VALUES ('user', 'gone')",
        ),
        (
            "CREATE TABLE latest (k TEXT PRIMARY KEY ON CONFLICT REPLACE, v TEXT) WITHOUT ROWID;",
            "INSERT INTO latest VALUES ('user', 'gone')",
        ),
        (
            "CREATE TABLE latest (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;",
            "INSERT OR REPLACE INTO latest VALUES ('user', 'gone')",
        ),
    ] {
        let ddl = format!(
            "{SHOP} {table} INSERT INTO latest VALUES ('user', 'real');
             CREATE TRIGGER note AFTER DELETE ON users BEGIN {statement}; END;"
        );
        refused(&ddl, &["`latest`", "trigger `note`"]);
    }
}

#[test]
fn a_change_in_a_table_without_a_rowid_is_noticed() {
    let ddl = format!(
        "{SHOP} CREATE TABLE totals (name TEXT PRIMARY KEY, users INTEGER) WITHOUT ROWID; INSERT INTO totals VALUES ('users', 3);
         CREATE TRIGGER count_down AFTER DELETE ON users BEGIN UPDATE totals SET users = users - 1; END;"
    );
    refused(&ddl, &["rows of `totals` that the plan does not name"]);
}

/// A counter on a parent that leaves as well: the trigger rewrites a row that is about to be removed.
#[test]
fn a_trigger_that_changes_rows_which_leave_anyway_is_no_obstacle() {
    for timing in ["AFTER", "BEFORE"] {
        let lab = Lab::sqlite(&format!(
            "{SHOP} ALTER TABLE users ADD sessions_count INTEGER DEFAULT 1;
             CREATE TRIGGER count_down {timing} DELETE ON sessions BEGIN UPDATE users SET sessions_count = sessions_count - 1 WHERE id = OLD.user_id; END;"
        ));
        lab.circle("tenants: id = 2", &[], &LEFT);
    }
}

/// What a trigger writes into the row that a reference is taken from is undone with it.
#[test]
fn what_a_trigger_writes_into_a_detached_row_is_undone_too() {
    let lab = Lab::sqlite(&format!(
        "{SHOP} CREATE TABLE notes (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users ON DELETE SET NULL, updated_at TEXT DEFAULT '2020');
         INSERT INTO notes (id, user_id) VALUES (1, 1), (2, 2), (3, 3);
         CREATE TRIGGER stamp AFTER UPDATE OF user_id ON notes BEGIN UPDATE notes SET updated_at = 'now' WHERE id = NEW.id; END;"
    ));
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    let answer = lab.try_purge();
    if answer.code == Some(0) {
        lab.restore("r-1");
    } else {
        fault(&answer, 3, &["change 2 rows of `notes`", "trigger `stamp`", "--allow-effect notes"]);
        lab.plan("tenants: id = 2", &["--allow-effect", "notes"]);
        lab.purge();
        lab.restore("r-2");
    }
    assert_same(&lab.picture(), &before);
}
