//! Values: what comes back must be what was there, byte for byte, whatever the session says about looks.

use super::SHOP;
use crate::lab::{Lab, assert_same, fault};
use std::ops::ControlFlow;
use std::process::Command;
use unseed_core::port::scan::Block;

/// One table with everything that some tool has lost: `to_jsonb` drops duplicate keys, text depends on the
/// time zone, floats are rounded.
const ODD_VALUES: &str = r#"
    CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION cube;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine", really');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS numeric(12, 3) CHECK (VALUE > 0);
    CREATE TABLE owners (id int PRIMARY KEY);
    CREATE TABLE odd (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner_id int NOT NULL REFERENCES owners ON DELETE CASCADE,
        f4 real, f8 double precision, n numeric, money money, t text, c char(5), v varchar(9), one "char", ci citext,
        b bytea, j json, jb jsonb, x xml, u uuid, d date, ts timestamp, tz timestamptz, tm time, tmz timetz, iv interval,
        bits bit(5), vb varbit, ip inet, net cidr, mac macaddr, r int4range, mr tstzmultirange, arr int[], texts text[],
        moods mood[], m mood, p pair, ps pair[], dom positive, pt point, po polygon, ts_v tsvector, q tsquery, h hstore,
        l ltree, cu cube, o oid, rc regclass, sn pg_snapshot, lsn pg_lsn, jp jsonpath, nm name,
        doubled int GENERATED ALWAYS AS (owner_id * 2) STORED);
    INSERT INTO owners VALUES (1), (2);
    INSERT INTO odd (owner_id, f4, f8, n, money, t, c, v, one, ci, b, j, jb, x, u, d, ts, tz, tm, tmz, iv, bits, vb, ip, net,
        mac, r, mr, arr, texts, moods, m, p, ps, dom, pt, po, ts_v, q, h, l, cu, o, rc, sn, lsn, jp, nm)
    SELECT owner, 'NaN', 'Infinity', 'NaN', '-1,234.56', E'tab\t nl\n cr\r back\\slash \\N . äöü 🦀 \u0001', 'a', '', '\370', 'TeSt',
        '\x00ff0a5c', '{"a":1, "a":  2,"b":"\u0000"}', '{"b":1,"a":[null,1.50]}', '<a>&lt; é</a>text', gen_random_uuid(), 'infinity',
        '-infinity', 'infinity', '24:00', '12:00:00.000001+14:30', '1 year -2 mons +3 days -04:05:06.000007', B'10101', B'', '10.1.2.3/8',
        '10.0.0.0/8', '08:00:2b:01:02:03', 'empty', '{(,2020-01-01),[2021-01-01 12:00+02,)}', '[2:3][-1:0]={{1,NULL},{3,4}}',
        ARRAY['', NULL, 'NULL', '{}', E'a"b\\c', ' '], ARRAY['ok', 'it''s "fine", really']::mood[], 'it''s "fine", really',
        ROW(NULL, 'a,"b')::pair, ARRAY[ROW(1, '')::pair, NULL], 0.001, '(NaN,-0)', '((0,0),(1,1e-300),(2,0))', 'fat:1A cat:2',
        '!fat & (cat | rat:*)', '"a b"=>NULL, c=>"\"q\""', 'Top.Science', '(1,2,3),(4,5,6)', 4294967295, 'owners', '10:20:10,14', 'FFFFFFFF/FFFFFFFF',
        '$.a[*] ? (@.b > 1)', E'na"me'
    FROM (VALUES (1), (2), (2)) AS o (owner);
    INSERT INTO odd (owner_id, f4, f8, n, d, ts, iv, money)
    VALUES (2, '-0', 5e-324, 1e-1000, '4713-01-01 BC', '294276-12-31 23:59:59.999999', '-178000000 years', '92233720368547758.07'),
        (2, '1.17549435e-38', 0.1, 123456789012345678901234567890.1234567890, '5874897-12-31', '0044-03-15 BC', '0', '0'),
        (2, '-Infinity', '1.7976931348623157e308', 'Infinity', NULL, NULL, NULL, NULL),
        (2, 16777217, 9007199254740993, '-0.000', '-infinity', 'infinity', '1 mon 30 days 24:00', '-0.01');
