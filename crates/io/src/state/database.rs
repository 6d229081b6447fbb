//! The state database: plans used, runs, batches and their journal, under leases.
//!
//! Invariants
//! - every write is durable when its call returns, and done as a whole or not at all;
//! - a plan's digest is in `runs` at most once, which is what makes a plan single use;
//! - every batch change is in `batches` and in the append-only `journal`, in one transaction;
//! - once this process holds a lease, it writes to that run only while it still does.
//!
//! Not here: the table definitions (`migrations`), who is alive (`lease`), approvals and audit log (`governance`).

use super::anchor::AnchorFile;
use super::faults::{no_such_run, taken, unusable, used};
use super::governance;
use super::lease::Lease;
use super::migrations;
use super::postgres::PostgresSession;
use super::session::{Row, Session, Trouble, Value, from_json, in_transaction, values};
use super::sqlite::SqliteSession;
use crate::store::Lookup;
use crate::store::postgres_connection::{Target, target};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unseed_core::audit::Anchor;
use unseed_core::fault::Fault;
use unseed_core::port::state::{AuditEntry, StateDb};
use unseed_core::run::{BatchRecord, Run, RunState};

/// How long a lease holds where nothing else is said, in seconds.
pub const LEASE_S_DEFAULT: u32 = 30;

/// Waits before a server that went away is asked again, in milliseconds. Locks in the store are held meanwhile.
const WAITS_MS: [u64; 8] = [20, 50, 100, 200, 400, 800, 1_600, 2_000];
/// After this time it is not asked again, however long each answer takes.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A state database.
pub struct State {
    pub(super) session: Box<dyn Session>,
    place: Place,
    lease_ms: i64,
    held: BTreeMap<String, Lease>,
    anchor: Option<AnchorFile>,
    /// The server did not come back while it was waited for, and is not waited for again.
    gone: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("place", &self.place.to_string()).finish_non_exhaustive()
    }
}

/// Where a state database is.
#[derive(Clone)]
pub(super) enum Place {
    File(PathBuf),
    Server(Arc<Target>),
}

impl std::fmt::Display for Place {
    /// Without any secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(target) => f.write_str(&target.location),
        }
    }
}

impl Place {
    pub(super) fn session(&self) -> Result<Box<dyn Session>, Trouble> {
        Ok(match self {
            Self::File(path) => Box::new(SqliteSession::open(path)?),
            Self::Server(target) => Box::new(PostgresSession::open(Arc::clone(target))?),
        })
    }
}

