//! Values and keys: what a naive copy spoils, what a collation takes for equal, what the server turns into another.

use super::{LEFT, SHOP};
use crate::lab::{Lab, assert_same, fault};
use std::process::Command;

const EVERY: &str = "
    SET sql_mode = 'ALLOW_INVALID_DATES';
    CREATE TABLE owners (id INT PRIMARY KEY);
    CREATE TABLE odd (id BIGINT UNSIGNED PRIMARY KEY, owner INT NOT NULL, f FLOAT, d DOUBLE, n DECIMAL(40,20), b BIT(17), e ENUM('a','b''c',''), s SET('x','y'),
        vb VARBINARY(40), lb LONGBLOB, t MEDIUMTEXT CHARACTER SET utf8mb4, l VARCHAR(20) CHARACTER SET latin1, u VARCHAR(9) CHARACTER SET ucs2, c CHAR(5),
        j JSON, dt DATETIME(6), ts TIMESTAMP(6) NULL, da DATE, ti TIME(6), y YEAR, uu UUID, ip INET6, g GEOMETRY,
        hidden INT INVISIBLE DEFAULT 7, made INT AS (LENGTH(t)) STORED, virt INT AS (owner + 1) VIRTUAL, FOREIGN KEY (owner) REFERENCES owners (id));
    INSERT INTO owners VALUES (1), (2);
    INSERT INTO odd (id, owner, f, d, n, b, e, s, vb, lb, t, l, u, c, j, dt, ts, da, ti, y, uu, ip, g, hidden) VALUES
      (1, 1, 1, 1, 1, 1, 'a', 'x', 'x', 'x', 'x', 'x', 'x', 'x', '1', NOW(), NOW(), NOW(), '1:0:0', 2026, UUID(), '::1', NULL, 1),
      (18446744073709551615, 2, 0.1, 0.1, 0.00000000000000000001, b'10000000000000001', 'b''c', 'x,y', X'00FF275C0A', X'000D0A1A', 'it''s; \\\\ \\n\\r\\n\\0\\Z end;\n', X'E980A0', _ucs2 X'00E92603', ' a',
        '{\"a\":1,  \"a\":2}', '0000-00-00', '2026-03-29 02:30:00.123456', '2026-02-31', '-838:59:59', 0, 'f36002d3-e59a-11f1-a6dd-02fc00000001', '::ffff:1.2.3.4', ST_GeomFromText('POINT(1 2.5)', 4326), 2),
      (3, 2, -1e-30, -1.7976931348623157e308, -12345678901234567890.12345678901234567890, 0, '', '', X'', X'', '', '', '', '', '[1.0]', '9999-12-31 23:59:59.999999', NULL, '0000-00-00', '00:00:00.000001', 1901, NULL, NULL, NULL, NULL),
      (4, 2, NULL, 5e-324, NULL, NULL, NULL, NULL, NULL, NULL, 'NULL', 'NULL', NULL, 'NULL', NULL, NULL, '1970-01-01 00:00:01', NULL, NULL, NULL, NULL, NULL, NULL, 3),
      (5, 2, 3.40282e38, 2.2250738585072014e-308, 0, 1, 'a', 'y', 'é', REPEAT('q', 300000), REPEAT('\\\\\\'', 100000), 'a ', 'b ', 'b ', 'null', NOW(6), NOW(6), NOW(), NOW(6), 2155, UUID(), 'fe80::1', ST_GeomFromText('LINESTRING(0 0,1 1)'), 4);";

/// What a dump does not show: floats to their last digit, columns that `SELECT *` leaves out.
const EXACT: &str = "SELECT id, CAST(f AS DOUBLE), d, n, b + 0, e + 0, HEX(vb), MD5(lb), MD5(t), HEX(l), HEX(u), HEX(c), HEX(j), dt, ts, da, ti, y, HEX(g), hidden, made, virt FROM odd ORDER BY id";

#[test]
fn values_of_every_type_come_back_as_they_were() {
    let lab = Lab::mariadb(EVERY);
    let before = lab.sql(EXACT);
    lab.circle("owners: id = 2", &[], &[("owners", 1), ("odd", 4)]);
    assert_eq!(lab.sql(EXACT), before);
}

/// Runs the archive's script with the client alone.
#[track_caller]
fn restore_by_hand(lab: &Lab<'_>) -> std::process::Output {
    let mut shell = Command::new("sh");
    shell.args(["restore.sh", "mariadb", "--no-defaults", "--user=root"]);
    shell.arg(format!("--socket={}", lab.maria().server().socket().display())).arg(lab.maria().name());
    shell.current_dir(lab.path(".unseed/archive/r-1")).output().unwrap()
}

#[test]
fn mariadb_alone_restores_values_of_every_type() {
    let lab = Lab::mariadb(EVERY);
    let exact = lab.sql(EXACT);
    let before = lab.removes("owners: id = 2", &[], &[("owners", 1), ("odd", 4)]);
    let output = restore_by_hand(&lab);
    assert!(output.status.success(), "{output:?}");
    assert_same(&lab.picture(), &before);
    assert_eq!(lab.sql(EXACT), exact);
}

#[test]
fn mariadb_alone_restores_nothing_if_a_row_is_in_the_way_or_missing() {
    let lab = Lab::mariadb(SHOP);
    lab.removes("tenants: id = 2", &[], &LEFT);
    lab.sql("INSERT INTO users VALUES (2, 1, 'new')");
    let now = lab.picture();
    assert!(!restore_by_hand(&lab).status.success());
    assert_same(&lab.picture(), &now);
    lab.sql("DELETE FROM users WHERE id = 2");
    let now = lab.picture();
    let part = lab.path(&format!(".unseed/archive/r-1/1/{}.users.sql.gz", lab.maria().name()));
    let part = if part.is_file() { part } else { parts(&lab, "users") };
    std::fs::remove_file(part).unwrap();
    let output = restore_by_hand(&lab);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("not all archived rows could be read"), "{said}");
    assert_same(&lab.picture(), &now);
}

fn parts(lab: &Lab<'_>, table: &str) -> std::path::PathBuf {
    let run = lab.path(".unseed/archive/r-1");
    let batches = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    let files = batches.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).unwrap());
    let name = format!(".{table}.sql.gz");
    files.map(|file| file.unwrap().path()).find(|file| file.to_string_lossy().ends_with(&name)).unwrap()
}