"#;

/// The rows as the server keeps them, not as it prints them.
#[track_caller]
fn binary(lab: &Lab<'_>, table: &str) -> Vec<u8> {
    let database = lab.database();
    let mut client = database.server().client("psql", database.name());
    let copy = format!("COPY (SELECT * FROM {table} ORDER BY 1) TO STDOUT (FORMAT binary)");
    let output = client.args(["-X", "-q", "-c", &copy]).output().unwrap();
    assert!(output.status.success() && output.stdout.len() > 100, "{output:?}");
    output.stdout
}

#[test]
fn every_type_comes_back_byte_for_byte() {
    for lab in [Lab::postgres(ODD_VALUES), Lab::postgres(ODD_VALUES).owned()] {
        let before = binary(&lab, "odd");
        lab.circle("owners: id = 2", &[], &[("public.owners", 1), ("public.odd", 6)]);
        assert!(binary(&lab, "odd") == before, "the bytes differ");
        assert_eq!(lab.archived("r-1", "public.odd.copy").len(), 6);
    }
}

/// A role's own settings change the text of almost everything; neither hashes nor archives may follow them.
#[test]
fn the_settings_of_a_role_change_neither_versions_nor_archives() {
    let lab = Lab::postgres(&format!("{ODD_VALUES} CREATE TABLE stamps (id int PRIMARY KEY, at timestamptz, v interval, f float8, b bytea, owner_id int REFERENCES owners);
        INSERT INTO stamps VALUES (1, '2024-06-01 12:00+00', '1 day 2:03', '0.30000000000000004', '\\x00ff', 2);"))
    .owned();
    let before = binary(&lab, "odd");
    lab.plan("owners: id = 2", &["--protect", "owners.id=1"]);
    let settings = [
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'German'",
        "IntervalStyle = 'sql_standard'",
        "extra_float_digits = -5",
        "bytea_output = 'escape'",
        "xmlbinary = 'hex'",
        "standard_conforming_strings = off",
        "default_transaction_isolation = 'serializable'",
        "statement_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '1ms'",
        "row_security = on",
        "xmloption = 'document'",
        "client_encoding = 'LATIN1'",
        "backslash_quote = off",
        "quote_all_identifiers = on",
        "search_path = 'pg_catalog'",
        "array_nulls = off",
    ];
    let role = lab.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'odd'");
    for setting in settings {
        lab.sql(&format!("ALTER ROLE {role} SET {setting}"));
    }
    lab.purge();
    assert_eq!(
        lab.archived("r-1", "public.stamps.copy"),
        ["1\t2024-06-01 12:00:00+00\tP1DT2H3M\t0.30000000000000004\t\\\\x00ff\t2"]
    );
    lab.sql(&format!("ALTER ROLE {role} SET TimeZone = 'America/Caracas'"));
    lab.verify("r-1");
    lab.restore("r-1");
    assert!(binary(&lab, "odd") == before, "the bytes differ");
}

/// Roots whose version is a hash of such values are still themselves when they are purged.
#[test]
fn roots_with_times_are_not_stale_in_another_time_zone() {
    let lab = Lab::postgres(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, x float8); INSERT INTO t VALUES (1, now(), 0.1), (2, now(), 'NaN');",
    );
    lab.plan("t: id = 2", &[]);
    lab.sql(&format!("ALTER DATABASE \"{}\" SET TimeZone = 'Asia/Tokyo'", lab.database().name()));
    lab.sql(&format!("ALTER DATABASE \"{}\" SET extra_float_digits = -10", lab.database().name()));
    lab.purge();
    assert_eq!(lab.count("t"), 1);
}

/// Keys that are equal to the server though their text is not: case-insensitive text, numbers with zeros.
#[test]
fn keys_are_compared_as_the_server_compares_them() {
    let ddl = "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;
         CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE users (name ext.citext PRIMARY KEY, loose text COLLATE loose UNIQUE NOT NULL, n numeric UNIQUE NOT NULL);
         CREATE TABLE a (id int PRIMARY KEY, u ext.citext REFERENCES users);
         CREATE TABLE b (id int PRIMARY KEY, u text COLLATE loose REFERENCES users (loose));
         CREATE TABLE c (id int PRIMARY KEY, u int REFERENCES users (n) ON DELETE CASCADE);
         CREATE TABLE d (id int PRIMARY KEY, u ext.citext REFERENCES users ON DELETE SET NULL);
         INSERT INTO users VALUES ('Real', 'Real', 1.0), ('Test', 'Test', 2.00);
         SET search_path = ext, public;
         INSERT INTO a VALUES (1, 'REAL'), (2, 'TEST'), (3, 'test'); INSERT INTO b VALUES (1, 'rEAL'), (2, 'tEST');
         INSERT INTO c VALUES (1, 1), (2, 2); INSERT INTO d VALUES (1, 'real'), (2, 'tEsT');";
    let gone = [("public.users", 1), ("public.a", 2), ("public.b", 1), ("public.c", 1)];
    // Neither path of the role leads to the schema of the type, so its operators are out of sight.
    Lab::postgres(ddl).circle("users: n = 2", &["--path", "fast"], &gone);
    let lab = Lab::postgres(ddl).owned();
    let role = lab.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'a'");
    lab.sql(&format!("GRANT USAGE ON SCHEMA ext TO {role}"));
    lab.circle("users: n = 2", &[], &gone);
}

/// The archive alone is enough, whatever the values are: psql puts them back.
#[test]
fn psql_alone_restores_the_odd_values() {
    let lab = Lab::postgres(ODD_VALUES);
    let before = (binary(&lab, "odd"), lab.picture());
    lab.removes("owners: id = 2", &[], &[("public.owners", 1), ("public.odd", 6)]);
    let database = lab.database();
    let mut client: Command = database.server().client("psql", database.name());
    let script = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "restore.sql"];
    let folder = lab.path(".unseed/archive/r-1");
    let output = client.args(script).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same(&lab.picture(), &before.1);
    assert!(binary(&lab, "odd") == before.0, "the bytes differ");
}

