//! What random cases have found, told as small stories, on each store that it concerns.

use crate::lab::{Lab, assert_same, fault};

/// The same story in both databases.
fn on_both(ddl: &str, story: impl Fn(&Lab<'static>)) {
    story(&Lab::postgres(ddl));
    story(&Lab::sqlite(ddl));
}

/// The name under which a table stands in answers.
fn named(lab: &Lab<'_>, table: &str) -> String {
    if lab.url().starts_with("sqlite") { table.to_owned() } else { format!("public.{table}") }
}

/// Purges these roots of the tables `users` and `shops`.
#[track_caller]
fn purge_both(lab: &Lab<'_>, users: &str, shops: &str) {
    lab.plan(&format!("users: {users}"), &["--where", &format!("shops: {shops}")]);
    lab.purge();
    lab.verify("r-1");
}

#[track_caller]
fn restore_root(lab: &Lab<'_>, root: &str) {
    lab.json(0, &["restore", "r-1", "--root", root, "--confirm", "r-1"]);
}

#[test]
fn rows_without_a_key_get_back_what_each_of_them_referred_to() {
    on_both(
        "CREATE TABLE owners (id int NOT NULL PRIMARY KEY);
         CREATE TABLE events (note text, a int REFERENCES owners ON DELETE SET NULL, b int REFERENCES owners ON DELETE SET NULL);
         INSERT INTO owners VALUES (1), (2), (3), (4);
         INSERT INTO events VALUES ('x', 2, NULL), ('x', 3, NULL), ('x', 3, NULL), ('x', NULL, NULL), ('x', NULL, 4), ('x', 2, 4),
            ('x', 1, 4), ('x', 1, 3), ('x', 1, NULL), (NULL, 2, 1), (NULL, 4, 1);",
        |lab| {
            let before = lab.removes("owners: id > 1", &[], &[(&named(lab, "owners"), 3)]);
            lab.restore("r-1");
            assert_eq!(lab.picture(), before);
        },
    );
}

#[test]
fn a_row_without_a_key_that_was_changed_since_stops_the_restore() {
    on_both(
        "CREATE TABLE owners (id int NOT NULL PRIMARY KEY);
         CREATE TABLE events (note text, a int REFERENCES owners ON DELETE SET NULL);
         INSERT INTO owners VALUES (1), (2); INSERT INTO events VALUES ('x', 2), ('y', 2);",
        |lab| {
            lab.removes("owners: id = 2", &[], &[(&named(lab, "owners"), 1)]);
            lab.sql("UPDATE events SET note = 'z' WHERE note = 'x'");
            let now = lab.picture();
            let answer = lab.run(&["restore", "r-1", "--confirm", "r-1"]);
            fault(&answer, 1, &["a row without a key: the row that was detached is not as it was left"]);
            assert_same(&lab.picture(), &now);
        },
    );
}

#[test]
fn one_root_comes_back_with_the_references_to_it_and_no_others() {
    on_both(
        "CREATE TABLE users (id int NOT NULL PRIMARY KEY);
         CREATE TABLE notes (id int NOT NULL PRIMARY KEY, author int REFERENCES users ON DELETE SET NULL, reviewer int REFERENCES users ON DELETE SET NULL);
         INSERT INTO users VALUES (1), (2), (3); INSERT INTO notes VALUES (1, 2, 3), (2, 1, 2), (3, 3, 1);",
        |lab| {
            let before = lab.removes("users: id > 1", &[], &[(&named(lab, "users"), 2)]);
            restore_root(lab, "2");
            assert_eq!(lab.sql("SELECT id, author, reviewer FROM notes ORDER BY id"), "1|2|\n2|1|2\n3||1");
            restore_root(lab, "3");
            assert_same(&lab.picture(), &before);
        },
    );
}

/// Of a key of two columns only the one that may be null was written; the other still tells whom it meant.
#[test]
fn half_a_detached_key_finds_its_root_again() {
    on_both(
        "CREATE TABLE users (scope int NOT NULL, id int NOT NULL, PRIMARY KEY (scope, id));
         CREATE TABLE notes (id int NOT NULL PRIMARY KEY, scope int NOT NULL, author int,
            FOREIGN KEY (scope, author) REFERENCES users ON DELETE SET NULL);
         INSERT INTO users VALUES (1, 1), (1, 2), (2, 2); INSERT INTO notes VALUES (1, 1, 2), (2, 2, 2), (3, 1, 1);",
        |lab| {
            let before = lab.removes("users: id = 2", &[], &[(&named(lab, "users"), 2)]);
            restore_root(lab, "1,2");
            assert_eq!(lab.sql("SELECT id, author FROM notes ORDER BY id"), "1|2\n2|\n3|1");
            restore_root(lab, "2,2");
            assert_same(&lab.picture(), &before);
        },
    );
}

#[test]
fn a_root_does_not_come_back_without_what_its_rows_also_need() {
    on_both(
        "CREATE TABLE users (id int NOT NULL PRIMARY KEY); CREATE TABLE shops (id int NOT NULL PRIMARY KEY);
         CREATE TABLE orders (id int NOT NULL PRIMARY KEY, user_id int NOT NULL REFERENCES users, shop_id int NOT NULL REFERENCES shops);
         INSERT INTO users VALUES (1), (2); INSERT INTO shops VALUES (1), (2); INSERT INTO orders VALUES (1, 1, 1), (2, 2, 2);",
        |lab| {
            purge_both(lab, "id = 2", "id = 2");
            let now = lab.picture();
            let answer = lab.run(&["restore", "r-1", "--root", "users=2", "--confirm", "r-1"]);
            fault(&answer, 1, &["orders 2: its parent in", "shops` is missing"]);
            assert_same(&lab.picture(), &now);
        },
    );
}

const WITH_ORPHANS: &str = "
    CREATE TABLE plans (id INTEGER PRIMARY KEY); CREATE TABLE tenants (id INTEGER PRIMARY KEY);
    CREATE TABLE users (id INTEGER PRIMARY KEY, tenant_id INTEGER REFERENCES tenants, plan_id INTEGER REFERENCES plans);
    INSERT INTO plans VALUES (1); INSERT INTO tenants VALUES (1), (2); INSERT INTO users VALUES (1, 1, 1), (2, 2, 99), (3, 2, 1);";

/// SQLite lets orphans in unless it is told not to, so that many a file has some.
#[test]
fn orphans_that_were_there_before_come_back() {
    Lab::sqlite(WITH_ORPHANS).circle("tenants: id = 2", &[], &[("tenants", 1), ("users", 2)]);
}

#[test]
fn rows_whose_parent_went_since_are_a_conflict_in_sqlite_too() {
    let lab = Lab::sqlite(WITH_ORPHANS);
    lab.removes("tenants: id = 2", &[], &[("tenants", 1), ("users", 2)]);
    lab.sql("UPDATE users SET plan_id = NULL WHERE id = 1; DELETE FROM plans");
    let now = lab.picture();
    let answer = lab.run(&["restore", "r-1", "--confirm", "r-1"]);
    fault(&answer, 1, &["its parent in `plans` is missing"]);
    assert_same(&lab.picture(), &now);
}

#[test]
fn keys_of_unlike_types_are_restored_in_sqlite() {
    let lab = Lab::sqlite(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, boss_id TEXT REFERENCES users);
         CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id REFERENCES users ON DELETE CASCADE);
         INSERT INTO users VALUES (1, NULL), (2, NULL), (3, '2'); INSERT INTO posts VALUES (1, '1'), (2, '2'), (3, 3);",
    );
    lab.circle("users: id = 2", &[], &[("users", 2), ("posts", 2)]);
}

