//! Keys and cycles, with foreign keys off, on and deferred.

use super::{LEFT, SHOP};
use crate::lab::{Lab, assert_same, fault};

/// `foreign_keys` is off by default, so a plain DELETE of the parent leaves its children behind.
#[test]
fn children_leave_although_the_database_enforces_nothing() {
    let lab = Lab::sqlite(SHOP);
    assert_eq!(lab.sql("PRAGMA foreign_keys"), "0");
    lab.circle("tenants: id = 2", &[], &LEFT);
    assert_eq!(lab.sql("PRAGMA foreign_key_check"), "");
}

/// Without `defer_foreign_keys` a self reference under RESTRICT cannot be deleted at all.
#[test]
fn a_tree_leaves_whatever_its_rule_is() {
    for rule in
        ["", "ON DELETE RESTRICT", "ON DELETE CASCADE", "ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED"]
    {
        let lab = Lab::sqlite(&format!(
            "CREATE TABLE folders (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES folders {rule}, name TEXT);
             INSERT INTO folders VALUES (1, NULL, 'real'), (2, 4, 'test'), (3, 2, 'x'), (4, 3, 'y'), (5, 1, 'z'), (6, 6, 'own');"
        ));
        lab.circle("folders: name IN ('test', 'own')", &[], &[("folders", 4)]);
    }
}

#[test]
fn not_null_cycles_leave_and_come_back() {
    for rule in ["", "ON DELETE RESTRICT", "ON DELETE CASCADE", "ON DELETE SET NULL"] {
        let lab = Lab::sqlite(&format!(
            "CREATE TABLE teams (id INTEGER PRIMARY KEY, lead_id INTEGER NOT NULL REFERENCES people {rule}, name TEXT);
             CREATE TABLE people (id INTEGER PRIMARY KEY, team_id INTEGER NOT NULL REFERENCES teams {rule});
             INSERT INTO teams VALUES (1, 1, 'real'), (2, 2, 'test'), (3, 3, 'test');
             INSERT INTO people VALUES (1, 1), (2, 2), (3, 3), (4, 3);"
        ));
        lab.circle("teams: name = 'test'", &[], &[("teams", 2), ("people", 3)]);
    }
}

/// `changes()` leaves cascades out and the server's SET NULL rewrites rows that are about to leave.
#[test]
fn tables_that_refer_to_each_other_strongly_and_weakly_leave_together() {
    let lab = Lab::sqlite(
        "CREATE TABLE orgs (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES users ON DELETE SET NULL, name TEXT);
         CREATE TABLE users (id INTEGER PRIMARY KEY, org_id INTEGER NOT NULL REFERENCES orgs ON DELETE CASCADE);
         INSERT INTO orgs VALUES (1, 1, 'real'), (2, 2, 'test'), (3, 2, 'real'); INSERT INTO users VALUES (1, 1), (2, 2), (3, 2), (4, 3);",
    );
    lab.circle("orgs: name = 'test'", &[], &[("orgs", 1), ("users", 2)]);
}

