//! Rows that a statement leaves alone in silence: kept by triggers and rules, hidden by policies, out of reach.
//!
//! `DELETE 0` without an error is the answer to most of these; a purge that believes it reports success.

use super::SHOP;
use crate::lab::{Lab, assert_same, fault};

const KEEPER: &str = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';";

/// Plans, and expects that the purge is refused, names what is in the way and changes nothing.
#[track_caller]
fn kept(lab: &Lab<'_>, roots: &str, way: &[&str], says: &[&str]) {
    let before = lab.picture();
    lab.plan(roots, way);
    let mut all = vec!["the batch was rolled back"];
    all.extend(says);
    fault(&lab.try_purge(), 3, &all);
    assert_same(&lab.picture(), &before);
    let runs = lab.json(0, &["runs"]);
    assert_eq!(runs["runs"][0]["state"], "failed", "{runs}");
}

#[test]
fn a_trigger_that_keeps_a_row_is_refused_and_named_even_on_the_fast_way() {
    let ddl = format!(
        "{SHOP} {KEEPER}
         CREATE TRIGGER keep_it BEFORE DELETE ON users FOR EACH ROW WHEN (OLD.id = 3) EXECUTE FUNCTION keep();"
    );
    let says = ["1 of 2 rows of `public.users` could be deleted", "kept by trigger `keep_it`"];
    kept(&Lab::postgres(&ddl), "tenants: id = 2", &["--path", "fast"], &says);
    kept(&Lab::postgres(&ddl).owned(), "tenants: id = 2", &[], &says);
}

/// On a child that the database cascades to, such a trigger leaves an orphan under a valid key.
#[test]
fn a_trigger_that_keeps_a_cascaded_row_leaves_no_orphan() {
    let ddl = format!(
        "{SHOP} {KEEPER} CREATE TRIGGER keep_it BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION keep();"
    );
    let says = ["0 of 2 rows of `public.sessions` could be deleted", "kept by trigger `keep_it`"];
    kept(&Lab::postgres(&ddl), "tenants: id = 2", &["--path", "fast"], &says);
    kept(&Lab::postgres(&ddl).owned(), "tenants: id = 2", &[], &says);
}

#[test]
fn a_rule_that_does_nothing_instead_is_refused_and_named() {
    let ddl = format!("{SHOP} CREATE RULE shield AS ON DELETE TO sessions DO INSTEAD NOTHING;");
    let lab = Lab::postgres(&ddl);
    let plan = lab.plan("tenants: id = 2", &[]);
    assert_eq!(plan.path(), "checked", "a rule needs the ordinary way");
    assert!(plan.warnings("rule-fires")[0].contains("`shield`"));
    let says = ["0 of 2 rows of `public.sessions` could be deleted", "kept by rule `shield`"];
    kept(&lab, "tenants: id = 2", &[], &says);
    kept(&Lab::postgres(&ddl), "tenants: id = 2", &["--path", "fast"], &says);
    kept(&Lab::postgres(&ddl).owned(), "tenants: id = 2", &[], &says);
}

#[test]
fn a_trigger_or_rule_that_keeps_a_reference_is_refused_and_named() {
    let notes = format!(
        "{SHOP} {KEEPER}
         CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE SET NULL);
         INSERT INTO notes VALUES (1, 1), (2, 2);"
    );
    let trigger = "CREATE TRIGGER frozen BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION keep();";
    let says = ["0 of 1 rows of `public.notes` could be detached", "kept by trigger `frozen`"];
    kept(&Lab::postgres(&format!("{notes} {trigger}")).owned(), "tenants: id = 2", &[], &says);
    let rule = "CREATE RULE frozen AS ON UPDATE TO notes DO INSTEAD NOTHING;";
    let says = ["0 of 1 rows of `public.notes` could be detached", "kept by rule `frozen`"];
    kept(&Lab::postgres(&format!("{notes} {rule}")).owned(), "tenants: id = 2", &[], &says);
}