impl State {
    /// Opens the state database of a folder, and creates both where they are missing.
    ///
    /// # Errors
    /// An archive fault when the folder or file cannot be written, is damaged, or is from a later version.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        crate::durable::create_folder(folder).map_err(|error| unusable(folder, &error.to_string()))?;
        let path = folder.join(super::FILE);
        crate::durable::touch(&path).map_err(|error| unusable(&path, &error.to_string()))?;
        Self::new(Place::File(path))?.migrated()
    }

    /// Connects to the state database of a server, and makes its schema where it is missing. `lookup` finds libpq's
    /// environment variables.
    ///
    /// # Errors
    /// A usage fault when the URL is none, otherwise as [`Self::open`]; none carries a password.
    pub fn connect(url: &str, lookup: Lookup<'_>) -> Result<Self, Fault> {
        Self::new(Place::Server(Arc::new(target(url, lookup)?)))?.migrated()
    }

    /// Connects to the state database of a server; nothing where there is none yet.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_existing(url: &str, lookup: Lookup<'_>) -> Result<Option<Self>, Fault> {
        let mut state = Self::new(Place::Server(Arc::new(target(url, lookup)?)))?;
        if state.ask(migrations::is_there)? { state.migrated().map(Some) } else { Ok(None) }
    }

    fn new(place: Place) -> Result<Self, Fault> {
        let session = place.session().map_err(|trouble| trouble.fault(&place))?;
        let lease_ms = i64::from(LEASE_S_DEFAULT) * 1000;
        Ok(Self { session, place, lease_ms, held: BTreeMap::new(), anchor: None, gone: false })
    }

    fn migrated(mut self) -> Result<Self, Fault> {
        self.ask(|session| migrations::migrate(session, &now()))?;
        Ok(self)
    }

    /// From here on the hash of every entry of the audit log is written to this file too.
    pub fn anchor_to(&mut self, path: PathBuf) {
        self.anchor = Some(AnchorFile::at(path));
    }

    /// Leases that are taken from here on hold for so many seconds without a sign of life.
    pub fn lease_for(&mut self, seconds: u32) {
        self.lease_ms = i64::from(seconds) * 1000;
    }

    /// Asks the database. What it did not do because the connection was lost is asked again for some seconds.
    pub(super) fn ask<T>(
        &mut self,
        mut question: impl FnMut(&mut dyn Session) -> Result<T, Trouble>,
    ) -> Result<T, Fault> {
        let waits: &[u64] = if self.gone { &[] } else { &WAITS_MS };
        let mut answer = question(self.session.as_mut());
        let begun = Instant::now();
        for wait_ms in waits {
            if !matches!(answer, Err(Trouble::Lost(_))) || begun.elapsed() > WAIT_MAX {
                break;
            }
            std::thread::sleep(Duration::from_millis(*wait_ms));
            answer = question(self.session.as_mut());
        }
        self.gone = matches!(answer, Err(Trouble::Lost(_)));
        answer.map_err(|trouble| trouble.fault(&self.place))
    }

    /// Changes the database, as a whole or not at all.
    pub(super) fn write<T>(
        &mut self,
        mut change: impl FnMut(&mut dyn Session) -> Result<T, Trouble>,
    ) -> Result<T, Fault> {
        self.ask(|session| in_transaction(session, &mut change))
    }

    /// Changes a run, while this process still has the right to if it had it once.
    fn write_to<T>(
        &mut self,
        run: &str,
        mut change: impl FnMut(&mut dyn Session) -> Result<T, Trouble>,
    ) -> Result<T, Fault> {
        let lease = self.held.remove(run);
        let outcome = self.write(|session| {
            lease.as_ref().map_or(Ok(()), |lease| lease.assert(session, run))?;
            change(session)
        });
        self.held.extend(lease.map(|lease| (run.to_owned(), lease)));
        outcome
    }

    fn append(&mut self, entry: &AuditEntry, anchor: Option<&AnchorFile>) -> Result<(), Fault> {
        // Before the entry, so that nothing is logged, and so nothing is done, that cannot be anchored.
        anchor.map_or(Ok(()), AnchorFile::prepare)?;
        let known = anchor.map_or(Ok(None), AnchorFile::last)?;
        let link = self.write(|session| {
            if let (Some(anchor), Some(known)) = (anchor, &known)
                && !governance::has(session, known)?
            {
                return Err(anchor.foreign(known).into());
            }
            governance::append(session, entry)
        })?;
        anchor.map_or(Ok(()), |anchor| anchor.add(&Anchor::Link(link)))
    }
}

pub(super) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

const RUN_COLUMNS: &str =
    "id, plan, plan_digest, state, started_at, finished_at, actor, batches_total, report, consent";

