//! Values and keys: columns hold anything, keys compare as their collation says, numbers are used again.

use super::{LEFT, SHOP};
use crate::lab::{Lab, assert_same, fault};

const MIXED: &str = "
    CREATE TABLE owners (id INTEGER PRIMARY KEY);
    CREATE TABLE odd (owner_id INTEGER REFERENCES owners ON DELETE CASCADE, a, b TEXT, c INTEGER, d REAL, e BLOB, f NUMERIC,
        g TEXT GENERATED ALWAYS AS (b || '!') STORED, h AS (c + 1));
    INSERT INTO owners VALUES (1), (2);
    INSERT INTO odd (owner_id, a, b, c, d, e, f) VALUES
        (1, 1, 'x', 1, 1.5, x'00', 1), (2, 1, 'it''s; \"ok\"', 'not a number', 'text', 'text', '0x10'), (2, '1', x'41ff00', x'00', 9e999, x'', 1.0),
        (2, 1.0, 'a' || char(0) || 'b', 9223372036854775807, -9e999, zeroblob(3), 9007199254740993),
        (2, NULL, CAST(x'c328' AS TEXT), -9223372036854775808, -0.0, NULL, 1e-320), (2, x'3100', '', 1e308, 0.1, x'0d0a3b27', ' 12 '),
        (2, 0.30000000000000004, 'line' || char(10) || 'break; ''' || char(13) || char(10) || '🦀', 3.0, 5e-324, 1.7976931348623157e308, '1e2');";

#[test]
fn values_of_any_type_in_any_column_come_back_as_they_were() {
    let lab = Lab::sqlite(MIXED);
    let typed = "SELECT owner_id, typeof(a), hex(a), typeof(b), hex(b), length(CAST(b AS BLOB)), typeof(c), quote(c), typeof(d), quote(d), typeof(e), hex(e), typeof(f), quote(f) FROM odd ORDER BY 3, 5";
    let before = lab.sql(typed);
    lab.circle("owners: id = 2", &[], &[("owners", 1), ("odd", 6)]);
    assert_eq!(lab.sql(typed), before);
}

#[test]
fn sqlite3_alone_restores_values_of_any_type() {
    let lab = Lab::sqlite(MIXED);
    let before = lab.removes("owners: id = 2", &[], &[("owners", 1), ("odd", 6)]);
    let script = std::fs::File::open(lab.path(".unseed/archive/r-1/restore.sql")).unwrap();
    let mut client = std::process::Command::new("sqlite3");
    client.arg(lab.file()).current_dir(lab.path(".unseed/archive/r-1")).stdin(script);
    let output = client.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_same(&lab.picture(), &before);
}

/// The rowid of a removed maximum is given to the next row: a restore must not touch that one.
#[test]
fn a_rowid_that_is_used_again_is_a_conflict() {
    let lab = Lab::sqlite(SHOP);
    lab.removes("tenants: id = 2", &[], &LEFT);
    lab.sql("INSERT INTO users (tenant_id, email) VALUES (1, 'new@brennan.com')");
    assert_eq!(lab.sql("SELECT max(id) FROM users"), "2", "the number is used again");
    let now = lab.picture();
    fault(&lab.run(&["restore", "r-1", "--confirm", "r-1"]), 1, &["users 2: a row with the same id exists"]);
    assert_same(&lab.picture(), &now);
    lab.sql("DELETE FROM users WHERE id = 2");
    lab.restore("r-1");
}

#[test]
fn an_autoincrement_goes_on_after_restored_rows() {
    let lab = Lab::sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT); INSERT INTO t (v) VALUES ('real'), ('test'), ('test');",
    );
    lab.circle("t: v = 'test'", &[], &[("t", 2)]);
    assert_eq!(lab.sql("INSERT INTO t (v) VALUES ('next') RETURNING id"), "4");
}

#[test]
fn tables_without_a_rowid_are_purged_by_their_key() {
    let lab = Lab::sqlite(
        "CREATE TABLE tenants (code TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID;
         CREATE TABLE users (tenant TEXT NOT NULL REFERENCES tenants ON DELETE CASCADE, n, k BLOB, PRIMARY KEY (tenant, n, k)) WITHOUT ROWID;
         CREATE TABLE notes (tenant TEXT, n, k BLOB, body TEXT, FOREIGN KEY (tenant, n, k) REFERENCES users ON DELETE SET NULL);
         INSERT INTO tenants VALUES ('a,b', 'real'), ('it''s', 'test');
         INSERT INTO users VALUES ('a,b', 1, x'00'), ('it''s', 1, x'00'), ('it''s', '1', x'0001'), ('it''s', 1.5, x'');
         INSERT INTO notes VALUES ('it''s', '1', x'0001', 'one'), ('it''s', 1, x'00', 'two'), ('a,b', 1, x'00', 'three');",
    );
    lab.circle("tenants: name = 'test'", &[], &[("tenants", 1), ("users", 3)]);
}

