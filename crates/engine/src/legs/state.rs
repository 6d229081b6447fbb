//! One leg as a run of its own: its state and report are kept within the report of the whole run, its batches among the
//! run's batches, in a range of numbers of its own.
//!
//! So one write keeps the state of all legs, and a state database need not know of legs.
//!
//! Invariants
//! - a leg is written under the lease of its run;
//! - a leg that failed before it changed anything can begin again.
//!
//! Not here: what the states of the run mean (`purge`).

use crate::report::{LegReport, RunReport};
use unseed_core::fault::Fault;
use unseed_core::port::state::{AuditEntry, StateDb};
use unseed_core::run::{BatchRecord, Run, RunState};

/// Numbers of batches that one leg has for itself.
const NUMBERS: u64 = 1_000_000_000;

/// Id of a leg: `r-7/cache`.
pub fn leg_id(run: &str, store: &str) -> String {
    format!("{run}/{store}")
}

/// The state of one leg, for looking at it with the tools for runs.
pub fn leg_state<'a>(
    state: &'a mut dyn StateDb,
    run: &str,
    position: usize,
    store: &str,
) -> impl StateDb + 'a {
    LegState::new(state, run, position, store)
}

pub(super) struct LegState<'a> {
    inner: &'a mut dyn StateDb,
    run: String,
    id: String,
    position: usize,
}

impl<'a> LegState<'a> {
    /// The leg at this position of the plan.
    pub(super) fn new(inner: &'a mut dyn StateDb, run: &str, position: usize, store: &str) -> Self {
        Self { inner, run: run.to_owned(), id: leg_id(run, store), position }
    }

    fn offset(&self) -> u64 {
        (u64::try_from(self.position).expect("a length fits 64 bits") + 1) * NUMBERS
    }

    fn leg(&mut self) -> Result<(Run, LegReport), Fault> {
        let run = self.inner.run(&self.run)?;
        let leg = RunReport::of(&run)?.legs.into_iter().nth(self.position);
        let leg = leg.ok_or_else(|| Fault::store(format!("run `{}` has no such leg", self.id)))?;
        Ok((run, leg))
    }

    fn change(&mut self, change: impl FnOnce(&mut LegReport)) -> Result<(), Fault> {
        let run = self.inner.run(&self.run)?;
        let mut report = RunReport::of(&run)?;
        let leg = report.legs.get_mut(self.position);
        change(leg.ok_or_else(|| Fault::store(format!("run `{}` has no such leg", self.id)))?);
        report.count_legs();
        self.inner.update_run(&self.run, run.state, &report.to_json())
    }

    /// The leg as a run, if it has begun.
    pub(super) fn begun(&mut self) -> Result<Option<Run>, Fault> {
        let (run, leg) = self.leg()?;
        let Some(state) = leg.state.filter(|state| *state != RunState::Failed) else { return Ok(None) };
        let report = leg.report.ok_or_else(|| Fault::store(format!("leg `{}` has no report", self.id)))?;
        Ok(Some(Run {
            id: self.id.clone(),
            plan: leg.plan,
            plan_digest: leg.plan_digest,
            state,
            started_at: leg.started_at,
            finished_at: leg.finished_at,
            batches_total: report.batches_total,
            report: report.to_json(),
            ..run
        }))
    }
}

impl StateDb for LegState<'_> {
    fn begin_run(&mut self, run: &Run) -> Result<(), Fault> {
        let report = RunReport::of(run)?;
        let run = run.clone();
        self.change(|leg| {
            leg.state = Some(run.state);
            (leg.plan, leg.plan_digest) = (run.plan, run.plan_digest);
            (leg.started_at, leg.finished_at) = (run.started_at, None);
            leg.report = Some(report);
        })
    }

    fn run(&mut self, id: &str) -> Result<Run, Fault> {
        if id != self.id {
            return self.inner.run(id);
        }
        let begun = self.begun()?;
        begun.ok_or_else(|| Fault::usage(format!("`{id}` has not begun")).hint("run `unseed runs`"))
    }

    fn run_of_plan(&mut self, digest: &str) -> Result<Option<Run>, Fault> {
        Ok(self.begun()?.filter(|run| run.plan_digest == digest))
    }

    fn runs(&mut self) -> Result<Vec<Run>, Fault> {
        self.inner.runs()
    }

    fn next_run_id(&mut self) -> Result<String, Fault> {
        Ok(self.id.clone())
    }

    fn update_run(&mut self, id: &str, state: RunState, report: &serde_json::Value) -> Result<(), Fault> {
        assert_eq!(id, self.id, "a leg changes no other run");
        let report: RunReport = serde_json::from_value(report.clone())
            .map_err(|error| Fault::store(format!("the report of `{id}` cannot be kept: {error}")))?;
        let now = report.finished_at.clone();
        self.change(|leg| {
            leg.state = Some(state);
            leg.finished_at = match state {
                RunState::Running | RunState::Stopped => None,
                RunState::Done
                | RunState::Verified
                | RunState::Quarantined
                | RunState::Restored
                | RunState::Failed => leg.finished_at.take().or(now),
            };
            leg.report = Some(report);
        })
    }

    fn put_batch(&mut self, _run: &str, batch: &BatchRecord) -> Result<(), Fault> {
        let number = batch.number + self.offset();
        self.inner.put_batch(&self.run, &BatchRecord { number, ..batch.clone() })
    }

    fn batches(&mut self, _run: &str) -> Result<Vec<BatchRecord>, Fault> {
        let offset = self.offset();
        let own = |batch: BatchRecord| {
            let number = batch.number.checked_sub(offset).filter(|number| *number < NUMBERS)?;
            Some(BatchRecord { number, ..batch })
        };
        Ok(self.inner.batches(&self.run)?.into_iter().filter_map(own).collect())
    }

    fn audit(&mut self, entry: &AuditEntry) -> Result<(), Fault> {
        self.inner.audit(entry)
    }

    /// The lease of the run is held.
    fn lease(&mut self, _run: &str, _holder: &str) -> Result<(), Fault> {
        Ok(())
    }

    fn release(&mut self, _run: &str) -> Result<(), Fault> {
        Ok(())
    }
}