fn read_run(row: &Row) -> Result<Run, Trouble> {
    Ok(Run {
        id: row.text(0)?,
        plan: row.text(1)?,
        plan_digest: row.text(2)?,
        state: from_json(&format!("\"{}\"", row.text(3)?))?,
        started_at: row.text(4)?,
        finished_at: row.maybe_text(5)?,
        actor: row.text(6)?,
        batches_total: u64::try_from(row.integer(7)?).unwrap_or(0),
        report: row.json(8)?,
        consent: row.json(9)?,
    })
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data, which JSON can always hold")
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn note(session: &mut dyn Session, run: &str, entry: &serde_json::Value) -> Result<(), Trouble> {
    let sql = "INSERT INTO journal (at, run, entry) VALUES (?1, ?2, ?3)";
    session.execute(sql, &values![now(), run, entry.to_string()]).map(drop)
}

fn next_number(session: &mut dyn Session) -> Result<i64, Trouble> {
    session.one("SELECT coalesce(max(number), 0) + 1 FROM runs", &[])?.integer(0)
}

/// The number of `r-19`, or one above all others for an id of another form.
fn run_number(session: &mut dyn Session, id: &str) -> Result<i64, Trouble> {
    match id.strip_prefix("r-").and_then(|number| number.parse().ok()) {
        Some(number) => Ok(number),
        None => next_number(session),
    }
}

/// The run in which a column has this value.
fn find_run(session: &mut dyn Session, column: &str, value: &str) -> Result<Option<Run>, Trouble> {
    let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE {column} = ?1");
    session.rows(&sql, &values![value])?.first().map(read_run).transpose()
}

fn insert_run(session: &mut dyn Session, run: &Run) -> Result<(), Trouble> {
    let sql = "INSERT INTO runs (id, number, plan, plan_digest, state, started_at, finished_at, actor, batches_total,
        report, consent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let number = run_number(session, &run.id)?;
    let values = values![
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
    ];
    session.execute(sql, &values)?;
    note(session, &run.id, &serde_json::json!({"run": run.state.as_str(), "plan": run.plan_digest}))
}

impl StateDb for State {
    fn begin_run(&mut self, run: &Run) -> Result<(), Fault> {
        self.write(|session| {
            // One after the other, so that what is looked for cannot appear before the end.
            session.execute("UPDATE issued SET number = number WHERE name = 'run'", &[])?;
            if let Some(earlier) = find_run(session, "plan_digest", &run.plan_digest)? {
                return Err(used(&earlier).into());
            }
            if find_run(session, "id", &run.id)?.is_some() {
                return Err(taken(&run.id).into());
            }
            insert_run(session, run)
        })
    }

    fn run(&mut self, id: &str) -> Result<Run, Fault> {
        self.ask(|session| find_run(session, "id", id))?.ok_or_else(|| no_such_run(id))
    }

    fn run_of_plan(&mut self, digest: &str) -> Result<Option<Run>, Fault> {
        self.ask(|session| find_run(session, "plan_digest", digest))
    }

    fn runs(&mut self) -> Result<Vec<Run>, Fault> {
        let sql = format!("SELECT {RUN_COLUMNS} FROM runs ORDER BY number DESC");
        self.ask(|session| session.rows(&sql, &[])?.iter().map(read_run).collect())
    }

    fn next_run_id(&mut self) -> Result<String, Fault> {
        Ok(format!("r-{}", self.ask(next_number)?))
    }

    fn update_run(&mut self, id: &str, state: RunState, report: &serde_json::Value) -> Result<(), Fault> {
        // A run ends once; verifying or restoring it later does not move that moment.
        let sql = "UPDATE runs SET state = ?2, report = ?3,
            batches_total = coalesce(?4, batches_total),
            finished_at = CASE WHEN ?2 IN ('running', 'stopped') THEN NULL ELSE coalesce(finished_at, ?5) END
            WHERE id = ?1";
        let total = report.get("batches_total").and_then(serde_json::Value::as_i64);
        self.write_to(id, |session| {
            let values: [Value; 5] = values![id, state.as_str(), report.to_string(), total, now()];
            if session.execute(sql, &values)? == 0 {
                return Err(no_such_run(id).into());
            }
            note(session, id, &serde_json::json!({"run": state.as_str()}))
        })
    }

    fn put_batch(&mut self, run: &str, batch: &BatchRecord) -> Result<(), Fault> {
        let sql = "INSERT INTO batches (run, number, body) VALUES (?1, ?2, ?3)
            ON CONFLICT (run, number) DO UPDATE SET body = excluded.body";
        self.write_to(run, |session| {
            session.execute(sql, &values![run, signed(batch.number), to_json(batch)])?;
            // The roots stand in `batches`; repeating them at every step would make the journal grow with them.
            let entry = serde_json::json!({
                "batch": batch.number, "state": batch.state, "tags": batch.tags, "segment": batch.segment,
                "segment_hash": batch.segment_hash, "token": batch.token,
            });
            note(session, run, &entry)
        })
    }

    fn batches(&mut self, run: &str) -> Result<Vec<BatchRecord>, Fault> {
        let sql = "SELECT body FROM batches WHERE run = ?1 ORDER BY number";
        self.ask(|session| session.rows(sql, &values![run])?.iter().map(|row| row.json(0)).collect())
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
        let lease_ms = self.lease_ms;
        let epoch = self.write(|session| Lease::take(session, run, holder, lease_ms))?;
        self.held.insert(run.to_owned(), Lease::keep(self.place.clone(), run, epoch, lease_ms));
        Ok(())
    }

    fn release(&mut self, run: &str) -> Result<(), Fault> {
        let Some(lease) = self.held.remove(run) else { return Ok(()) };
        self.write(|session| lease.give_back(session, run))
    }
}

impl Drop for State {
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
