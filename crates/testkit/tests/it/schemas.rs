//! The schemas of public applications are there, load, and are as large as the tests that use them rely on.

use unseed_testkit::schemas::{self, Engine};
use unseed_testkit::server::{Postgres, SqliteFile};

const POSTGRES_SIZE: &str = "SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema')),
    (SELECT count(*) FROM pg_constraint WHERE contype = 'f'), (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)";
const SQLITE_SIZE: &str = "SELECT (SELECT count(*) FROM sqlite_master WHERE type = 'table'),
    (SELECT count(*) FROM sqlite_master m, pragma_foreign_key_list(m.name) k WHERE m.type = 'table' AND k.seq = 0),
    (SELECT count(*) FROM sqlite_master WHERE type = 'trigger');";

#[test]
fn every_postgres_schema_loads() {
    let mut sum = [0; 3];
    for schema in schemas::all(Engine::Postgres).unwrap() {
        let database = Postgres::shared().unwrap().database(schema.name).unwrap();
        schema.load_postgres(&database).unwrap();
        add(&mut sum, schema.name, &database.psql(POSTGRES_SIZE).unwrap());
    }
    assert_at_least(sum, [1_200, 2_000, 30]);
}

#[test]
fn every_sqlite_schema_loads() {
    let mut sum = [0; 3];
    for schema in schemas::all(Engine::Sqlite).unwrap() {
        let file = SqliteFile::create().unwrap();
        schema.load_sqlite(&file).unwrap();
        add(&mut sum, schema.name, &file.run(SQLITE_SIZE).unwrap());
    }
    assert_at_least(sum, [700, 900, 10]);
}

/// Tables, foreign keys and triggers of one schema.
fn add(sum: &mut [u64; 3], name: &str, counted: &str) {
    println!("{name}: {}", counted.trim());
    let counted = counted.trim().split('|').map(|number| number.parse::<u64>().unwrap());
    sum.iter_mut().zip(counted).for_each(|(sum, number)| *sum += number);
}

#[track_caller]
fn assert_at_least(sum: [u64; 3], wanted: [u64; 3]) {
    assert!(sum.iter().zip(wanted).all(|(have, want)| *have >= want), "{sum:?} is less than {wanted:?}");
}
