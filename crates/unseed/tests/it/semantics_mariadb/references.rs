//! Foreign keys: row-by-row checks, cycles, cascades, what is only detached, keys across databases.

use super::{LEFT, SHOP};
use crate::lab::{Lab, assert_same, fault};

#[test]
fn a_tenant_with_children_goes_and_comes_back() {
    Lab::mariadb(SHOP).circle("tenants: id = 2", &[], &LEFT);
}

#[test]
fn a_tenant_goes_with_the_servers_own_checks_on() {
    Lab::mariadb(SHOP).circle("tenants: id = 2", &["--path", "checked"], &LEFT);
}

/// The server checks row by row: one DELETE of a chain fails, and a row that refers to itself can never go.
#[test]
fn self_references_go_in_one_batch() {
    for path in ["fast", "checked"] {
        let lab = Lab::mariadb(
            "CREATE TABLE nodes (id INT PRIMARY KEY, parent INT NOT NULL, FOREIGN KEY (parent) REFERENCES nodes (id));
             INSERT INTO nodes VALUES (1, 1); INSERT INTO nodes VALUES (2, 2);
             INSERT INTO nodes SELECT seq, seq - 1 FROM seq_3_to_40;",
        );
        assert!(lab.maria().sql("DELETE FROM nodes WHERE id = 2").is_err(), "a row that refers to itself");
        assert!(
            lab.maria().sql("DELETE FROM nodes WHERE id > 2").is_err(),
            "a chain in the order of its key"
        );
        lab.circle("nodes: id = 2", &["--path", path], &[("nodes", 39)]);
    }
}

/// A chain of cascades of more than fifteen rows is more than the server can do.
#[test]
fn a_long_chain_of_cascades_does_not_depend_on_the_server() {
    let lab = Lab::mariadb(
        "CREATE TABLE nodes (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES nodes (id) ON DELETE CASCADE);
         INSERT INTO nodes VALUES (1, NULL); INSERT INTO nodes SELECT seq, seq - 1 FROM seq_2_to_30;",
    );
    assert!(lab.maria().sql("DELETE FROM nodes WHERE id = 2").is_err(), "twenty-nine rows deep");
    lab.circle("nodes: id = 2", &[], &[("nodes", 29)]);
}

/// No order of statements, nor one statement over both tables, passes the checks.
#[test]
fn a_ring_of_two_tables_that_must_not_be_null_goes() {
    for path in ["fast", "checked"] {
        let lab = Lab::mariadb(
            "SET foreign_key_checks = 0;
             CREATE TABLE a (id INT PRIMARY KEY, b INT NOT NULL, FOREIGN KEY (b) REFERENCES b (id));
             CREATE TABLE b (id INT PRIMARY KEY, a INT NOT NULL, FOREIGN KEY (a) REFERENCES a (id));
             INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES (1, 1), (2, 2);",
        );
        assert!(lab.maria().sql("DELETE a, b FROM a JOIN b ON a.b = b.id WHERE a.id = 2").is_err());
        lab.circle("a: id = 2", &["--path", path], &[("a", 1), ("b", 1)]);
    }
}

/// What the server cascades fires no trigger and is not in its row count: nothing is left to it.
#[test]
fn cascaded_rows_are_archived_and_their_triggers_fire() {
    let lab = Lab::mariadb(&format!(
        "{SHOP} CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, session INT);
         CREATE TRIGGER gone AFTER DELETE ON sessions FOR EACH ROW INSERT INTO log (session) VALUES (OLD.id);"
    ));
    lab.plan("tenants: id = 2", &["--allow-effect", "log"]);
    lab.purge();
    assert_eq!(lab.sql("SELECT GROUP_CONCAT(session ORDER BY session) FROM log"), "2,3");
    assert_eq!(
        lab.archived("r-1", &format!("{}.sessions.sql", lab.maria().name())).len(),
        3,
        "a head, two rows"
    );
}

#[test]
fn what_is_set_to_null_keeps_its_time_of_change() {
    let lab = Lab::mariadb(
        "CREATE TABLE users (id INT PRIMARY KEY);
         CREATE TABLE notes (id INT PRIMARY KEY, author INT, changed TIMESTAMP NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
            touched DATETIME DEFAULT NULL ON UPDATE current_timestamp(), FOREIGN KEY (author) REFERENCES users (id) ON DELETE SET NULL);
         INSERT INTO users VALUES (1), (2);
         INSERT INTO notes VALUES (1, 1, '2020-01-01', NULL), (2, 2, '2020-01-02', '2020-01-03'), (3, 2, '2020-01-02', NULL);",
    );
    let before = lab.picture();
    lab.plan("users: id = 2", &[]);
    lab.purge();
    let found = "SELECT id, author, changed, touched FROM notes WHERE id > 1";
    assert_eq!(
        lab.sql(found),
        "2\tNULL\t2020-01-02 00:00:00\t2020-01-03 00:00:00\n3\tNULL\t2020-01-02 00:00:00\tNULL"
    );
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// A key means the row that the server takes for equal: `Test` is a child of `test `.
#[test]
fn a_declared_key_compares_as_its_collation_does() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (code VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY);
         CREATE TABLE users (id INT PRIMARY KEY, tenant VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci,
            FOREIGN KEY (tenant) REFERENCES tenants (code));
         INSERT INTO tenants VALUES ('real'), ('test '); INSERT INTO users VALUES (1, 'REAL'), (2, 'Test'), (3, 'TEST  ');",
    );
    lab.circle("tenants: code = 'test'", &[], &[("tenants", 1), ("users", 2)]);
}

