//! Virtual tables that triggers keep in step: full-text search in its usual forms, and R-trees.

use super::SHOP;
use crate::lab::{Lab, assert_same, fault};
use std::process::{Command, Stdio};

/// A search over messages with its own content, one over the messages themselves, and places.
const SEARCH: &str = "
    CREATE TABLE messages (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users, body TEXT, x REAL);
    CREATE TABLE seen (message_id INTEGER REFERENCES messages, user_id INTEGER REFERENCES users, PRIMARY KEY (message_id, user_id)) WITHOUT ROWID;
    CREATE VIRTUAL TABLE search USING fts5(body);
    CREATE VIRTUAL TABLE \"quick search\" USING fts5(body, content='messages', content_rowid='id');
    CREATE VIRTUAL TABLE places USING rtree(id, x0, x1);
    CREATE TRIGGER messages_ai AFTER INSERT ON messages BEGIN
        INSERT INTO search(rowid, body) VALUES (new.id, new.body);
        INSERT INTO \"quick search\"(rowid, body) VALUES (new.id, new.body);
        INSERT INTO places VALUES (new.id, new.x, new.x + 1); END;
    CREATE TRIGGER messages_ad AFTER DELETE ON messages BEGIN
        DELETE FROM search WHERE rowid = old.id; -- comment; with a semicolon
        INSERT INTO \"quick search\"(\"quick search\", rowid, body) VALUES ('delete', old.id, old.body);
        DELETE FROM places WHERE id = old.id; END;
    INSERT INTO messages VALUES (1, 1, 'good morning', 1.5), (2, 2, 'hello test', 2.5), (3, 3, 'hello; ''again''', 3.5);
    INSERT INTO seen VALUES (1, 1), (2, 1), (2, 2), (3, 3);";

/// What a search finds, and that its indexes fit their content.
fn found(lab: &Lab<'_>) -> String {
    lab.sql("INSERT INTO search(search) VALUES ('integrity-check');
        INSERT INTO \"quick search\"(\"quick search\") VALUES ('integrity-check');
        SELECT rowid, body FROM search WHERE search MATCH 'hello OR morning' ORDER BY 1;
        SELECT rowid FROM \"quick search\" WHERE \"quick search\" MATCH 'hello OR morning' ORDER BY 1; SELECT * FROM places ORDER BY 1;
        SELECT rtreecheck('places'); PRAGMA integrity_check;")
}

#[test]
fn search_entries_go_with_their_rows_and_come_back_with_them() {
    let lab = Lab::sqlite(&format!("{SHOP} {SEARCH}"));
    let (before, searched) = (lab.picture(), found(&lab));
    let gone = [("tenants", 1), ("users", 2), ("sessions", 2), ("messages", 2), ("seen", 3)];
    lab.removes("tenants: id = 2", &["--batch-rows", "3"], &gone);
    assert_eq!(found(&lab), "1|good morning\n1\n1|1.5|2.5\nok\nok");

    let copy = lab.path("copy.db");
    std::fs::copy(lab.file(), &copy).unwrap();
    let archive = lab.path(".unseed/archive/r-1");
    let script = std::fs::File::open(archive.join("restore.sql")).unwrap();
    let mut client = Command::new("sqlite3");
    client.arg(&copy).current_dir(&archive).stdin(Stdio::from(script));
    let output = client.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let by_hand = Lab::of_file(copy);
    assert_same(&by_hand.picture(), &before);
    assert_eq!(found(&by_hand), searched);

    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
    assert_eq!(found(&lab), searched);
    assert_eq!(lab.sql("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'unseed%'"), "0");
}

#[test]
fn entries_that_no_trigger_would_make_again_are_not_let_go() {
    let ddl = format!(
        "{SHOP} {SEARCH} DROP TRIGGER messages_ai; CREATE TABLE log (id INTEGER);
         CREATE TRIGGER both AFTER INSERT ON messages BEGIN INSERT INTO search(rowid, body) VALUES (new.id, new.body); INSERT INTO log VALUES (1); END;"
    );
    let lab = Lab::sqlite(&ddl);
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    fault(&lab.try_purge(), 3, &["triggers of `messages` take entries out of the virtual table"]);
    assert_same(&lab.picture(), &before);
}

/// SQLite has a short cut for emptying a whole table, which tells nobody.
#[test]
fn a_trigger_that_empties_another_table_is_refused() {
    let emptied = "CREATE TABLE cache (x INTEGER); INSERT INTO cache VALUES (1), (2);
        CREATE TRIGGER forget AFTER DELETE ON users BEGIN DELETE FROM cache; END;";
    for ddl in [format!("{SHOP} {emptied}"), format!("{SHOP} {SEARCH} {emptied}")] {
        let lab = Lab::sqlite(&ddl);
        let before = lab.picture();
        lab.plan("tenants: id = 2", &[]);
        fault(&lab.try_purge(), 3, &["delete 2 rows of `cache`", "trigger `forget`"]);
        assert_same(&lab.picture(), &before);
        lab.plan("tenants: id = 2", &["--allow-effect", "cache"]);
        lab.purge();
        lab.restore("r-2");
        assert_same(&lab.picture(), &before);
    }
}

/// What a trigger does besides is as forbidden as ever, in tables without rowids too.
#[test]
fn a_trigger_that_also_changes_another_table_is_still_refused() {
    let trigger = "CREATE TRIGGER also AFTER DELETE ON messages BEGIN UPDATE seen SET user_id = 9 WHERE message_id = 1; END;";
    let lab = Lab::sqlite(&format!("{SHOP} {SEARCH} {trigger}"));
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    fault(&lab.try_purge(), 3, &["seen", "trigger `also`"]);
    assert_same(&lab.picture(), &before);
}