/// 0 in a counting column means the next number, unless the session says otherwise.
#[test]
fn a_row_with_the_number_zero_comes_back_as_zero() {
    let lab = Lab::mariadb(
        "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
         CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT); INSERT INTO t VALUES (0, 'test'), (1, 'real'), (7, 'test');",
    );
    lab.circle("t: v = 'test'", &[], &[("t", 2)]);
    lab.sql("INSERT INTO t (v) VALUES ('next')");
    assert_eq!(lab.sql("SELECT max(id) FROM t"), "8", "numbers go on behind the restored rows");
}

/// `test@X.com ` is no `Test@x.com`, whatever `=` says: a typed key means the row with these bytes.
#[test]
fn keys_that_are_typed_mean_their_bytes() {
    let lab = Lab::mariadb(
        "CREATE TABLE users (email VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY);
         INSERT INTO users VALUES ('Test@x.com'), ('other');",
    );
    assert_eq!(lab.sql("SELECT count(*) FROM users WHERE email = 'test@X.com  '"), "1");
    std::fs::write(lab.path("ids"), "test@X.com\n").unwrap();
    let url = lab.url();
    let file = lab.path("ids").display().to_string();
    let answer = lab.run(&["plan", &url, "--ids", &format!("users={file}"), "-o", "plan.json"]);
    assert_ne!(answer.code, Some(0), "{answer:?}");
    std::fs::write(lab.path("ids"), "Test@x.com\n").unwrap();
    let answer = lab.run(&["plan", &url, "--ids", &format!("users={file}"), "-o", "plan.json"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
}

/// A configured link over text follows bytes: the other spelling belongs to somebody else.
#[test]
fn a_configured_link_compares_bytes() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id INT PRIMARY KEY, code VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci);
         CREATE TABLE hits (id INT PRIMARY KEY, code VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci);
         INSERT INTO tenants VALUES (1, 'ABC'), (2, 'abc'); INSERT INTO hits VALUES (1, 'ABC'), (2, 'abc'), (3, 'abc ');",
    );
    let link = ["--reference", "hits.code -> tenants.code delete"];
    lab.circle("tenants: id = 2", &link, &[("tenants", 1), ("hits", 1)]);
}

