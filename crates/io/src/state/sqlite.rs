//! The state database in one SQLite file.
//!
//! Invariants
//! - every write is durable when its call returns (WAL with `synchronous = FULL`);
//! - a plan's digest is in `runs` at most once, which is what makes a plan single use;
//! - every batch change is in `batches` and in the append-only `journal`, in one transaction;
//! - once this process holds a lease, it writes batches of that run only while it still does.
//!
//! Not here: the table definitions (`migrations`), who is alive (`lease`).

use super::anchor::AnchorFile;
use super::faults::{broken, held_by, no_such_run, taken_over, unusable, used};
use super::governance;
use super::lease::{Heartbeat, Holder, now_ms};
use super::migrations::{self, MigrationError};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unseed_core::audit::Anchor;
use unseed_core::fault::Fault;
use unseed_core::port::state::{AuditEntry, StateDb};
use unseed_core::run::{BatchRecord, Run, RunState};

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The state database of one folder.
#[derive(Debug)]
pub struct SqliteState {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    held: BTreeMap<String, Lease>,
    anchor: Option<AnchorFile>,
}

#[derive(Debug)]
struct Lease {
    ticket: String,
    _heartbeat: Heartbeat,
}

impl SqliteState {
    /// Opens the state database of a folder, and creates both where they are missing.
    ///
    /// # Errors
    /// An archive fault when the folder or file cannot be written, is damaged, or is from a later version.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        crate::durable::create_folder(folder).map_err(|error| unusable(folder, &error.to_string()))?;
        let path = folder.join(super::FILE);
        crate::durable::touch(&path).map_err(|error| unusable(&path, &error.to_string()))?;
        let db = connect(&path).map_err(|error| broken(&path, &error))?;
        Ok(Self { db, path, held: BTreeMap::new(), anchor: None })
    }

    /// From here on the hash of every entry of the audit log is written to this file too.
    pub fn anchor_to(&mut self, path: PathBuf) {
        self.anchor = Some(AnchorFile::at(path));
    }

    fn append(&mut self, entry: &AuditEntry, anchor: Option<&AnchorFile>) -> Result<(), Fault> {
        // Before the entry, so that nothing is logged, and so nothing is done, that cannot be anchored.
        anchor.map_or(Ok(()), AnchorFile::prepare)?;
        let known = anchor.map_or(Ok(None), AnchorFile::last)?;
        let link = self.write(|change| {
            if let (Some(anchor), Some(known)) = (anchor, known)
                && !governance::has(change, &known)?
            {
                return Err(anchor.foreign(&known).into());
            }
            Ok(governance::append(change, entry)?)
        })?;
        anchor.map_or(Ok(()), |anchor| anchor.add(&Anchor::Link(link)))
    }

    pub(super) fn write<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Problem>,
    ) -> Result<T, Fault> {
        let path = self.path.clone();
        let run = || {
            let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|problem: Problem| problem.fault(&path))
    }

    /// The ticket under which this process acts on a run, if it holds a lease.
    fn ticket(&self, run: &str) -> Option<String> {
        self.held.get(run).map(|lease| lease.ticket.clone())
    }
}

