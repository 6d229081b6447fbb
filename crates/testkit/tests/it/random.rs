//! Random cases on real servers: what the renderers write is accepted and means the same.

use unseed_testkit::random::{self, Case};
use unseed_testkit::server::{Postgres, SqliteFile};

#[test]
fn random_cases_load_into_postgresql_as_they_were_drawn() {
    let server = Postgres::shared().expect("PostgreSQL starts");
    let database = server.database("random").expect("a fresh database");
    for seed in 0..60 {
        let case = random::case(seed);
        let (drop, create) = (Case::postgres_drop_sql(), case.postgres_sql());
        let script = format!("BEGIN;\n{drop}{create}COMMIT;\n{}", case.postgres_content_sql());
        let printed = database.psql(&script).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(case.read_content(&printed), case.content(), "seed {seed}");
    }
}

#[test]
fn random_cases_load_into_sqlite_as_they_were_drawn() {
    for seed in 0..60 {
        let case = random::case(seed);
        let file = SqliteFile::create().expect("a fresh file");
        let script = format!("{}{}", case.sqlite_sql(), case.sqlite_content_sql());
        let printed = file.run(&script).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(case.read_content(&printed), case.content(), "seed {seed}");
        let orphans =
            file.run("PRAGMA foreign_key_check;").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let allowed = case.model.references.iter().any(|r| r.not_valid);
        assert!(allowed || orphans.is_empty(), "seed {seed}: {orphans}");
    }
}
