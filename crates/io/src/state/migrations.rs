//! The tables of the state database, as steps that are only ever added to.
//!
//! Invariants
//! - a migration that was released is never edited: a change is a new one at the end;
//! - journal and audit cannot be changed or shortened, not even by us: triggers refuse it;
//! - a file written by a later version is refused, not guessed at.
//!
//! Not here: the statements that read and write the tables (`sqlite`).

use rusqlite::{Connection, TransactionBehavior};

const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE runs (
        id           TEXT PRIMARY KEY,
        number       INTEGER NOT NULL UNIQUE,
        plan         TEXT NOT NULL,
        plan_digest  TEXT NOT NULL,
        state        TEXT NOT NULL,
        started_at   TEXT NOT NULL,
        finished_at  TEXT,
        actor        TEXT NOT NULL,
        batches_total INTEGER NOT NULL,
        report       TEXT NOT NULL
    ) STRICT;
    -- A plan is used once.
    CREATE UNIQUE INDEX runs_plan_digest ON runs (plan_digest);

    CREATE TABLE batches (
        run     TEXT NOT NULL REFERENCES runs (id),
        number  INTEGER NOT NULL,
        body    TEXT NOT NULL,
        PRIMARY KEY (run, number)
    ) STRICT;

    CREATE TABLE journal (
        sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
        at        TEXT NOT NULL,
        run       TEXT NOT NULL,
        entry     TEXT NOT NULL
    ) STRICT;
    CREATE INDEX journal_run ON journal (run, sequence);
    CREATE TRIGGER journal_is_never_changed BEFORE UPDATE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TRIGGER journal_is_never_shortened BEFORE DELETE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

    CREATE TABLE audit (
        sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
        at        TEXT NOT NULL,
        actor     TEXT NOT NULL,
        action    TEXT NOT NULL,
        object    TEXT NOT NULL,
        outcome   TEXT NOT NULL,
        -- Hash of the previous entry and this one: an edit anywhere breaks every later hash.
        hash      TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

    CREATE TABLE leases (
        run            TEXT PRIMARY KEY,
        holder         TEXT NOT NULL,
        -- Tells two connections of one process apart.
        ticket         TEXT NOT NULL,
        host           TEXT NOT NULL,
        pid            INTEGER NOT NULL,
        process_start  INTEGER NOT NULL,
        heartbeat_ms   INTEGER NOT NULL
    ) STRICT;
",
    r#"
    -- Who agreed to a run; runs of earlier versions were confirmed by their id.
    ALTER TABLE runs ADD COLUMN consent TEXT NOT NULL DEFAULT '{"by":"id"}';

    CREATE TABLE approvals (
        sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
        id           TEXT NOT NULL,
        plan_digest  TEXT NOT NULL,
        body         TEXT NOT NULL,
        UNIQUE (plan_digest, id)
    ) STRICT;
    CREATE TRIGGER approvals_are_never_changed BEFORE UPDATE ON approvals
        BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;
    CREATE TRIGGER approvals_are_never_removed BEFORE DELETE ON approvals
        BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;

    CREATE TABLE revocations (
        sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
        plan_digest  TEXT NOT NULL,
        approval     TEXT NOT NULL,
        at           TEXT NOT NULL,
        actor        TEXT NOT NULL
    ) STRICT;
    CREATE INDEX revocations_plan ON revocations (plan_digest);
    CREATE TRIGGER revocations_are_never_changed BEFORE UPDATE ON revocations
        BEGIN SELECT RAISE(ABORT, 'revocations are append-only'); END;
    CREATE TRIGGER revocations_are_never_removed BEFORE DELETE ON revocations
        BEGIN SELECT RAISE(ABORT, 'revocations are append-only'); END;

    CREATE TABLE checkpoints (
        sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
        statement  TEXT NOT NULL,
        signature  TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER checkpoints_are_never_changed BEFORE UPDATE ON checkpoints
        BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
    CREATE TRIGGER checkpoints_are_never_removed BEFORE DELETE ON checkpoints
        BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
"#,
];

/// Why a state database cannot be brought to the current version.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrationError {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("it was written by a later version of unseed (format {found}, known up to {known})")]
    Newer { found: usize, known: usize },
}

/// Brings the database to the current version, in one transaction.
pub(super) fn migrate(db: &mut Connection, now: &str) -> Result<(), MigrationError> {
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT",
    )?;
    let found: i64 =
        change.query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > MIGRATIONS.len() {
        return Err(MigrationError::Newer { found, known: MIGRATIONS.len() });
    }
    for (index, step) in MIGRATIONS.iter().enumerate().skip(found) {
        change.execute_batch(step)?;
        let version = i64::try_from(index + 1).expect("there are few migrations");
        change.execute("INSERT INTO schema_version VALUES (?1, ?2)", (version, now))?;
    }
    change.commit()?;
    Ok(())
}
