//! Triggers: they fire whatever the session switches off, and only the session's own counters tell what they did.

use super::{LEFT, SHOP};
use crate::lab::{Lab, assert_same, fault};

fn with(trigger: &str) -> Lab<'static> {
    Lab::mariadb(&format!(
        "{SHOP} CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(60));
         CREATE TABLE totals (id INT PRIMARY KEY, users INT NOT NULL);
         INSERT INTO totals VALUES (1, 3), (2, 0); INSERT INTO log (what) VALUES ('before');
         {trigger};"
    ))
}

/// Refused with everything as it was, and what the plan would have to allow is named.
#[track_caller]
fn refused(trigger: &str, says: &[&str]) {
    let lab = with(trigger);
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    fault(&lab.try_purge(), 3, says);
    assert_same(&lab.picture(), &before);
}

#[test]
fn a_trigger_that_inserts_changes_or_deletes_elsewhere_is_refused_and_named() {
    refused(
        "CREATE TRIGGER t AFTER DELETE ON users FOR EACH ROW INSERT INTO log (what) VALUES (OLD.email)",
        &["insert 2 rows", "trigger `t`", "--allow-effect", "log"],
    );
    refused(
        "CREATE TRIGGER t AFTER DELETE ON users FOR EACH ROW UPDATE totals SET users = users - 1 WHERE id = 1",
        &["change 2 rows", "totals"],
    );
    refused(
        "CREATE TRIGGER t BEFORE DELETE ON sessions FOR EACH ROW DELETE FROM totals WHERE id = OLD.id",
        &["delete 1 row", "totals"],
    );
}

/// A trigger deletes one row more of a table of which rows leave: the table alone would not tell.
#[test]
fn a_trigger_that_takes_a_row_of_somebody_else_is_refused() {
    refused(
        "CREATE TRIGGER t AFTER DELETE ON tenants FOR EACH ROW DELETE FROM sessions WHERE id = 1",
        &["delete 1 row"],
    );
}

#[test]
fn what_is_done_over_a_routine_is_counted_too() {
    refused(
        "CREATE PROCEDURE hide(n INT) UPDATE totals SET users = 99 WHERE id = n;
         CREATE TRIGGER t AFTER DELETE ON users FOR EACH ROW CALL hide(1)",
        &["change 2 rows", "trigger `t`"],
    );
}

#[test]
fn a_trigger_that_objects_stops_the_purge() {
    let lab = with(
        "CREATE TRIGGER t BEFORE DELETE ON users FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'users stay'",
    );
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    fault(&lab.try_purge(), 4, &["users stay"]);
    assert_same(&lab.picture(), &before);
}

/// A counter on the parent is kept up to date by its children until the end: it leaves as it was archived.
#[test]
fn a_counter_on_a_row_that_leaves_does_not_matter() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id INT PRIMARY KEY, users INT NOT NULL DEFAULT 0);
         CREATE TABLE users (id INT PRIMARY KEY, tenant INT NOT NULL, FOREIGN KEY (tenant) REFERENCES tenants (id));
         CREATE TRIGGER more AFTER INSERT ON users FOR EACH ROW UPDATE tenants SET users = users + 1 WHERE id = NEW.tenant;
         CREATE TRIGGER less AFTER DELETE ON users FOR EACH ROW UPDATE tenants SET users = users - 1 WHERE id = OLD.tenant;
         INSERT INTO tenants (id) VALUES (1), (2); INSERT INTO users VALUES (1, 1), (2, 2), (3, 2);",
    );
    assert_eq!(lab.sql("SELECT users FROM tenants WHERE id = 2"), "2");
    lab.circle("tenants: id = 2", &[], &[("tenants", 1), ("users", 2)]);
}

#[test]
fn allowed_effects_are_archived_and_undone() {
    let lab = with(
        "CREATE TRIGGER a AFTER DELETE ON users FOR EACH ROW INSERT INTO log (what) VALUES (OLD.email);
         CREATE TRIGGER b AFTER DELETE ON sessions FOR EACH ROW UPDATE totals SET users = users - 1 WHERE id = 1;
         CREATE TRIGGER c AFTER DELETE ON tenants FOR EACH ROW DELETE FROM totals WHERE id = 2",
    );
    let before = lab.picture();
    lab.plan("tenants: id = 2", &["--allow-effect", "log", "--allow-effect", "totals"]);
    lab.purge();
    assert_eq!(lab.sql("SELECT count(*), (SELECT users FROM totals) FROM log"), "3\t1");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// The counters of the session would add up, but the trigger names a table that the plan does not allow.
#[test]
fn allowing_one_table_allows_no_other() {
    let lab = with(
        "CREATE TRIGGER t AFTER DELETE ON tenants FOR EACH ROW UPDATE totals SET users = 9 WHERE id = 1;
         CREATE TRIGGER u AFTER DELETE ON users FOR EACH ROW INSERT INTO log (what) VALUES ('x')",
    );
    let before = lab.picture();
    lab.plan("tenants: id = 2", &["--allow-effect", "log"]);
    fault(&lab.try_purge(), 3, &["change 1 row", "totals"]);
    assert_same(&lab.picture(), &before);
}

/// A function that the trigger calls writes elsewhere, beside what is allowed.
#[test]
fn allowing_a_table_allows_no_function_that_writes() {
    let lab = with(
        "CREATE TABLE other (id INT PRIMARY KEY, n INT); INSERT INTO other VALUES (1, 1);
         DELIMITER //
         CREATE FUNCTION hide(k INT) RETURNS INT MODIFIES SQL DATA BEGIN UPDATE other SET n = n + k; RETURN 1; END //
         DELIMITER ;
         CREATE TRIGGER t AFTER DELETE ON users FOR EACH ROW UPDATE totals SET users = users - hide(OLD.id) WHERE id = 1",
    );
    let before = lab.picture();
    lab.plan("tenants: id = 2", &["--allow-effect", "totals"]);
    fault(&lab.try_purge(), 3, &["change", "that the plan does not name"]);
    assert_same(&lab.picture(), &before);
}

/// Nothing switches insert triggers off: one that alters the rows on their way back stops the restore.
#[test]
fn a_trigger_that_alters_restored_rows_stops_the_restore() {
    let lab = with(
        "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW SET NEW.email = LOWER(CONCAT('x', NEW.email))",
    );
    lab.removes("tenants: id = 2", &[], &LEFT);
    let now = lab.picture();
    fault(
        &lab.run(&["restore", "r-1", "--confirm", "r-1"]),
        3,
        &["2 rows of", "would not come back as archived", "nothing was put back"],
    );
    assert_same(&lab.picture(), &now);
    lab.sql("DROP TRIGGER t");
    lab.restore("r-1");
}

#[test]
fn a_trigger_that_changes_other_rows_stops_the_restore() {
    let lab = with(
        "CREATE TRIGGER t AFTER INSERT ON users FOR EACH ROW UPDATE totals SET users = users + 1 WHERE id = 1",
    );
    lab.removes("tenants: id = 2", &[], &LEFT);
    let now = lab.picture();
    fault(&lab.run(&["restore", "r-1", "--confirm", "r-1"]), 3, &["change or delete other rows"]);
    assert_same(&lab.picture(), &now);
}
