//! How long archives stay: the quarantine that a purge ends in, holds, and the removal of rows whose time is over.
//!
//! Invariants
//! - rows of an archive are removed only by one process, that holds the run's lease, and only where
//!   [`keeping::standing`] says that nobody keeps them;
//! - from the tombstone on they count as removed, and whoever comes next finishes it;
//! - the audit log tells of it before and after.
//!
//! Not here: deciding (`core::keeping`), ending a quarantine by its date (`due`), removing files (`port::archive`).

use crate::check;
use crate::context::Context;
use crate::report::RunReport;
use unseed_core::archive::{BatchEntry, TOMBSTONE_FORMAT, Tombstone};
use unseed_core::fault::{Category, Fault};
use unseed_core::keeping::{self, Expired, Hold, Question, Standing};
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::clock::Clock;
use unseed_core::port::state::{AuditEntry, StateDb};
use unseed_core::run::{BatchRecord, Run, RunState};

/// What is said of a segment that no committed batch claims.
pub const UNCLAIMED: &str =
    "is claimed by no committed batch, so it is not put back; keep it if rows are missing that it may hold";

/// Who keeps archives: everything but a store.
pub struct Keeper<'a> {
    pub state: &'a mut dyn StateDb,
    pub archive: &'a mut dyn ArchiveStore,
    pub clock: &'a dyn Clock,
    pub actor: &'a str,
    pub holder: &'a str,
    /// How long the configuration keeps archives, in seconds; for ever if it does not say.
    pub keep_s: Option<u64>,
}

/// Files and bytes that were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Buried {
    pub files: u64,
    pub bytes: u64,
}

/// The archive of one run, as far as keeping it goes.
pub struct Looked {
    pub report: RunReport,
    /// Batches whose rows left.
    pub batches: Vec<BatchRecord>,
    pub standing: Standing,
    /// Somebody began to remove the rows and was stopped.
    pub begun: Option<Tombstone>,
}