/// Either the file failed us, or what was asked for is refused.
pub(super) enum Problem {
    Sqlite(rusqlite::Error),
    Fault(Fault),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Problem {
    fn fault(self, path: &Path) -> Fault {
        match self {
            Self::Sqlite(error) => broken(path, &MigrationError::Sqlite(error)),
            Self::Fault(fault) => fault,
        }
    }
}

fn connect(path: &Path) -> Result<Connection, MigrationError> {
    let mut db = Connection::open(path)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    migrations::migrate(&mut db, &now())?;
    Ok(db)
}

pub(super) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

const RUN_COLUMNS: &str =
    "id, plan, plan_digest, state, started_at, finished_at, actor, batches_total, report, consent";

fn read_run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let state: String = row.get(3)?;
    let total: i64 = row.get(7)?;
    let report: String = row.get(8)?;
    let consent: String = row.get(9)?;
    Ok(Run {
        id: row.get(0)?,
        plan: row.get(1)?,
        plan_digest: row.get(2)?,
        state: from_json(3, &format!("\"{state}\""))?,
        started_at: row.get(4)?,
        finished_at: row.get(5)?,
        actor: row.get(6)?,
        consent: from_json(9, &consent)?,
        batches_total: u64::try_from(total).unwrap_or(0),
        report: from_json(8, &report)?,
    })
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data, which JSON can always hold")
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn note(change: &Transaction<'_>, run: &str, entry: &serde_json::Value) -> rusqlite::Result<()> {
    let sql = "INSERT INTO journal (at, run, entry) VALUES (?1, ?2, ?3)";
    change.prepare_cached(sql)?.execute((now(), run, entry.to_string()))?;
    Ok(())
}

/// The number of `r-19`, or one above all others for an id of another form.
fn run_number(change: &Transaction<'_>, id: &str) -> rusqlite::Result<i64> {
    match id.strip_prefix("r-").and_then(|number| number.parse().ok()) {
        Some(number) => Ok(number),
        None => change.query_row("SELECT coalesce(max(number), 0) + 1 FROM runs", [], |row| row.get(0)),
    }
}

fn find_plan(db: &Connection, digest: &str) -> rusqlite::Result<Option<Run>> {
    let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE plan_digest = ?1");
    db.query_row(&sql, [digest], read_run).optional()
}

/// Stops a process that lost its lease before it writes behind the new holder's back.
fn still_mine(change: &Transaction<'_>, run: &str, ticket: Option<&str>) -> Result<(), Problem> {
    let Some(ticket) = ticket else { return Ok(()) };
    let found: Option<String> = change
        .prepare_cached("SELECT ticket FROM leases WHERE run = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    if found.as_deref() == Some(ticket) {
        return Ok(());
    }
    Err(taken_over(run).into())
}

fn read_holder(row: &Row<'_>) -> rusqlite::Result<Holder> {
    Ok(Holder {
        holder: row.get(0)?,
        ticket: row.get(1)?,
        host: row.get(2)?,
        pid: row.get(3)?,
        process_start: row.get(4)?,
        heartbeat_ms: row.get(5)?,
    })
}

impl StateDb for SqliteState {
    fn begin_run(&mut self, run: &Run) -> Result<(), Fault> {
        self.write(|change| {
            if let Some(earlier) = find_plan(change, &run.plan_digest)? {
                return Err(used(&earlier).into());
            }
            let number = run_number(change, &run.id)?;
            let sql = "INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
            let values = (
                &run.id,
                number,
                &run.plan,
                &run.plan_digest,
                run.state.as_str(),
                &run.started_at,
                &run.finished_at,
                &run.actor,
                signed(run.batches_total),
                run.report.to_string(),
                to_json(&run.consent),
            );
            change.execute(sql, values)?;
            note(change, &run.id, &serde_json::json!({"run": run.state.as_str(), "plan": run.plan_digest}))?;
            Ok(())
        })
    }

    fn run(&mut self, id: &str) -> Result<Run, Fault> {
        let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE id = ?1");
        let found = self.db.query_row(&sql, [id], read_run).optional();
        found.map_err(|error| broken(&self.path, &error.into()))?.ok_or_else(|| no_such_run(id))
    }

    fn run_of_plan(&mut self, digest: &str) -> Result<Option<Run>, Fault> {
        find_plan(&self.db, digest).map_err(|error| broken(&self.path, &error.into()))
    }

    fn runs(&mut self) -> Result<Vec<Run>, Fault> {
        let read = || -> rusqlite::Result<Vec<Run>> {
            let sql = format!("SELECT {RUN_COLUMNS} FROM runs ORDER BY number DESC");
            self.db.prepare(&sql)?.query_map([], read_run)?.collect()
        };
        read().map_err(|error| broken(&self.path, &error.into()))
    }

    fn next_run_id(&mut self) -> Result<String, Fault> {
        let sql = "SELECT coalesce(max(number), 0) + 1 FROM runs";
        let number: Result<i64, _> = self.db.query_row(sql, [], |row| row.get(0));
        let number = number.map_err(|error| broken(&self.path, &error.into()))?;
        Ok(format!("r-{number}"))
    }