/// FLOAT 0.1 is not 0.1: rows are found by what is stored.
#[test]
fn a_key_of_floats_finds_its_rows() {
    let lab = Lab::mariadb(
        "CREATE TABLE t (f FLOAT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (0.1, 'test'), (0.2, 'real'), (1e-30, 'test');",
    );
    assert_eq!(lab.sql("SELECT count(*) FROM t WHERE f = 0.1"), "0");
    lab.circle("t: v = 'test'", &[], &[("t", 2)]);
}

#[test]
fn keys_of_every_kind_find_their_rows() {
    for (kind, values) in [
        ("BINARY(3)", "(X'000000', 'real'), (X'00FF00', 'test'), (X'202020', 'test')"),
        ("BIT(64)", "(1, 'real'), (18446744073709551615, 'test'), (0, 'test')"),
        (
            "VARCHAR(200) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
            "('real', 'real'), ('é', 'test'), ('a b', 'test')",
        ),
        (
            "VARCHAR(700) CHARACTER SET utf8mb4",
            "('real', 'real'), (REPEAT('ü', 600), 'test'), (CONCAT(REPEAT('ü', 600), 'x'), 'test')",
        ),
        (
            "DATETIME(6)",
            "('2026-01-01', 'real'), ('0000-00-00', 'test'), ('2026-01-01 00:00:00.000001', 'test')",
        ),
        ("ENUM('a','b','c')", "('a', 'real'), ('b', 'test'), ('c', 'test')"),
        ("DECIMAL(30,5)", "(1, 'real'), (-0.00001, 'test'), (1234567890123456789012345.6, 'test')"),
        (
            "UUID",
            "('f36002d3-e59a-11f1-a6dd-02fc00000001', 'real'), ('f36002d3-e59a-11f1-a6dd-02fc00000002', 'test'), ('f36002d3-e59a-11f1-a6dd-02fc00000003', 'test')",
        ),
    ] {
        let lab = Lab::mariadb(&format!(
            "SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE t (k {kind} PRIMARY KEY, v VARCHAR(9) NOT NULL);
             CREATE TABLE c (id INT PRIMARY KEY AUTO_INCREMENT, k {kind}, FOREIGN KEY (k) REFERENCES t (k) ON DELETE SET NULL);
             INSERT INTO t VALUES {values}; INSERT INTO c (k) SELECT k FROM t;"
        ));
        lab.circle("t: v = 'test'", &[], &[("t", 2)]);
    }
}

/// A root that changed in the meantime is another row, in whatever column, and by case alone too.
#[test]
fn a_root_that_changed_since_is_refused() {
    let lab = Lab::mariadb(SHOP);
    lab.plan("tenants: id = 2", &[]);
    lab.sql("UPDATE tenants SET name = 'TEST 2' WHERE id = 2");
    let before = lab.picture();
    fault(&lab.try_purge(), 3, &["has changed"]);
    assert_same(&lab.picture(), &before);
}

#[test]
fn rows_in_the_way_are_listed_and_nothing_is_overwritten() {
    let lab = Lab::mariadb(SHOP);
    lab.removes("tenants: id = 2", &[], &LEFT);
    lab.sql("INSERT INTO users VALUES (2, 1, 'new@brennan.com')");
    let now = lab.picture();
    fault(&lab.run(&["restore", "r-1", "--confirm", "r-1"]), 1, &["users 2: a row with the same id exists"]);
    assert_same(&lab.picture(), &now);
}

/// The archive never says a value in words of the server's errors.
#[test]
fn a_value_in_the_way_is_not_in_the_message() {
    let lab = Lab::mariadb(&format!("{SHOP} ALTER TABLE users ADD UNIQUE (email);"));
    lab.removes("tenants: id = 2", &[], &LEFT);
    lab.sql("INSERT INTO users VALUES (9, 1, 'a@test.com')");
    let answer = lab.run(&["restore", "r-1", "--confirm", "r-1"]);
    let text = fault(&answer, 1, &["a row is in the way"]);
    assert!(!text.contains("a@test.com"), "{text}");
}
