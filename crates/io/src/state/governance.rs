//! Approvals, revocations, the chain of the audit log and its checkpoints, in the state database.
//!
//! Invariants
//! - an entry gets its number and is chained to the last one under one lock, so two processes that append never fork
//!   the chain;
//! - entries are numbered from 1 without a gap, and no number is given out twice, even if its entry is gone.
//!
//! Not here: the tables (`migrations`), what the chain proves (`core::audit`).

use super::database::{State, to_json};
use super::session::{Row, Session, Trouble, values};
use unseed_core::approve::statement::Approval;
use unseed_core::audit::{Checkpoint, Link, Record, chained};
use unseed_core::fault::Fault;
use unseed_core::port::state::{AuditEntry, GovernanceDb, Revocation};

/// Entries of the audit log that are read at once.
const PAGE_ENTRIES: usize = 1_000;

/// Appends an entry to the audit log, within a transaction.
pub(super) fn append(session: &mut dyn Session, entry: &AuditEntry) -> Result<Link, Trouble> {
    // The row of the number is the lock. What an earlier version appends meanwhile is counted too.
    let sql = "UPDATE issued SET number = 1 + (SELECT max(n) FROM (SELECT number AS n FROM issued WHERE name = 'audit'
        UNION ALL SELECT coalesce(max(sequence), 0) FROM audit) AS known) WHERE name = 'audit'";
    session.execute("UPDATE issued SET number = number WHERE name = 'audit'", &[])?;
    session.execute(sql, &[])?;
    let sequence = session.one("SELECT number FROM issued WHERE name = 'audit'", &[])?.integer(0)?;
    let last = session.rows("SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1", &[])?;
    let previous = last.first().map_or(Ok(String::new()), |row| row.text(0))?;
    let hash = chained(&previous, entry);
    let sql = "INSERT INTO audit (sequence, at, actor, action, object, outcome, hash)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let AuditEntry { at, actor, action, object, outcome } = entry;
    session.execute(sql, &values![sequence, at, actor, action, object, outcome, &hash])?;
    Ok(Link { sequence: number(sequence), hash })
}

/// Whether the log has this entry with this hash.
pub(super) fn has(session: &mut dyn Session, link: &Link) -> Result<bool, Trouble> {
    let sql = "SELECT count(*) FROM audit WHERE sequence = ?1 AND hash = ?2";
    let number = i64::try_from(link.sequence).unwrap_or(i64::MAX);
    Ok(session.one(sql, &values![number, &link.hash])?.integer(0)? > 0)
}

fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn read_record(row: &Row) -> Result<Record, Trouble> {
    let entry = AuditEntry {
        at: row.text(1)?,
        actor: row.text(2)?,
        action: row.text(3)?,
        object: row.text(4)?,
        outcome: row.text(5)?,
    };
    Ok(Record { sequence: number(row.integer(0)?), entry, hash: row.text(6)? })
}

fn read_link(row: &Row) -> Result<Link, Trouble> {
    Ok(Link { sequence: number(row.integer(0)?), hash: row.text(1)? })
}

impl GovernanceDb for State {
    fn put_approval(&mut self, digest: &str, id: &str, approval: &Approval) -> Result<(), Fault> {
        let sql = "INSERT INTO approvals (plan_digest, id, body) VALUES (?1, ?2, ?3)
            ON CONFLICT (plan_digest, id) DO NOTHING";
        self.write(|session| session.execute(sql, &values![digest, id, to_json(approval)]).map(drop))
    }

    fn approvals(&mut self, digest: &str) -> Result<Vec<(String, Approval)>, Fault> {
        let sql = "SELECT id, body FROM approvals WHERE plan_digest = ?1 ORDER BY sequence";
        let line = |row: &Row| Ok((row.text(0)?, row.json(1)?));
        self.ask(|session| session.rows(sql, &values![digest])?.iter().map(line).collect())
    }

    fn revoke(&mut self, revocation: &Revocation) -> Result<(), Fault> {
        let Revocation { digest, approval, at, actor } = revocation;
        let sql = "INSERT INTO revocations (plan_digest, approval, at, actor) VALUES (?1, ?2, ?3, ?4)";
        self.write(|session| session.execute(sql, &values![digest, approval, at, actor]).map(drop))
    }

    fn revocations(&mut self, digest: &str) -> Result<Vec<Revocation>, Fault> {
        let sql = "SELECT approval, at, actor FROM revocations WHERE plan_digest = ?1 ORDER BY sequence";
        let line = |row: &Row| {
            let (approval, at, actor) = (row.text(0)?, row.text(1)?, row.text(2)?);
            Ok(Revocation { digest: digest.to_owned(), approval, at, actor })
        };
        self.ask(|session| session.rows(sql, &values![digest])?.iter().map(line).collect())
    }

    fn audit_log(&mut self, each: &mut dyn FnMut(Record) -> Result<(), Fault>) -> Result<(), Fault> {
        let sql = format!(
            "SELECT sequence, at, actor, action, object, outcome, hash FROM audit
             WHERE sequence > ?1 ORDER BY sequence LIMIT {PAGE_ENTRIES}"
        );
        let mut after = i64::MIN;
        loop {
            let page: Vec<(i64, Record)> = self.ask(|session| {
                let rows = session.rows(&sql, &values![after])?;
                rows.iter().map(|row| Ok((row.integer(0)?, read_record(row)?))).collect()
            })?;
            let ends = page.len() < PAGE_ENTRIES;
            for (sequence, record) in page {
                after = sequence;
                each(record)?;
            }
            if ends {
                return Ok(());
            }
        }
    }

    fn audit_head(&mut self) -> Result<Option<Link>, Fault> {
        let sql = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";
        self.ask(|session| session.rows(sql, &[])?.first().map(read_link).transpose())
    }

    fn audit_issued(&mut self) -> Result<u64, Fault> {
        let sql = "SELECT number FROM issued WHERE name = 'audit'";
        self.ask(|session| session.rows(sql, &[])?.first().map_or(Ok(0), |row| row.integer(0)).map(number))
    }

    fn put_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Fault> {
        let Checkpoint { statement, signature } = checkpoint;
        let sql = "INSERT INTO checkpoints (statement, signature) VALUES (?1, ?2)";
        self.write(|session| session.execute(sql, &values![statement, signature]).map(drop))
    }

    fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, Fault> {
        let sql = "SELECT statement, signature FROM checkpoints ORDER BY sequence";
        let line = |row: &Row| Ok(Checkpoint { statement: row.text(0)?, signature: row.text(1)? });
        self.ask(|session| session.rows(sql, &[])?.iter().map(line).collect())
    }
}

#[cfg(test)]
#[path = "governance_tests.rs"]
mod tests;