#[test]
fn composite_keys_unique_targets_and_set_null_behave_as_declared() {
    let lab = Lab::sqlite(
        "CREATE TABLE users (tenant_id INTEGER, id INTEGER, code TEXT NOT NULL UNIQUE, PRIMARY KEY (tenant_id, id));
         CREATE TABLE tasks (id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL, assignee_id INTEGER,
            FOREIGN KEY (tenant_id, assignee_id) REFERENCES users ON DELETE SET NULL);
         CREATE TABLE marks (id INTEGER PRIMARY KEY, code TEXT REFERENCES users (code));
         CREATE TABLE firm (id INTEGER PRIMARY KEY, code TEXT NOT NULL REFERENCES users (code) ON DELETE SET NULL);
         CREATE TABLE files (id INTEGER PRIMARY KEY, code TEXT DEFAULT 'one' REFERENCES users (code) ON DELETE SET DEFAULT);
         INSERT INTO users VALUES (1, 1, 'one'), (1, 2, 'two'); INSERT INTO tasks VALUES (1, 1, 1), (2, 1, 2);
         INSERT INTO marks VALUES (1, 'one'), (2, 'two'); INSERT INTO firm VALUES (1, 'one'), (2, 'two'); INSERT INTO files VALUES (1, 'one'), (2, 'two');",
    );
    let plan = lab.plan("users: id = 2", &[]);
    assert!(plan.warnings("not-null-pull")[0].contains("firm.code → users.code (SET NULL)"));
    let before = lab.picture();
    lab.purge();
    assert_eq!(lab.sql("SELECT * FROM tasks; SELECT * FROM files;"), "1|1|1\n2|1|\n1|one\n2|one");
    lab.left(&before, &[("users", 1), ("marks", 1), ("firm", 1)]);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// "foreign key mismatch" on any delete of the parent, in the middle of a naive purge.
#[test]
fn a_parent_without_a_unique_index_does_not_stop_a_purge() {
    let lab = Lab::sqlite(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, code TEXT); CREATE TABLE marks (id INTEGER PRIMARY KEY, code TEXT REFERENCES users (code));
         CREATE TABLE gone (id INTEGER PRIMARY KEY, x INTEGER REFERENCES nowhere (id));
         INSERT INTO users VALUES (1, 'one'), (2, 'two'), (3, 'two'); INSERT INTO marks VALUES (1, 'one'), (2, 'two'); INSERT INTO gone VALUES (1, 1);",
    );
    let naive = "PRAGMA foreign_keys = ON; DELETE FROM users WHERE id = 2";
    let said = unseed_testkit::server::sqlite::run(lab.file(), naive).unwrap_err().to_string();
    assert!(said.contains("foreign key mismatch"), "{said}");
    lab.circle("users: code = 'two'", &[], &[("users", 2), ("marks", 1)]);
}

/// Orphans are common where nothing is enforced: those that leave must come back, others must not be blamed.
#[test]
fn rows_that_referred_to_nothing_before_come_back() {
    let lab = Lab::sqlite(&format!(
        "{SHOP} INSERT INTO sessions VALUES (7, 77, 'orphan'); INSERT INTO users VALUES (4, 99, 'orphan');
         CREATE TABLE docs (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users, plan_id INTEGER REFERENCES tenants);
         INSERT INTO docs VALUES (1, 2, 55), (2, 2, 1), (3, 1, 1);"
    ));
    lab.circle("tenants: id = 2", &[], &[("tenants", 1), ("users", 2), ("sessions", 2), ("docs", 2)]);
}

/// A parent that went since the purge is told, also here where the database would not notice.
#[test]
fn a_parent_that_is_gone_since_is_a_conflict() {
    let lab = Lab::sqlite(&format!(
        "{SHOP} CREATE TABLE plans (id INTEGER PRIMARY KEY); INSERT INTO plans VALUES (1);
         CREATE TABLE docs (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users, plan_id INTEGER REFERENCES plans); INSERT INTO docs VALUES (1, 2, 1);"
    ));
    lab.plan("tenants: id = 2", &[]);
    lab.purge();
    lab.sql("DELETE FROM plans");
    let now = lab.picture();
    fault(
        &lab.run(&["restore", "r-1", "--confirm", "r-1"]),
        1,
        &["docs 1", "its parent in `plans` is missing"],
    );
    assert_same(&lab.picture(), &now);
}

/// Fides skips such a table and calls it done.
#[test]
fn rows_of_a_table_without_a_key_leave_and_come_back() {
    let lab = Lab::sqlite(
        "CREATE TABLE users (id INTEGER PRIMARY KEY); CREATE TABLE visits (user_id INTEGER NOT NULL REFERENCES users, page);
         CREATE TABLE likes (user_id INTEGER REFERENCES users ON DELETE SET NULL, page);
         INSERT INTO users VALUES (1), (2); INSERT INTO visits VALUES (1, 'a'), (2, 'a'), (2, 'a'), (2, 1), (2, '1');
         INSERT INTO likes VALUES (1, 'a'), (2, 'a'), (2, 'a'), (NULL, 'a'), (NULL, 'a'), (2, NULL), (NULL, NULL);",
    );
    lab.circle("users: id = 2", &[], &[("users", 1), ("visits", 4)]);
}