    fn update_run(&mut self, id: &str, state: RunState, report: &serde_json::Value) -> Result<(), Fault> {
        let ticket = self.ticket(id);
        self.write(|change| {
            still_mine(change, id, ticket.as_deref())?;
            // A run ends once; verifying or restoring it later does not move that moment.
            let sql = "UPDATE runs SET state = ?2, report = ?3,
                batches_total = coalesce(?4, batches_total),
                finished_at = CASE WHEN ?2 IN ('running', 'stopped') THEN NULL ELSE coalesce(finished_at, ?5) END
                WHERE id = ?1";
            let total = report.get("batches_total").and_then(serde_json::Value::as_i64);
            let changed = change.execute(sql, (id, state.as_str(), report.to_string(), total, now()))?;
            if changed == 0 {
                return Err(no_such_run(id).into());
            }
            note(change, id, &serde_json::json!({"run": state.as_str()}))?;
            Ok(())
        })
    }

    fn put_batch(&mut self, run: &str, batch: &BatchRecord) -> Result<(), Fault> {
        let ticket = self.ticket(run);
        self.write(|change| {
            still_mine(change, run, ticket.as_deref())?;
            let sql = "INSERT INTO batches VALUES (?1, ?2, ?3)
                ON CONFLICT (run, number) DO UPDATE SET body = excluded.body";
            change.prepare_cached(sql)?.execute((run, signed(batch.number), to_json(batch)))?;
            // The roots stand in `batches`; repeating them at every step would make the journal grow with them.
            let entry = serde_json::json!({
                "batch": batch.number, "state": batch.state, "tags": batch.tags, "segment": batch.segment,
                "segment_hash": batch.segment_hash, "token": batch.token,
            });
            note(change, run, &entry)?;
            Ok(())
        })
    }

    fn batches(&mut self, run: &str) -> Result<Vec<BatchRecord>, Fault> {
        let read = || -> rusqlite::Result<Vec<BatchRecord>> {
            let mut statement = self.db.prepare("SELECT body FROM batches WHERE run = ?1 ORDER BY number")?;
            let body = |row: &Row<'_>| from_json(0, &row.get::<_, String>(0)?);
            statement.query_map([run], body)?.collect()
        };
        read().map_err(|error| broken(&self.path, &error.into()))
    }

    fn audit(&mut self, entry: &AuditEntry) -> Result<(), Fault> {
        let anchor = self.anchor.clone();
        if let Some(begun) = anchor.as_ref().and_then(|anchor| anchor.beginning(entry)) {
            self.append(&begun, anchor.as_ref())?;
        }
        self.append(entry, anchor.as_ref())
    }

    fn lease(&mut self, run: &str, holder: &str) -> Result<(), Fault> {
        if self.held.contains_key(run) {
            return Ok(());
        }
        let me = Holder::me(holder);
        self.write(|change| {
            let sql =
                "SELECT holder, ticket, host, pid, process_start, heartbeat_ms FROM leases WHERE run = ?1";
            let other = change.query_row(sql, [run], read_holder).optional()?;
            if let Some(other) = other.filter(|other| other.is_alive(now_ms())) {
                return Err(held_by(run, &other).into());
            }
            let sql = "INSERT OR REPLACE INTO leases VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            change.execute(
                sql,
                (run, &me.holder, &me.ticket, &me.host, me.pid, me.process_start, me.heartbeat_ms),
            )?;
            Ok(())
        })?;
        let heartbeat = Heartbeat::start(self.path.clone(), run.to_owned(), me.ticket.clone());
        self.held.insert(run.to_owned(), Lease { ticket: me.ticket, _heartbeat: heartbeat });
        Ok(())
    }

    fn release(&mut self, run: &str) -> Result<(), Fault> {
        let Some(lease) = self.held.remove(run) else { return Ok(()) };
        self.write(|change| {
            change.execute("DELETE FROM leases WHERE run = ?1 AND ticket = ?2", (run, &lease.ticket))?;
            Ok(())
        })
    }
}

impl Drop for SqliteState {
    /// Gives back what an error kept from being released; a failure is made up for by the dead-process rule.
    fn drop(&mut self) {
        let runs: Vec<String> = self.held.keys().cloned().collect();
        for run in runs {
            drop(self.release(&run));
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