#[test]
fn keys_of_two_columns_and_keys_to_unique_columns_are_followed() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id BIGINT UNSIGNED PRIMARY KEY, code BINARY(4) NOT NULL UNIQUE);
         CREATE TABLE users (tenant BIGINT UNSIGNED, nr INT, PRIMARY KEY (tenant, nr), FOREIGN KEY (tenant) REFERENCES tenants (id));
         CREATE TABLE keys_of (id INT PRIMARY KEY, code BINARY(4), FOREIGN KEY (code) REFERENCES tenants (code));
         CREATE TABLE posts (id INT PRIMARY KEY, tenant BIGINT UNSIGNED, nr INT, FOREIGN KEY (tenant, nr) REFERENCES users (tenant, nr));
         INSERT INTO tenants VALUES (1, X'00000001'), (18446744073709551615, X'00FF2700');
         INSERT INTO users VALUES (1, 1), (18446744073709551615, 1), (18446744073709551615, 2);
         INSERT INTO keys_of VALUES (1, X'00000001'), (2, X'00FF2700');
         INSERT INTO posts VALUES (1, 1, 1), (2, 18446744073709551615, 2), (3, 18446744073709551615, NULL);",
    );
    lab.circle("tenants: id > 1", &[], &[("tenants", 1), ("users", 2), ("keys_of", 1), ("posts", 1)]);
}

/// A key from another database leads there too, and the plan names it in full.
#[test]
fn a_child_in_another_database_goes_too() {
    let lab = Lab::mariadb(SHOP);
    let other = lab.maria().server().database("other").unwrap();
    let shop = lab.maria().name();
    other
        .sql(&format!(
            "CREATE TABLE bills (id INT PRIMARY KEY, user_id INT, FOREIGN KEY (user_id) REFERENCES `{shop}`.users (id));
             INSERT INTO bills VALUES (1, 1), (2, 2), (3, 3);"
        ))
        .unwrap();
    let plan = lab.plan("tenants: id = 2", &[]);
    assert_eq!(plan.rows(&format!("{}.bills", other.name()), "delete"), 2);
    lab.purge();
    assert_eq!(other.sql("SELECT count(*) FROM bills").unwrap(), "1\n");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_eq!(other.sql("SELECT count(*) FROM bills").unwrap(), "3\n");
}

#[test]
fn a_child_that_comes_while_rows_leave_is_not_left_behind() {
    let lab = Lab::mariadb(SHOP);
    lab.plan("tenants: id = 2", &[]);
    lab.sql("INSERT INTO users VALUES (9, 2, 'late@test.com'); INSERT INTO sessions VALUES (9, 9, 'late')");
    lab.purge();
    assert_eq!(lab.sql("SELECT count(*) FROM users WHERE tenant_id = 2"), "0");
    assert_eq!(lab.count("sessions"), 1);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_eq!((lab.count("users"), lab.count("sessions")), (4, 4));
}

/// MyISAM knows neither keys nor a way back.
#[test]
fn a_table_without_transactions_is_refused_with_the_reason() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id INT PRIMARY KEY); INSERT INTO tenants VALUES (1), (2);
         CREATE TABLE old (id INT PRIMARY KEY, tenant INT) ENGINE = MyISAM; INSERT INTO old VALUES (1, 1), (2, 2);",
    );
    let refused = lab.try_plan("tenants: id = 2", &["--reference", "old.tenant -> tenants.id delete"]);
    fault(&refused, 3, &["its engine MyISAM has no transactions", "ENGINE = InnoDB"]);
}

#[test]
fn a_table_without_a_key_is_refused_with_the_reason() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id INT PRIMARY KEY); INSERT INTO tenants VALUES (1), (2);
         CREATE TABLE hits (tenant INT, FOREIGN KEY (tenant) REFERENCES tenants (id)); INSERT INTO hits VALUES (1), (2);",
    );
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &["hits", "it has no key"]);
}

#[test]
fn a_table_that_keeps_all_versions_is_refused_with_the_reason() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id INT PRIMARY KEY) WITH SYSTEM VERSIONING; INSERT INTO tenants VALUES (1), (2);",
    );
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &["it keeps every version of its rows"]);
}

/// A path to a protected row is refused and named, over a key of text too.
#[test]
fn a_path_to_a_protected_row_is_refused_and_named() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id VARCHAR(20) PRIMARY KEY);
         CREATE TABLE users (id INT PRIMARY KEY, tenant VARCHAR(20), sponsor VARCHAR(20),
            FOREIGN KEY (tenant) REFERENCES tenants (id), FOREIGN KEY (sponsor) REFERENCES tenants (id));
         INSERT INTO tenants VALUES ('real'), ('test'); INSERT INTO users VALUES (1, 'real', 'test'), (2, 'test', NULL);",
    );
    let refused = lab.try_plan("tenants: id = 'test'", &["--protect", "tenants.id=real"]);
    let said = format!("{refused:?}");
    assert_eq!(refused.code, Some(3), "{said}");
    assert!(said.contains("users.sponsor") && said.contains("real"), "{said}");
}