#[test]
fn age_and_psql_alone_restore_an_encrypted_archive() {
    let lab = Lab::postgres(ODD_VALUES);
    let before = (binary(&lab, "odd"), lab.picture());
    let keygen = Command::new("age-keygen").arg("-o").arg(lab.path("key.txt")).output();
    assert!(keygen.expect("`age` is installed, as `cargo xtask test` does it").status.success());
    let key = std::fs::read_to_string(lab.path("key.txt")).unwrap();
    let public = key.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    std::fs::write(lab.path("unseed.toml"), format!("[archive]\nrecipients = [\"{public}\"]\n")).unwrap();
    lab.removes("owners: id = 2", &[], &[("public.owners", 1), ("public.odd", 6)]);
    let empty = lab.database().server().database("scratch").unwrap();
    for (url, code) in [(lab.url(), 3), (empty.url(), 0)] {
        let check = ["archive", "check", "r-1", "--identity", "key.txt", "--restore-into", &url];
        let answer = lab.run(&check);
        assert_eq!(answer.code, Some(code), "{answer:?}");
        let said = if code == 0 { "7 rows, 2 of 2 sections byte for byte" } else { "is not empty" };
        assert!(answer.stdout.contains(said) || answer.stderr.contains(said), "{answer:?}");
    }
    let by_hand = |key: &str| {
        let mut client: Command = lab.database().server().client("psql", lab.database().name());
        let script = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "restore.sql"];
        let client = client.args(script).current_dir(lab.path(".unseed/archive/r-1"));
        client.env("UNSEED_IDENTITY", lab.path(key)).output().unwrap()
    };
    let purged = lab.picture();
    assert!(!by_hand("no-key.txt").status.success());
    assert_same(&lab.picture(), &purged);
    let output = by_hand("key.txt");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same(&lab.picture(), &before.1);
    assert!(binary(&lab, "odd") == before.0, "the bytes differ");
}