/// `DELETE 0`, silently; and a child that is hidden is a child that is not archived.
#[test]
fn row_security_that_hides_rows_is_a_partial_view() {
    let mut lab = Lab::postgres(&format!(
        "{SHOP} ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON users USING (id <> 3);"
    ));
    let role = lab.as_new_role();
    lab.sql(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"));
    let before = lab.picture();
    let says = [
        "cannot be seen or changed in full",
        "`public.users`: row-level security may hide rows",
        "BYPASSRLS",
    ];
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &says);
    assert!(!lab.path("plan.json").exists());
    lab.sql(&format!("ALTER ROLE {role} BYPASSRLS"));
    lab.circle("tenants: id = 2", &[], &[("public.tenants", 1), ("public.users", 2), ("public.sessions", 2)]);
    assert_same(&lab.picture(), &before);
}

#[test]
fn forced_row_security_hides_rows_from_the_owner_too() {
    let policy = "ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON users USING (id <> 3);";
    let lab = Lab::postgres(&format!("{SHOP} {policy}")).owned();
    lab.circle("tenants: id = 2", &[], &[("public.tenants", 1), ("public.users", 2), ("public.sessions", 2)]);
    let lab = Lab::postgres(&format!("{SHOP} {policy} ALTER TABLE users FORCE ROW LEVEL SECURITY;")).owned();
    let says = ["`public.users`: row-level security may hide rows"];
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &says);
    // Switched on between plan and purge, it is noticed as well.
    let lab = Lab::postgres(&format!("{SHOP} {policy}")).owned();
    lab.plan("tenants: id = 2", &[]);
    lab.sql("ALTER TABLE users FORCE ROW LEVEL SECURITY");
    let before = lab.picture();
    fault(&lab.try_purge(), 3, &says);
    assert_same(&lab.picture(), &before);
}

/// What the role may not see cannot be called clean: a child in a schema that is closed to it.
#[test]
fn a_child_in_a_schema_without_access_is_a_partial_view() {
    let mut lab = Lab::postgres(&format!(
        "{SHOP} CREATE SCHEMA vault; CREATE TABLE vault.keys (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE);
         INSERT INTO vault.keys VALUES (1, 2);"
    ));
    let role = lab.as_new_role();
    lab.sql(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"));
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &["`vault.keys`: this role lacks SELECT"]);
}

/// Rules and triggers that are switched off do not count, and partitions can have their own.
#[test]
fn a_trigger_of_one_partition_is_named_as_well() {
    let ddl = format!(
        "{KEEPER} CREATE TABLE events (id int, day int) PARTITION BY LIST (day);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
         CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2);
         ALTER TABLE events ADD PRIMARY KEY (id, day);
         CREATE TRIGGER keep_it BEFORE DELETE ON events_2 FOR EACH ROW EXECUTE FUNCTION keep();
         INSERT INTO events VALUES (1, 1), (2, 1), (2, 2), (1, 2);"
    );
    let says = ["could be deleted", "kept by trigger `keep_it`"];
    kept(&Lab::postgres(&ddl), "events: id = 2", &["--path", "fast"], &says);
    let lab = Lab::postgres(&ddl);
    lab.sql("ALTER TABLE events_2 DISABLE TRIGGER keep_it");
    lab.circle("events: id = 2", &[], &[("public.events_1", 1), ("public.events_2", 1)]);
}

/// Rows on another server have no address here: neither followed nor removed, they make the view partial.
#[test]
fn a_foreign_partition_is_a_partial_view() {
    let lab = Lab::postgres(
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE TABLE tenants (id int PRIMARY KEY); INSERT INTO tenants VALUES (1), (2);
         CREATE TABLE events (id int, tenant_id int) PARTITION BY RANGE (id);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (9); ALTER TABLE events_1 ADD FOREIGN KEY (tenant_id) REFERENCES tenants;
         CREATE FOREIGN TABLE events_2 PARTITION OF events FOR VALUES FROM (9) TO (99) SERVER files OPTIONS (filename '/dev/null');",
    );
    fault(
        &lab.try_plan("tenants: id = 2", &[]),
        3,
        &["`public.events`: this role lacks a way to rows of its foreign partitions"],
    );
}