/// The parent's collation decides which child refers to it, and the parent's type.
#[test]
fn keys_are_compared_as_their_parent_compares_them() {
    let lab = Lab::sqlite(
        "CREATE TABLE users (email TEXT PRIMARY KEY COLLATE NOCASE, n INTEGER NOT NULL UNIQUE, s TEXT NOT NULL UNIQUE);
         CREATE TABLE a (id INTEGER PRIMARY KEY, email TEXT REFERENCES users);
         CREATE TABLE b (id INTEGER PRIMARY KEY, n TEXT REFERENCES users (n));
         CREATE TABLE c (id INTEGER PRIMARY KEY, s INTEGER REFERENCES users (s));
         INSERT INTO users VALUES ('Real@x.com', 1, '1'), ('Test@x.com', 2, '2'), ('other@x.com', 3, '02');
         INSERT INTO a VALUES (1, 'real@x.com'), (2, 'TEST@x.com'), (3, 'test@x.com'); INSERT INTO b VALUES (1, '1'), (2, '2'); INSERT INTO c VALUES (1, 1), (2, 2);",
    );
    assert_eq!(lab.sql("PRAGMA foreign_key_check"), "", "all of them are valid references");
    lab.circle("users: email = 'test@x.com'", &[], &[("users", 1), ("a", 2), ("b", 1), ("c", 1)]);
}

/// Keys of sixteen bytes, as many an application stores its UUIDs, are shown and typed as literals.
#[test]
fn keys_of_bytes_are_found_again() {
    let lab = Lab::sqlite(
        "CREATE TABLE users (id BLOB PRIMARY KEY, name TEXT); CREATE TABLE posts (id PRIMARY KEY, user_id BLOB REFERENCES users);
         INSERT INTO users VALUES (x'00ff112233445566778899aabbccddee', 'real'), (x'fffe112233445566778899aabbccddee', 'test'), (x'41', 'test'), ('A', 'real');
         INSERT INTO posts VALUES (1, x'00ff112233445566778899aabbccddee'), ('2', x'fffe112233445566778899aabbccddee'), (2, x'41'), (2.5, 'A');",
    );
    let real = "users.id=X'00FF112233445566778899AABBCCDDEE'";
    let text = fault(&lab.try_plan("users: id <> 'A'", &["--protect", real]), 3, &["is protected"]);
    assert!(text.contains("users X'00FF112233445566778899AABBCCDDEE' is protected"), "{text}");
    lab.circle("users: name = 'test'", &["--protect", real], &[("users", 2), ("posts", 2)]);
    std::fs::write(lab.path("ids"), "X'FFFE112233445566778899AABBCCDDEE'\n").unwrap();
    let url = lab.url();
    assert_eq!(lab.run(&["plan", &url, "--ids", "users=ids", "-o", "plan.json"]).code, Some(0));
    assert_eq!(lab.plan_id().len(), 8);
}

/// A key column without a type can hold 1 and '1' at once, which no text tells apart: refused, not shrunk.
#[test]
fn rows_that_cannot_be_found_again_by_their_key_are_refused() {
    let lab = Lab::sqlite(
        "CREATE TABLE t (id PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'real'), ('2', 'test'), (3, 'test'), (x'34', 'test');",
    );
    fault(
        &lab.try_plan("t: v = 'test'", &[]),
        3,
        &["1 of 3 chosen rows of `t` cannot be found again by their key id"],
    );
    lab.circle("t: v = 'test' AND id <> 3", &[], &[("t", 2)]);
}

#[test]
fn rows_that_nothing_tells_apart_are_refused_when_planning() {
    let lab = Lab::sqlite(
        "CREATE TABLE tenants (id INTEGER PRIMARY KEY); CREATE TABLE odd (rowid TEXT, oid TEXT, _rowid_ TEXT, tenant_id INT REFERENCES tenants);
         INSERT INTO tenants VALUES (1), (2); INSERT INTO odd VALUES ('a', 'b', 'c', 2);",
    );
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &["rows of `odd` cannot be told apart"]);
}