#[test]
fn odd_names_are_no_trouble() {
    let lab = Lab::sqlite(
        "CREATE TABLE \"Ten\"\"ants: all\" (\"Id\" INTEGER PRIMARY KEY, \"select\" TEXT);
         CREATE TABLE x (k INTEGER PRIMARY KEY, tag, doomed, rowid TEXT, _rowid_ TEXT, oid TEXT, tid, \"order\" INTEGER REFERENCES \"Ten\"\"ants: all\");
         INSERT INTO \"Ten\"\"ants: all\" VALUES (1, 'real'), (2, 'test');
         INSERT INTO x VALUES (1, 1, 1, 'a', 'a', 'a', 1, 1), (2, 2, 2, 'b', 'b', 'b', 2, 2);",
    );
    std::fs::write(lab.path("ids"), "2\n").unwrap();
    let before = lab.picture();
    let url = lab.url();
    let answer = lab.run(&["plan", &url, "--ids", "Ten\"ants: all=ids", "-o", "plan.json"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    lab.purge();
    lab.left(&before, &[("Ten\"ants: all", 1), ("x", 1)]);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

#[test]
fn a_protected_row_that_would_be_reached_is_named_with_its_path() {
    let lab = Lab::sqlite(&format!(
        "{SHOP} CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL REFERENCES tenants, author_id INTEGER NOT NULL REFERENCES users);
         INSERT INTO docs VALUES (1, 1, 3);"
    ));
    let says = "tenants 2 → users 3 (by users.tenant_id) → docs 1 (by docs.author_id) belongs to protected tenants 1";
    fault(&lab.try_plan("tenants: id = 2", &["--protect", "tenants.id=1"]), 3, &[says]);
}

/// A predicate is one expression: nothing behind it gets through.
#[test]
fn a_predicate_cannot_write() {
    let lab = Lab::sqlite(SHOP);
    let before = lab.picture();
    for attack in [
        "tenants: 1=1); DELETE FROM sessions; --",
        "tenants: id = 2) UNION SELECT 1, 2; DROP TABLE sessions; SELECT (1",
    ] {
        fault(&lab.try_plan(attack, &[]), 2, &["is not valid"]);
        assert_same(&lab.picture(), &before);
    }
}

/// The default of a reference can lead to a row that leaves itself.
#[test]
fn a_default_that_leaves_too_is_not_written() {
    let ddl = "CREATE TABLE tenants (id INTEGER PRIMARY KEY);
        CREATE TABLE notes (id INTEGER PRIMARY KEY, by_id INT DEFAULT 2 REFERENCES tenants ON DELETE SET DEFAULT);
        INSERT INTO tenants VALUES (1), (2), (3); INSERT INTO notes VALUES (1, 1), (2, 2), (3, 3);";
    for path in ["fast", "checked"] {
        let lab = Lab::postgres(ddl);
        lab.circle("tenants: id > 1", &["--path", path], &[("public.tenants", 2)]);
        lab.circle_as("tenants: id = 3", "r-2");
    }
    let lab = Lab::sqlite(ddl);
    let before = lab.removes("tenants: id > 1", &[], &[("tenants", 2)]);
    assert_eq!(lab.sql("SELECT id, by_id FROM notes"), "1|1\n2|\n3|");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
    lab.plan("tenants: id = 3", &[]);
    lab.purge();
    assert_eq!(lab.sql("SELECT id, by_id FROM notes"), "1|1\n2|2\n3|2");
}

/// References that are emptied can make two rows alike; nobody but a person knows which is meant.
#[test]
fn rows_that_would_become_alike_are_told_with_a_way_out() {
    let ddl = "CREATE TABLE tenants (id INTEGER PRIMARY KEY);
        CREATE TABLE labels (id INTEGER PRIMARY KEY, tenant_id INT REFERENCES tenants ON DELETE SET NULL, name TEXT);
        CREATE UNIQUE INDEX common ON labels (name) WHERE tenant_id IS NULL;
        INSERT INTO tenants VALUES (1), (2); INSERT INTO labels VALUES (1, NULL, 'x'), (2, 2, 'x');";
    for lab in [Lab::sqlite(ddl), Lab::postgres(ddl)] {
        let before = lab.picture();
        lab.plan("tenants: id = 2", &[]);
        fault(&lab.try_purge(), 4, &["two rows would be alike"]);
        assert_same(&lab.picture(), &before);
    }
}