#[test]
fn a_root_is_found_by_keys_of_any_type() {
    let lab = Lab::postgres(
        "CREATE TABLE t (at timestamptz, k bytea, f float8, PRIMARY KEY (at, k, f));
         INSERT INTO t VALUES ('infinity', '\\x00', 'NaN'), ('2024-06-01', '\\xff5c09', -0.1), ('2024-06-02', '\\x', 1e300);",
    );
    lab.circle("t: k <> '\\x'", &[], &[("public.t", 2)]);
    let lab = Lab::postgres(SHOP);
    std::fs::write(lab.path("ids"), "2\n2\n").unwrap();
    let url = lab.url();
    let answer = lab.run(&["plan", &url, "--ids", "tenants=ids", "-o", "plan.json"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    std::fs::write(lab.path("ids"), "two\n").unwrap();
    fault(
        &lab.run(&["plan", &url, "--ids", "tenants=ids", "-o", "plan.json"]),
        2,
        &["keys of `public.tenants` are not valid"],
    );
}

/// Values come over the wire in their binary form, and are the text that the server would write.
#[test]
fn a_scan_reads_what_the_server_writes() {
    let lab = Lab::postgres(&format!(
        "{ODD_VALUES} CREATE DOMAIN days AS date; CREATE DOMAIN word AS bpchar(4);
         CREATE TABLE plain (id int8, s int2, yes bool, d days, w word, ts3 timestamp(3), tz0 timestamptz(0), p pair, dates date[]);
         INSERT INTO plain VALUES (-9223372036854775808, -32768, true, '0001-01-01 BC', 'a', '1969-12-31 23:59:59.9996', '9999-12-31 23:59:59.6+00',
            ROW(NULL, NULL), '{{0001-12-31 BC,infinity}}'), (0, 0, false, '10000-01-01', '', '0001-01-01', '0001-12-31 23:59:59 BC', NULL, NULL); INSERT INTO plain VALUES (7)"
    ));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in ["odd", "plain", "owners"] {
        let (columns, mut read) = runtime.block_on(rows_of(&lab, name));
        let text = |c: &String| {
            format!(
                "CASE WHEN x.\"{c}\" IS DISTINCT FROM NULL THEN 'v' || encode(convert_to(format('%s', x.\"{c}\"), 'UTF8'), 'hex') ELSE 'null' END"
            )
        };
        let texts: Vec<String> = columns.iter().map(text).collect();
        let expected = lab.sql(&format!(
            "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 3;
             SET xmlbinary = 'base64'; SELECT concat_ws(' ', {}) FROM {name} x",
            texts.join(", ")
        ));
        let mut expected: Vec<&str> = expected.lines().collect();
        expected.sort_unstable();
        read.sort_unstable();
        assert!(expected.len() >= 2 && !columns.is_empty());
        assert_eq!(read, expected, "{name}");
    }
}

/// All columns of a table, and its rows as a scan sees them: a word for each value, in hexadecimal.
async fn rows_of(lab: &Lab<'_>, name: &str) -> (Vec<String>, Vec<String>) {
    let mut store = unseed_io::store::open(&lab.url(), &|_| None).await.unwrap();
    let schema = store.store().inspect().await.unwrap().schema;
    let table = schema.table_ids().find(|t| schema.table(*t).name.name == name).unwrap();
    let columns = &schema.table(table).columns;
    let mut rows = Vec::new();
    let mut visit = |row: &[Option<&str>]| {
        let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
        let words = row.iter().map(|value| value.map_or("null".to_owned(), |text| format!("v{}", hex(text))));
        rows.push(words.collect::<Vec<_>>().join(" "));
    };
    let mut take = |block: Box<dyn Block>| {
        block.visit(&mut visit);
        ControlFlow::Continue(())
    };
    let all: Vec<usize> = (0..columns.len()).collect();
    store.source().read(&schema, table, &all, &mut take).await.unwrap();
    (columns.iter().map(|c| c.name.clone()).collect(), rows)
}