impl Keeper<'_> {
    /// Looks at the archive of a run.
    ///
    /// # Errors
    /// What the state database and the archive say.
    pub fn look(&mut self, run: &Run) -> Result<Looked, Fault> {
        let report = RunReport::of(run)?;
        let batches = check::claimed(self.state, &run.id)?;
        let standing = keeping::standing(&Question {
            state: run.state,
            finished_at: run.finished_at.as_deref().or(report.finished_at.as_deref()),
            has_rows: !batches.is_empty(),
            kept: &report.kept,
            keep_s: self.keep_s,
            now: &self.clock.now(),
        });
        let none = matches!(standing, Standing::Expired(_) | Standing::Empty);
        let begun = if none { None } else { self.archive.tombstone(&run.id)? };
        if begun.as_ref().is_some_and(|begun| begun.run != run.id || begun.plan_digest != run.plan_digest) {
            let message = format!("the tombstone in the archive of run `{}` is that of another run", run.id);
            return Err(Fault::new(Category::Archive, message)
                .hint("look at the folder with `unseed archive check`, and remove `tombstone.json` if it was put there"));
        }
        Ok(Looked { report, batches, standing, begun })
    }

    /// Removes the rows of an archive whose time is over, and finishes what was begun. `after_quarantine` also ends
    /// a quarantine that is over, without looking at the store.
    ///
    /// # Errors
    /// `Refused` with the reason where the rows are still kept or another process works on the run.
    pub fn expire(&mut self, id: &str, why: &str, after_quarantine: bool) -> Result<Buried, Fault> {
        self.state.run(id)?;
        self.leased(id, |keeper| {
            let run = keeper.state.run(id)?;
            let looked = keeper.look(&run)?;
            let over = matches!(looked.standing, Standing::Over { .. });
            let due = matches!(looked.standing, Standing::Due { .. });
            let may = looked.begun.is_some() || over || (due && after_quarantine);
            if !may {
                return Err(kept(id, &looked.standing));
            }
            keeper.bury(&run, looked, why)
        })
    }

    /// Keeps an archive until the hold is released, whatever its time; or releases it.
    ///
    /// # Errors
    /// `Refused` where there are no rows to keep, or nothing to release.
    pub fn hold(&mut self, id: &str, reason: Option<&str>) -> Result<(), Fault> {
        self.state.run(id)?;
        self.leased(id, |keeper| {
            let run = keeper.state.run(id)?;
            let mut looked = keeper.look(&run)?;
            if looked.begun.is_some() || matches!(looked.standing, Standing::Expired(_) | Standing::Empty) {
                let fault = format!("the archive of run `{id}` holds no rows that could be kept");
                return Err(Fault::refused(fault).hint("see `unseed archive list`"));
            }
            let kept = &mut looked.report.kept;
            let outcome = match (reason, &kept.hold) {
                (Some(reason), _) => {
                    let (at, by) = (keeper.clock.now(), keeper.actor.to_owned());
                    kept.hold = Some(Hold { at, by, reason: reason.to_owned() });
                    format!("held: {reason}")
                }
                (None, Some(_)) => {
                    kept.hold = None;
                    "released".to_owned()
                }
                (None, None) => {
                    let fault = format!("nobody holds the archive of run `{id}`");
                    return Err(Fault::refused(fault).hint("see `unseed archive list`"));
                }
            };
            keeper.audit("archive.hold", id, &outcome)?;
            keeper.state.update_run(id, run.state, &looked.report.to_json())
        })
    }

    /// Keeps with a run why its quarantine was not ended, and logs it where that is news. Returns the fault.
    pub fn refused(&mut self, id: &str, fault: Fault) -> Fault {
        if !fault.category.is_refusal() {
            return fault;
        }
        let mut reason = fault.message.clone();
        for detail in &fault.details {
            reason.push_str(&format!("; {detail}"));
        }
        let noted = self.leased(id, |keeper| {
            let run = keeper.state.run(id)?;
            let mut report = RunReport::of(&run)?;
            let open = report.kept.quarantine.as_mut().filter(|_| run.state == RunState::Quarantined);
            let Some(quarantine) = open.filter(|q| q.refused.as_ref() != Some(&reason)) else {
                return Ok(());
            };
            quarantine.refused = Some(reason.clone());
            keeper.audit("purge.refused", id, &format!("refused: {reason}"))?;
            keeper.state.update_run(id, run.state, &report.to_json())
        });
        match noted {
            Ok(()) => fault,
            Err(second) => fault.detail(format!("this refusal could not be kept: {}", second.message)),
        }
    }

    /// Removes the rows of an archive; whether that may be has been decided.
    pub(crate) fn bury(&mut self, run: &Run, looked: Looked, why: &str) -> Result<Buried, Fault> {
        let Looked { mut report, batches, begun, .. } = looked;
        self.audit("archive.expire", &run.id, &format!("started: {why}"))?;
        let tombstone = begun.unwrap_or_else(|| Tombstone {
            format: TOMBSTONE_FORMAT.to_owned(),
            run: run.id.clone(),
            plan_digest: run.plan_digest.clone(),
            expired: Expired { at: self.clock.now(), by: self.actor.to_owned(), why: why.to_owned() },
            batches: batches.iter().map(entry).collect(),
        });
        let (files, bytes) = match self.archive.expire(&tombstone) {
            Ok(removed) => removed,
            Err(fault) => return Err(self.half_removed(&run.id, fault)),
        };
        report.kept.expired = Some(tombstone.expired);
        let state = if run.state == RunState::Quarantined { RunState::Done } else { run.state };
        // Before the state, so that whoever comes after a crash finds it open and the log never lacks the outcome.
        self.audit("archive.expire", &run.id, &format!("removed {files} files, {bytes} bytes"))?;
        self.state.update_run(&run.id, state, &report.to_json())?;
        Ok(Buried { files, bytes })
    }

    /// In which state an archive is whose rows could not all be removed.
    fn half_removed(&mut self, id: &str, fault: Fault) -> Fault {
        if self.archive.tombstone(id).is_ok_and(|tombstone| tombstone.is_none()) {
            let hint =
                format!("mend the cause; until it is tried again, `unseed restore {id}` puts the rows back");
            return fault.state("nothing was removed for good").hint(hint);
        }
        fault
            .state(format!("the rows of run `{id}` may be removed in part; they count as removed"))
            .hint(format!("mend the cause, then run `unseed archive expire {id}` to finish it"))
    }

    pub(crate) fn audit(&mut self, action: &str, object: &str, outcome: &str) -> Result<(), Fault> {
        let now = self.clock.now();
        self.state.audit(&AuditEntry::new(now, self.actor, action, object, outcome))
    }

    fn leased<T>(&mut self, id: &str, act: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.state.lease(id, self.holder)?;
        let result = act(self);
        match (self.state.release(id), result) {
            (Ok(()), result) => result,
            (Err(_), Err(fault)) => Err(fault),
            (Err(fault), Ok(_)) => Err(fault),
        }
    }
}