#[test]
fn a_column_called_rowid_is_no_rowid() {
    let lab = Lab::sqlite(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, rowid TEXT);
         CREATE TABLE posts (rowid TEXT, user_id INTEGER REFERENCES users, oid INTEGER);
         INSERT INTO users VALUES (1, 'a'), (2, 'a'), (3, NULL); INSERT INTO posts VALUES ('p', 1, 1), ('p', 2, 1), (NULL, 3, 1);",
    );
    let before = lab.removes("users: id > 1", &[], &[("users", 2), ("posts", 2)]);
    restore_root(&lab, "2");
    restore_root(&lab, "3");
    assert_same(&lab.picture(), &before);
}

#[test]
fn references_and_keys_of_generated_columns_come_back() {
    on_both(
        "CREATE TABLE users (n int NOT NULL, code text GENERATED ALWAYS AS ('u' || n) STORED NOT NULL UNIQUE);
         CREATE TABLE posts (id int NOT NULL PRIMARY KEY, by_code text REFERENCES users (code), n int,
            own text GENERATED ALWAYS AS ('u' || n) STORED REFERENCES users (code));
         INSERT INTO users (n) VALUES (1), (2), (3); INSERT INTO posts (id, by_code, n) VALUES (1, 'u1', 1), (2, 'u2', NULL), (3, NULL, 3);",
        |lab| {
            let gone = [(named(lab, "users"), 2), (named(lab, "posts"), 2)];
            let gone = gone.each_ref().map(|(table, rows)| (table.as_str(), *rows));
            let before = lab.removes("users: n > 1", &[], &gone);
            restore_root(lab, "u2");
            assert_eq!(lab.sql("SELECT id, by_code, own FROM posts ORDER BY id"), "1|u1|u1\n2|u2|");
            restore_root(lab, "u3");
            assert_same(&lab.picture(), &before);
        },
    );
}

/// A key of one partition counts for the rows in it, and for no others.
#[test]
fn a_key_of_one_partition_is_missed_in_that_partition() {
    let lab = Lab::postgres(
        "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE shops (id int PRIMARY KEY);
         CREATE TABLE orders (year int NOT NULL, id int NOT NULL, user_id int NOT NULL REFERENCES users, shop_id int,
            PRIMARY KEY (year, id)) PARTITION BY LIST (year);
         CREATE TABLE orders_24 PARTITION OF orders FOR VALUES IN (2024);
         CREATE TABLE orders_25 PARTITION OF orders FOR VALUES IN (2025);
         ALTER TABLE orders_25 ADD FOREIGN KEY (shop_id) REFERENCES shops;
         INSERT INTO users VALUES (1), (2), (3); INSERT INTO shops VALUES (1), (2);
         INSERT INTO orders VALUES (2024, 1, 2, 2), (2024, 2, 2, 77), (2025, 1, 1, 1), (2025, 2, 3, 2);",
    );
    purge_both(&lab, "id > 1", "id = 2");
    let now = lab.picture();
    let answer = lab.run(&["restore", "r-1", "--root", "users=3", "--confirm", "r-1"]);
    fault(&answer, 1, &["public.orders 2025, 2: its parent in `public.shops` is missing"]);
    assert_same(&lab.picture(), &now);
    restore_root(&lab, "users=2");
    assert_eq!(lab.sql("SELECT count(*) FROM orders"), "3");
}
