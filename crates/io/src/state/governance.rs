//! Approvals, revocations, the chain of the audit log and its checkpoints, in the SQLite state database.
//!
//! Invariants
//! - an entry is chained to the last one under the write lock, so two processes that append never fork the
//!   chain;
//! - entries are numbered from 1 without a gap.
//!
//! Not here: the tables (`migrations`), what the chain proves (`core::audit`).

use super::faults::broken;
use super::sqlite::{SqliteState, from_json, to_json};
use rusqlite::{OptionalExtension, Row, Transaction};
use unseed_core::approve::statement::Approval;
use unseed_core::audit::{Checkpoint, Link, Record, chained};
use unseed_core::fault::Fault;
use unseed_core::port::state::{AuditEntry, GovernanceDb, Revocation};

/// Appends an entry to the audit log; the caller holds the write lock.
pub(super) fn append(change: &Transaction<'_>, entry: &AuditEntry) -> rusqlite::Result<Link> {
    let sql = "SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1";
    let previous: Option<String> = change.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    let hash = chained(previous.as_deref().unwrap_or(""), entry);
    let sql = "INSERT INTO audit (at, actor, action, object, outcome, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let AuditEntry { at, actor, action, object, outcome } = entry;
    change.prepare_cached(sql)?.execute((at, actor, action, object, outcome, &hash))?;
    Ok(Link { sequence: number(change.last_insert_rowid()), hash })
}

/// Whether the log has this entry with this hash.
pub(super) fn has(change: &Transaction<'_>, link: &Link) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM audit WHERE sequence = ?1 AND hash = ?2";
    let number = i64::try_from(link.sequence).unwrap_or(i64::MAX);
    change.prepare_cached(sql)?.exists((number, &link.hash))
}

fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn read_record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let entry = AuditEntry {
        at: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        object: row.get(4)?,
        outcome: row.get(5)?,
    };
    Ok(Record { sequence: number(row.get(0)?), entry, hash: row.get(6)? })
}

impl SqliteState {
    fn read<T>(&self, read: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>) -> Result<T, Fault> {
        read(&self.db).map_err(|error| broken(&self.path, &error.into()))
    }
}

impl GovernanceDb for SqliteState {
    fn put_approval(&mut self, digest: &str, id: &str, approval: &Approval) -> Result<(), Fault> {
        self.write(|change| {
            let sql = "INSERT INTO approvals (plan_digest, id, body) VALUES (?1, ?2, ?3)
                ON CONFLICT (plan_digest, id) DO NOTHING";
            change.execute(sql, (digest, id, to_json(approval)))?;
            Ok(())
        })
    }

    fn approvals(&mut self, digest: &str) -> Result<Vec<(String, Approval)>, Fault> {
        self.read(|db| {
            let sql = "SELECT id, body FROM approvals WHERE plan_digest = ?1 ORDER BY sequence";
            let line = |row: &Row<'_>| Ok((row.get(0)?, from_json(1, &row.get::<_, String>(1)?)?));
            db.prepare(sql)?.query_map([digest], line)?.collect()
        })
    }

    fn revoke(&mut self, revocation: &Revocation) -> Result<(), Fault> {
        self.write(|change| {
            let Revocation { digest, approval, at, actor } = revocation;
            let sql = "INSERT INTO revocations (plan_digest, approval, at, actor) VALUES (?1, ?2, ?3, ?4)";
            change.execute(sql, (digest, approval, at, actor))?;
            Ok(())
        })
    }

    fn revocations(&mut self, digest: &str) -> Result<Vec<Revocation>, Fault> {
        self.read(|db| {
            let sql = "SELECT approval, at, actor FROM revocations WHERE plan_digest = ?1 ORDER BY sequence";
            let line = |row: &Row<'_>| {
                let (approval, at, actor) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(Revocation { digest: digest.to_owned(), approval, at, actor })
            };
            db.prepare(sql)?.query_map([digest], line)?.collect()
        })
    }

    fn audit_log(&mut self, each: &mut dyn FnMut(Record) -> Result<(), Fault>) -> Result<(), Fault> {
        let failed = |error: rusqlite::Error| broken(&self.path, &error.into());
        let sql = "SELECT sequence, at, actor, action, object, outcome, hash FROM audit ORDER BY sequence";
        let mut statement = self.db.prepare(sql).map_err(failed)?;
        for record in statement.query_map([], read_record).map_err(failed)? {
            each(record.map_err(failed)?)?;
        }
        Ok(())
    }

    fn audit_head(&mut self) -> Result<Option<Link>, Fault> {
        self.read(|db| {
            let sql = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";
            let link = |row: &Row<'_>| Ok(Link { sequence: number(row.get(0)?), hash: row.get(1)? });
            db.query_row(sql, [], link).optional()
        })
    }

    fn audit_issued(&mut self) -> Result<u64, Fault> {
        self.read(|db| {
            // SQLite keeps the highest number apart from the rows, so that it is never given out again.
            let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'audit'";
            let issued: Option<i64> = db.query_row(sql, [], |row| row.get(0)).optional()?;
            Ok(number(issued.unwrap_or(0)))
        })
    }

    fn put_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Fault> {
        self.write(|change| {
            let sql = "INSERT INTO checkpoints (statement, signature) VALUES (?1, ?2)";
            change.execute(sql, (&checkpoint.statement, &checkpoint.signature))?;
            Ok(())
        })
    }

    fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, Fault> {
        self.read(|db| {
            let sql = "SELECT statement, signature FROM checkpoints ORDER BY sequence";
            let line = |row: &Row<'_>| Ok(Checkpoint { statement: row.get(0)?, signature: row.get(1)? });
            db.prepare(sql)?.query_map([], line)?.collect()
        })
    }
}

#[cfg(test)]
#[path = "governance_tests.rs"]
mod tests;
