//! Tables whose rows are found by the reference that leads to them: they are locked from the archive to the commit, and
//! removed by that reference.

use super::{LEFT, SHOP};
use crate::lab::{Lab, Moment, assert_same, purge_with};

const WAITS: &str = "SET innodb_lock_wait_timeout = 1; ";

/// A DELETE by reference takes whatever refers by then: nothing of it may change once it is archived.
#[test]
fn rows_that_were_archived_wait_for_nobody_and_others_wait_for_them() {
    let lab = Lab::mariadb(SHOP);
    lab.plan("tenants: id = 2", &[]);
    let report = purge_with(&lab, Moment::Remove, |_| {
        for waits in [
            "UPDATE sessions SET agent = 'Y' WHERE id = 2",
            "UPDATE sessions SET user_id = 1 WHERE id = 2",
            "UPDATE sessions SET user_id = 3 WHERE id = 1",
            "INSERT INTO sessions VALUES (9, 3, 'new')",
            "DELETE FROM sessions WHERE id = 3",
        ] {
            assert!(lab.maria().sql(&format!("{WAITS}{waits}")).is_err(), "{waits}");
        }
        lab.sql(&format!(
            "{WAITS}UPDATE sessions SET agent = 'X' WHERE id = 1; INSERT INTO sessions VALUES (0, 1, 'w')"
        ));
        lab.sql(&format!("{WAITS}UPDATE tenants SET name = 'Brennan & Co' WHERE id = 1; INSERT INTO users VALUES (9, 1, 'x')"));
    });
    assert_eq!(report.unwrap().retries, 0);
    assert_eq!(lab.sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM sessions"), "0,1");
    assert_eq!(lab.sql("SELECT GROUP_CONCAT(agent ORDER BY id) FROM sessions"), "w,X");
}

/// Who switches the server's checks off can still add a child: it must not leave without a copy.
#[test]
fn a_child_that_comes_after_the_archive_without_any_check_is_archived_before_it_leaves() {
    let lab = Lab::mariadb(SHOP);
    lab.plan("tenants: id = 2", &[]);
    let mut before = None;
    let report = purge_with(&lab, Moment::Remove, |time| {
        if time == 0 {
            lab.sql("SET foreign_key_checks = 0; INSERT INTO sessions VALUES (9, 3, 'new')");
            before = Some(lab.picture());
        }
    });
    assert_eq!(report.unwrap().retries, 1);
    lab.left(&before.clone().unwrap(), &[("tenants", 1), ("users", 2), ("sessions", 3)]);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before.unwrap());
}

#[test]
fn what_happens_between_closure_and_archive_is_seen() {
    let cases = [
        ("UPDATE sessions SET agent = 'Y' WHERE id = 2", 0, "1"),
        ("UPDATE sessions SET user_id = 1 WHERE id = 2", 1, "1,2"),
        ("UPDATE sessions SET user_id = 4 - user_id WHERE id IN (1, 3)", 0, "3"),
        ("INSERT INTO sessions VALUES (9, 3, 'new')", 1, "1"),
        ("DELETE FROM sessions WHERE id = 2", 1, "1"),
        ("UPDATE users SET email = 'c@test.com' WHERE id = 3", 1, "1"),
        ("UPDATE users SET tenant_id = 1 WHERE id = 3", 1, "1,3"),
    ];
    for (change, retries, left) in cases {
        let lab = Lab::mariadb(SHOP);
        lab.plan("tenants: id = 2", &[]);
        let mut before = None;
        let report = purge_with(&lab, Moment::Archive, |time| {
            if time == 0 {
                lab.sql(change);
                before = Some(lab.picture());
            }
        });
        assert_eq!(report.unwrap().retries, retries, "{change}");
        assert_eq!(lab.sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM sessions"), left, "{change}");
        lab.verify("r-1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before.unwrap());
    }
}

/// Nothing of the table was to leave with this batch, so nothing of it was locked: somebody has to look.
#[test]
fn a_child_of_a_batch_that_had_none_is_archived_before_it_leaves() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id INT PRIMARY KEY);
         CREATE TABLE notes (id INT PRIMARY KEY, tenant_id INT NOT NULL, FOREIGN KEY (tenant_id) REFERENCES tenants (id));
         INSERT INTO tenants VALUES (1), (2), (3); INSERT INTO notes VALUES (1, 1), (2, 2);",
    );
    lab.plan("tenants: id > 1", &["--batch-rows", "1"]);
    let mut before = None;
    let report = purge_with(&lab, Moment::Remove, |time| {
        // The tenant whose row is locked already has a note.
        let without = lab.maria().sql(&format!("{WAITS}INSERT INTO notes VALUES (9, 3)"));
        if time == 0 {
            without.unwrap();
            before = Some(lab.picture());
        }
    });
    assert!(report.unwrap().retries >= 1);
    lab.left(&before.clone().unwrap(), &[("tenants", 2), ("notes", 2)]);
    lab.restore("r-1");
    assert_same(&lab.picture(), &before.unwrap());
}

/// Values of every size, more of them than stand in one statement, and rows beside them that stay.
#[test]
fn rows_of_thousands_of_values_leave_and_come_back() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id BIGINT UNSIGNED PRIMARY KEY, test BOOL NOT NULL);
         CREATE TABLE notes (id BIGINT PRIMARY KEY, tenant_id BIGINT UNSIGNED, text VARCHAR(40), FOREIGN KEY (tenant_id) REFERENCES tenants (id));
         INSERT INTO tenants SELECT 18446744073709551615 - seq, seq % 3 > 0 FROM seq_0_to_6999;
         INSERT INTO notes SELECT -seq, 18446744073709551615 - seq % 7000, CONCAT('note ', seq) FROM seq_1_to_20000;
         INSERT INTO notes VALUES (1, NULL, 'of nobody');",
    );
    let stay = lab.sql("SELECT count(*) FROM notes n LEFT JOIN tenants t ON t.id = n.tenant_id WHERE NOT t.test OR t.id IS NULL");
    let before = lab.picture();
    lab.plan("tenants: test", &["--max-share", "1"]);
    lab.purge();
    assert_eq!(lab.sql("SELECT count(*) FROM notes"), stay);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// An index that the server is told to ignore cannot be asked for; then rows are found by their keys.
#[test]
fn rows_whose_index_is_ignored_leave_all_the_same() {
    let lab = Lab::mariadb(&format!("{SHOP} ALTER TABLE sessions ALTER INDEX user_id IGNORED;"));
    lab.circle("tenants: id = 2", &[], &LEFT);
}

/// What is shown before a purge is what it does: no hash is asked for where rows leave by a key.
#[test]
fn the_statements_that_are_shown_tell_which_rows_leave_by_a_key() {
    let lab = Lab::mariadb(SHOP);
    for (path, by_key) in [("fast", true), ("checked", false)] {
        lab.plan("tenants: id = 2", &["--path", path]);
        let shown = lab.json(0, &["show", "plan.json", "--sql"]);
        let statements: Vec<&str> =
            shown["statements"].as_array().unwrap().iter().filter_map(|s| s.as_str()).collect();
        let deletes = |part: &str| statements.iter().any(|s| s.contains("DELETE x FROM") && s.contains(part));
        assert_eq!(deletes("WHERE x.`user_id` IN (?)"), by_key, "{statements:#?}");
        assert!(deletes("k.ver = "), "other tables go by hashes: {statements:#?}");
    }
}
