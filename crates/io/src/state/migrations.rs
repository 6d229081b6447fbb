//! The tables of the state database, as steps that are only ever added to.
//!
//! A step is a file for each kind of database in `migrations/`. PostgreSQL begins with the third: there is no state of
//! an earlier version on it.
//!
//! Invariants
//! - a migration that was released is never edited: a change is a new one at the end;
//! - journal and audit cannot be changed or shortened, not even by us: triggers refuse it;
//! - a state that a later version wrote is refused, not guessed at;
//! - of several processes that come at the same time, one migrates and the others wait for it.
//!
//! Not here: the statements that read and write the tables (`database`, `governance`).

use super::session::{Kind, Session, Trouble, in_transaction, values};

struct Step {
    sqlite: &'static str,
    postgres: &'static str,
}

const STEPS: &[Step] = &[
    Step { sqlite: include_str!("migrations/1.sqlite.sql"), postgres: "" },
    Step { sqlite: include_str!("migrations/2.sqlite.sql"), postgres: "" },
    Step {
        sqlite: include_str!("migrations/3.sqlite.sql"),
        postgres: include_str!("migrations/3.postgres.sql"),
    },
];

/// The schema that holds the tables on PostgreSQL.
pub(super) const SCHEMA: &str = "unseed";

/// Which version this program knows.
fn known() -> i64 {
    i64::try_from(STEPS.len()).expect("there are few migrations")
}

/// Whether there is a state at all.
pub(super) fn is_there(session: &mut dyn Session) -> Result<bool, Trouble> {
    let sql = match session.kind() {
        Kind::Sqlite => "SELECT count(*) FROM sqlite_master WHERE name = 'schema_version'",
        Kind::Postgres => "SELECT count(*) FROM pg_class WHERE oid = to_regclass('unseed.schema_version')",
    };
    Ok(session.one(sql, &[])?.integer(0)? > 0)
}

fn version(session: &mut dyn Session) -> Result<i64, Trouble> {
    session.one("SELECT coalesce(max(version), 0) FROM schema_version", &[])?.integer(0)
}

/// Brings the database to the current version, in one transaction; `now` is the time that is noted.
pub(super) fn migrate(session: &mut dyn Session, now: &str) -> Result<(), Trouble> {
    // Without a lock where nothing is to be done, which is nearly always.
    if is_there(session)? && version(session)? == known() {
        return Ok(());
    }
    in_transaction(session, &mut |session| steps(session, now))
}

fn steps(session: &mut dyn Session, now: &str) -> Result<(), Trouble> {
    lock(session)?;
    let found = version(session)?;
    if found > known() {
        return Err(Trouble::Newer { found, known: known() });
    }
    for (version, step) in (1..).zip(STEPS).filter(|(version, _)| *version > found) {
        session.script(match session.kind() {
            Kind::Sqlite => step.sqlite,
            Kind::Postgres => step.postgres,
        })?;
        session.execute("INSERT INTO schema_version VALUES (?1, ?2)", &values![version, now])?;
    }
    Ok(())
}

/// Keeps other processes out, and makes the table of versions. A transaction of SQLite has the lock already.
fn lock(session: &mut dyn Session) -> Result<(), Trouble> {
    if session.kind() == Kind::Sqlite {
        return session.script(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT",
        );
    }
    session.script("SELECT pg_advisory_xact_lock(hashtextextended('unseed state', 0))")?;
    if session.one("SELECT count(*) FROM pg_namespace WHERE nspname = ?1", &values![SCHEMA])?.integer(0)? == 0
    {
        session.script(&format!("CREATE SCHEMA {SCHEMA}"))?;
    }
    session.script(
        "CREATE TABLE IF NOT EXISTS schema_version (version bigint PRIMARY KEY, applied_at text NOT NULL)",
    )
}
