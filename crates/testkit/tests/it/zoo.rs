//! The large schema loads, is as large as it says, and its tenants do not share rows.

use std::time::Instant;
use unseed_testkit::server::{Database, Postgres};
use unseed_testkit::zoo::Zoo;

#[test]
fn the_large_schema_is_as_large_as_it_says() {
    let database = loaded(Zoo::large());
    let tables = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p') AND nspname IN ('public', 'parts_dynamic', 'parts_static')";
    assert_eq!(ask(&database, tables), 1_400);
    assert_eq!(
        ask(&database, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0"),
        1_700
    );
    assert_eq!(ask(&database, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"), 600);
    let filled = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND reltuples > 0 AND NOT relispartition";
    assert!(ask(&database, filled) > 250);
}

#[test]
fn every_shape_occurs_in_the_small_schema_too() {
    let database = loaded(Zoo::small());
    let key = "SELECT count(*) FROM pg_constraint k WHERE contype = 'f' AND conparentid = 0 AND ";
    for rule in ["a", "r", "c", "n", "d"] {
        assert_some(&database, &format!("{key} confdeltype = '{rule}'"));
    }
    for shape in [
        "NOT convalidated",
        "condeferred",
        "conrelid = confrelid",
        "cardinality(conkey) > 1",
        "(SELECT relispartition FROM pg_class WHERE oid = conrelid)",
        "(SELECT relispartition FROM pg_class WHERE oid = confrelid)",
        "(SELECT relkind = 'p' FROM pg_class WHERE oid = confrelid)",
        "NOT EXISTS (SELECT FROM pg_constraint p WHERE p.conindid = k.conindid AND p.contype = 'p')",
        "confdeltype = 'n' AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = conrelid
            AND attnum = ANY (conkey) AND attnotnull)",
    ] {
        assert_some(&database, &format!("{key} {shape}"));
    }
    for relation in
        ["relrowsecurity", "relkind = 'm'", "relkind = 'v'", "relname ~ '[A-Z]' AND relkind = 'r'"]
    {
        assert_some(
            &database,
            &format!(
                "SELECT count(*) FROM pg_class WHERE relnamespace >= 16384 OR relnamespace = 'public'::regnamespace AND {relation}"
            ),
        );
    }
}

/// Compares the organization on both sides of every key of one column whose tables both carry it.
const STRANGERS: &str = "
    CREATE FUNCTION strangers() RETURNS TABLE (keys bigint, rows bigint) LANGUAGE plpgsql AS $$
    DECLARE k record; found bigint;
    BEGIN
        keys := 0; rows := 0;
        FOR k IN SELECT conrelid::regclass AS child, confrelid::regclass AS parent, c.attname AS c, p.attname AS p
            FROM pg_constraint JOIN pg_attribute c ON c.attrelid = conrelid AND c.attnum = conkey[1]
            JOIN pg_attribute p ON p.attrelid = confrelid AND p.attnum = confkey[1]
            WHERE contype = 'f' AND conparentid = 0 AND cardinality(conkey) = 1 AND confrelid <> 'organizations'::regclass
            AND 2 = (SELECT count(DISTINCT attrelid) FROM pg_attribute
                WHERE attrelid IN (conrelid, confrelid) AND attname = 'organization_id')
        LOOP
            EXECUTE format('SELECT count(*) FROM %s a JOIN %s b ON a.%I = b.%I
                WHERE a.organization_id <> b.organization_id', k.child, k.parent, k.c, k.p) INTO found;
            keys := keys + 1; rows := rows + found;
        END LOOP;
        RETURN NEXT;
    END $$;";

#[test]
fn no_row_refers_to_a_row_of_another_organization() {
    let database = loaded(Zoo::small());
    let owned = "SELECT count(*), count(*) FILTER (WHERE organization_id = 4) FROM audit_events";
    assert_eq!(database.psql(owned).unwrap(), "40|4\n");
    database.psql(STRANGERS).unwrap();
    assert!(ask(&database, "SELECT keys FROM strangers()") > 50);
    assert_eq!(ask(&database, "SELECT rows FROM strangers()"), 0);
}

fn loaded(zoo: Zoo) -> Database<'static> {
    let database = Postgres::shared().unwrap().database("zoo").unwrap();
    let start = Instant::now();
    database.psql(&zoo.sql()).unwrap();
    println!("{} tables loaded in {:.1} s", zoo.table_count, start.elapsed().as_secs_f64());
    database
}

#[track_caller]
fn ask(database: &Database<'_>, sql: &str) -> u64 {
    database.psql(sql).unwrap().trim().parse().unwrap()
}

#[track_caller]
fn assert_some(database: &Database<'_>, sql: &str) {
    assert!(ask(database, sql) > 0, "none: {sql}");
}
