//! Bad input: one clear fault in three parts, the right exit code, nothing changed.

use super::SHOP;
use crate::lab::{Lab, assert_same, fault};

#[test]
fn a_server_that_cannot_be_reached_is_named_without_its_password() {
    let lab = Lab::postgres(SHOP);
    let server = lab.database().server();
    let role = format!("careful_{}", lab.database().name());
    server.role(&role, Some("s3cret")).unwrap();
    let name = lab.database().name();
    let cases = [
        (format!("postgres://postgres:hunter2@127.0.0.1:1/{name}"), 4, "postgres://postgres@127.0.0.1:1"),
        (format!("postgres://postgres:hunter2@no-such-host.invalid:5432/{name}"), 4, "no-such-host.invalid"),
        (server.url_as(&role, Some("hunter2"), name), 4, "password authentication failed"),
        (server.url_as("nobody_at_all", None, name), 4, "role \"nobody_at_all\" does not exist"),
        (server.url("no_such_database"), 4, "database \"no_such_database\" does not exist"),
        ("postgres://a:hunter2@[::1/x".to_owned(), 2, "not valid"),
        (format!("{}?sslmode=maybe", lab.url()), 2, "sslmode `maybe` is not known"),
    ];
    for (url, code, says) in cases {
        let answer = lab.run(&["plan", &url, "--where", "tenants: id = 2"]);
        fault(&answer, code, &[says]);
        assert!(!answer.stderr.contains("hunter2"), "{answer:?}");
    }
    lab.sql(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"));
    let answer = lab.run(&["scan", &server.url_as(&role, Some("s3cret"), name)]);
    assert_eq!(answer.code, Some(1), "the right password works: {answer:?}");
}

#[test]
fn tables_columns_and_predicates_that_are_wrong_are_named() {
    let lab = Lab::postgres(SHOP);
    let before = lab.picture();
    for (roots, says) in [
        ("tenant: id = 2", "no such table `tenant`"),
        ("tenants: idd = 2", "column \"idd\" does not exist"),
        ("tenants: id = = 2", "syntax error"),
        ("tenants: id = 'two'", "invalid input syntax for type integer"),
        ("tenants: id / 0 = 1", "division by zero"),
        ("tenants: id = 999", "no row is chosen"),
        ("tenants: id = 2) --", "is not valid"),
        ("tenants: id = $1", "is not valid"),
    ] {
        fault(&lab.try_plan(roots, &[]), 2, &[says]);
    }
    assert!(!lab.path("plan.json").exists());
    assert_same(&lab.picture(), &before);
}

/// A predicate is a condition: neither a second statement in it nor a function that writes gets through.
#[test]
fn a_predicate_cannot_write() {
    let lab = Lab::postgres(&format!(
        "{SHOP} CREATE FUNCTION wipe() RETURNS bool LANGUAGE plpgsql AS 'BEGIN DELETE FROM sessions; RETURN true; END';"
    ));
    let before = lab.picture();
    for attack in [
        "tenants: 1=1); DELETE FROM sessions; --",
        "tenants: id = 2); DELETE FROM sessions; SELECT (1",
        "tenants: id IN (SELECT 2); TRUNCATE sessions",
        "tenants: id = 2) UNION ALL (WITH d AS (DELETE FROM sessions RETURNING 1) SELECT 1, 'x'",
        "tenants: wipe()",
    ] {
        fault(&lab.try_plan(attack, &[]), 2, &["predicate on `public.tenants` is not valid"]);
        assert_same(&lab.picture(), &before);
    }
}

#[test]
fn a_role_that_may_only_read_is_told_what_it_lacks() {
    let mut lab = Lab::postgres(SHOP);
    let role = lab.as_new_role();
    lab.sql(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"));
    let says =
        ["`public.tenants`: this role lacks DELETE, UPDATE", "`public.sessions`: this role lacks DELETE\n"];
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &says);
    let scan = lab.run(&["scan", &lab.url()]);
    assert_eq!(scan.code, Some(1), "it may look: {scan:?}");
}

#[test]
fn one_missing_privilege_is_named_with_its_table() {
    let mut lab = Lab::postgres(SHOP);
    let before = lab.picture();
    let role = lab.as_new_role();
    lab.sql(&format!("GRANT SELECT, DELETE, UPDATE ON ALL TABLES IN SCHEMA public TO {role}; REVOKE DELETE ON sessions FROM {role}"));
    let text =
        fault(&lab.try_plan("tenants: id = 2", &[]), 3, &["`public.sessions`: this role lacks DELETE\n"]);
    assert!(!text.contains("`public.users`"), "{text}");
    // Lost between plan and purge, it is noticed before anything is removed.
    lab.sql(&format!("GRANT DELETE ON sessions TO {role}"));
    lab.plan("tenants: id = 2", &[]);
    lab.sql(&format!("REVOKE DELETE ON sessions FROM {role}"));
    fault(&lab.try_purge(), 3, &["`public.sessions`: this role lacks DELETE"]);
    assert_same(&lab.picture(), &before);
    lab.sql(&format!("GRANT DELETE, INSERT ON ALL TABLES IN SCHEMA public TO {role}"));
    lab.circle_as("tenants: id = 2", "r-2");
}

/// The server refuses to delete what it cannot tell its subscribers.
#[test]
fn a_published_table_without_a_replica_identity_is_named_when_planning() {
    let lab = Lab::postgres(
        "CREATE TABLE tenants (id int PRIMARY KEY);
         CREATE TABLE notes (tenant_id int REFERENCES tenants, body text);
         CREATE TABLE tickets (tenant_id int REFERENCES tenants ON DELETE SET NULL, title text);
         INSERT INTO tenants SELECT generate_series(1, 3);
         INSERT INTO notes SELECT id, 'x' FROM tenants; INSERT INTO tickets SELECT id, 'x' FROM tenants;
         CREATE PUBLICATION everything FOR ALL TABLES",
    );
    let text = fault(
        &lab.try_plan("tenants: id = 2", &[]),
        3,
        &["`public.notes`: it lacks a replica identity for its published deletes", "REPLICA IDENTITY"],
    );
    assert!(
        text.contains("`public.tickets`: it lacks a replica identity for its published updates"),
        "{text}"
    );
    lab.sql("ALTER TABLE notes REPLICA IDENTITY FULL; ALTER TABLE tickets REPLICA IDENTITY FULL");
    lab.circle_as("tenants: id = 2", "r-1");
}

#[test]
fn a_session_that_may_only_read_is_refused() {
    let lab = Lab::postgres(SHOP);
    let read_only = lab.run(&[
        "plan",
        &format!("{}?options=-c%20default_transaction_read_only%3Don", lab.url()),
        "--where",
        "tenants: id = 2",
    ]);
    fault(&read_only, 3, &["can only be read"]);
    lab.plan("tenants: id = 2", &[]);
    let before = lab.picture();
    lab.sql(&format!("ALTER DATABASE \"{}\" SET default_transaction_read_only = on", lab.database().name()));
    fault(&lab.try_purge(), 3, &["can only be read"]);
    assert_same(&lab.picture(), &before);
}

/// Terraform applies the same saved plan again (its issue 24078).
#[test]
fn a_plan_is_used_once() {
    let lab = Lab::postgres(SHOP);
    lab.plan("tenants: id = 2", &[]);
    lab.purge();
    lab.restore("r-1");
    let before = lab.picture();
    fault(&lab.try_purge(), 3, &["was already used by run `r-1`"]);
    assert_same(&lab.picture(), &before);
}

#[test]
fn an_edited_plan_is_refused() {
    let lab = Lab::postgres(SHOP);
    lab.plan("tenants: id = 2", &[]);
    let before = lab.picture();
    let text = std::fs::read_to_string(lab.path("plan.json")).unwrap();
    for (from, to) in [
        ("\"2\"", "\"1\""),
        ("\"rows\": 2", "\"rows\": 3"),
        ("public.sessions", "public.users"),
        ("\"max_rows\": 5000000", "\"max_rows\": 5000001"),
    ] {
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(lab.path("plan.json"), text.replacen(from, to, 1)).unwrap();
        fault(&lab.try_purge(), 3, &["was edited or damaged"]);
    }
    assert_same(&lab.picture(), &before);
}

#[test]
fn a_plan_is_stale_once_the_schema_changed() {
    for change in [
        "ALTER TABLE sessions ADD note text",
        "ALTER TABLE sessions ALTER agent TYPE varchar(100)",
        "CREATE TABLE more (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE); INSERT INTO more VALUES (1, 2)",
        "ALTER TABLE sessions DROP CONSTRAINT sessions_user_id_fkey",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; CREATE TRIGGER t BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION f()",
        "ALTER TABLE users ADD CHECK (id > 0)",
    ] {
        let lab = Lab::postgres(SHOP);
        lab.plan("tenants: id = 2", &[]);
        lab.sql(change);
        let before = lab.picture();
        fault(
            &lab.try_purge(),
            3,
            &["the schema has changed since plan", "nothing was changed", "unseed plan"],
        );
        assert_same(&lab.picture(), &before);
    }
    let lab = Lab::postgres(SHOP);
    lab.plan("tenants: id = 2", &[]);
    lab.sql("DROP TABLE sessions");
    fault(&lab.try_purge(), 3, &["table `public.sessions` is gone"]);
}

/// Jailer shrinks the set in silence; here the plan is refused with the whole path.
#[test]
fn a_protected_row_that_would_be_reached_is_named_with_its_path() {
    let lab = Lab::postgres(&format!(
        "{SHOP} CREATE TABLE docs (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, author_id int NOT NULL REFERENCES users);
         CREATE TABLE pins (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, user_id int REFERENCES users ON DELETE SET NULL);
         INSERT INTO docs VALUES (1, 1, 3), (2, 2, 3); INSERT INTO pins VALUES (1, 1, 2);"
    ));
    let says = [
        "protected",
        "public.tenants 2 → public.users 3 (by users.tenant_id) → public.docs 1 (by docs.author_id) belongs to protected public.tenants 1",
        "public.tenants 2 → public.users 2 (by users.tenant_id) → public.pins 1 (by pins.user_id) (would be detached) belongs to protected public.tenants 1",
    ];
    fault(&lab.try_plan("tenants: id = 2", &["--protect", "tenants.id=1"]), 3, &says);
    fault(
        &lab.try_plan("tenants: id = 2", &["--protect", "tenants.id=2"]),
        3,
        &["public.tenants 2 is protected"],
    );
    assert!(!lab.path("plan.json").exists());
    lab.plan("tenants: id = 2", &[]);
}

/// Reading is enough for a table that only refers to what leaves, changing for one that is detached.
#[test]
fn no_more_rights_are_asked_for_than_are_used() {
    let mut lab = Lab::postgres(
        "CREATE TABLE tenants (id int PRIMARY KEY); CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
         CREATE TABLE posts (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE SET NULL, tenant_id int REFERENCES tenants ON DELETE SET NULL);
         CREATE TABLE owners (id int PRIMARY KEY, tenant_id int REFERENCES tenants);
         INSERT INTO tenants VALUES (1), (2); INSERT INTO users VALUES (1, 1), (2, 2); INSERT INTO posts VALUES (1, 1, 1), (2, 2, 1);
         INSERT INTO owners VALUES (1, 1);",
    );
    let role = lab.as_new_role();
    lab.sql(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"));
    let roots = "users: id = 2";
    let text =
        fault(&lab.try_plan(roots, &[]), 3, &["2 tables", "`public.users`: this role lacks DELETE, UPDATE"]);
    assert!(text.contains("`public.posts`: this role lacks UPDATE") && !text.contains("owners"), "{text}");
    lab.sql(&format!("GRANT DELETE, UPDATE ON users TO {role}; GRANT UPDATE ON posts TO {role}"));
    lab.sql(&format!("GRANT INSERT ON users TO {role}"));
    lab.circle(roots, &["--protect", "tenants.id=1"], &[("public.users", 1)]);
}

/// Without the right to build an index the run is slow, and says so.
#[test]
fn an_index_that_cannot_be_built_is_noted() {
    let mut lab = Lab::postgres(
        "CREATE TABLE tenants (id int PRIMARY KEY); CREATE TABLE events (id int PRIMARY KEY, tenant_id int REFERENCES tenants);
         INSERT INTO tenants SELECT generate_series(1, 1000); INSERT INTO events SELECT i, 1 FROM generate_series(1, 30000) i; ANALYZE;",
    );
    let role = lab.as_new_role();
    lab.sql(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"));
    lab.plan("tenants: id > 1", &[]);
    let answer = lab.try_purge();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.stderr.contains("no index on public.events (tenant_id)"), "{answer:?}");
}