fn entry(batch: &BatchRecord) -> BatchEntry {
    BatchEntry { batch: batch.number, folder: batch.segment.clone(), hash: batch.segment_hash.clone() }
}

/// Why the rows of an archive stay.
fn kept(id: &str, standing: &Standing) -> Fault {
    let (why, hint) = match standing {
        Standing::Unfinished => (
            "the run is not over".to_owned(),
            format!("run `unseed resume {id}` or `unseed restore {id}` first"),
        ),
        Standing::Empty => ("no row of it ever left".to_owned(), "there is nothing to remove".to_owned()),
        Standing::Expired(expired) => {
            (format!("its rows were removed at {}", expired.at), "see `unseed archive list`".to_owned())
        }
        Standing::Held(hold) => (
            format!("`{}` holds it since {}: {}", hold.by, hold.at, hold.reason),
            format!("run `unseed archive release {id}` if that is no longer so"),
        ),
        Standing::Quarantined { until } => (
            format!("its rows are in quarantine until {until}"),
            format!("wait, or put them back with `unseed restore {id}`"),
        ),
        Standing::Due { since } => (
            format!("its quarantine is over since {since}, but was not ended"),
            "run `unseed purge --due`, which looks at the store first".to_owned(),
        ),
        Standing::Kept { until: Some(until) } => {
            (format!("it is kept until {until}"), "wait until then".to_owned())
        }
        Standing::Kept { until: None } | Standing::Over { .. } => (
            "nobody said how long archives are kept".to_owned(),
            "set for example `keep = \"90d\"` in `[archive]` of the configuration".to_owned(),
        ),
    };
    Fault::refused(format!("the archive of run `{id}` stays: {why}")).hint(hint)
}

/// The state that a purge ends in, and how the audit log tells it; a quarantine begins here.
pub(crate) fn ended(cx: &mut Context<'_>, report: &mut RunReport) -> Result<(RunState, String), Fault> {
    if report.kept.agreed.quarantine_s.is_none() {
        return Ok((RunState::Done, "done".to_owned()));
    }
    let (now, runs) = (cx.clock.now(), cx.state.runs()?);
    let seen = runs.iter().flat_map(|run| [Some(run.started_at.as_str()), run.finished_at.as_deref()]);
    let begun = keeping::begin(report.kept.agreed, &now, seen.flatten());
    let Some(begun) = begun else {
        return Err(Fault::store("the clock tells no time").hint("set the clock, then go on with the run"));
    };
    let outcome = format!("done, in quarantine until {}", begun.until);
    report.kept.quarantine = Some(begun);
    Ok((RunState::Quarantined, outcome))
}

/// Refuses to restore what was removed for good.
pub(crate) fn still_there(archive: &mut dyn ArchiveStore, id: &str) -> Result<(), Fault> {
    let Some(Tombstone { expired, .. }) = archive.tombstone(id)? else { return Ok(()) };
    let message = format!("the archive of run `{id}` expired at {}: {}", expired.at, expired.why);
    Err(Fault::refused(message)
        .state("nothing was put back; the rows of the run are gone for good")
        .hint("use a backup of the database from before the run, if there is one"))
}
