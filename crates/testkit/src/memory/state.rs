//! A state database in memory; its content outlives the handle, as a file would.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use unseed_core::fault::Fault;
use unseed_core::port::state::{AuditEntry, StateDb};
use unseed_core::run::{BatchRecord, Run, RunState};

/// A handle on the state.
#[derive(Debug, Clone, Default)]
pub struct MemState(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    runs: Vec<Run>,
    batches: BTreeMap<(String, u64), BatchRecord>,
    /// Every state a batch was ever put into, in order.
    journal: Vec<(String, BatchRecord)>,
    audit: Vec<AuditEntry>,
    leases: BTreeMap<String, String>,
}

impl MemState {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no test panics while it holds the state")
    }

    /// The audit log as `action object outcome`.
    pub fn audit_lines(&self) -> Vec<String> {
        self.lock().audit.iter().map(|e| format!("{} {} {}", e.action, e.object, e.outcome)).collect()
    }

    /// Every change of a batch, in order.
    pub fn journal(&self) -> Vec<(String, BatchRecord)> {
        self.lock().journal.clone()
    }

    /// Who holds the lease of a run.
    pub fn holder(&self, run: &str) -> Option<String> {
        self.lock().leases.get(run).cloned()
    }

    /// The processes that held leases are dead.
    pub fn forget_leases(&self) {
        self.lock().leases.clear();
    }
}

impl StateDb for MemState {
    fn begin_run(&mut self, run: &Run) -> Result<(), Fault> {
        let mut content = self.lock();
        if let Some(earlier) = content.runs.iter().find(|known| known.plan_digest == run.plan_digest) {
            let message = format!("plan `{}` was already used by run `{}`", run.plan, earlier.id);
            return Err(Fault::refused(message));
        }
        content.runs.push(run.clone());
        Ok(())
    }

    fn run(&mut self, id: &str) -> Result<Run, Fault> {
        let content = self.lock();
        let found = content.runs.iter().find(|run| run.id == id).cloned();
        found.ok_or_else(|| Fault::usage(format!("no such run `{id}`")).hint("see `unseed runs`"))
    }

    fn run_of_plan(&mut self, digest: &str) -> Result<Option<Run>, Fault> {
        Ok(self.lock().runs.iter().find(|run| run.plan_digest == digest).cloned())
    }

    fn runs(&mut self) -> Result<Vec<Run>, Fault> {
        Ok(self.lock().runs.iter().rev().cloned().collect())
    }

    fn next_run_id(&mut self) -> Result<String, Fault> {
        Ok(format!("r-{}", self.lock().runs.len() + 1))
    }

    fn update_run(&mut self, id: &str, state: RunState, report: &serde_json::Value) -> Result<(), Fault> {
        let mut content = self.lock();
        let run = content.runs.iter_mut().find(|run| run.id == id);
        let run = run.ok_or_else(|| Fault::usage(format!("no such run `{id}`")))?;
        run.state = state;
        run.report = report.clone();
        Ok(())
    }

    fn put_batch(&mut self, run: &str, batch: &BatchRecord) -> Result<(), Fault> {
        let mut content = self.lock();
        content.journal.push((run.to_owned(), batch.clone()));
        content.batches.insert((run.to_owned(), batch.number), batch.clone());
        Ok(())
    }

    fn batches(&mut self, run: &str) -> Result<Vec<BatchRecord>, Fault> {
        let content = self.lock();
        let of_run = content.batches.iter().filter(|((owner, _), _)| owner == run);
        Ok(of_run.map(|(_, batch)| batch.clone()).collect())
    }

    fn audit(&mut self, entry: &AuditEntry) -> Result<(), Fault> {
        self.lock().audit.push(entry.clone());
        Ok(())
    }

    fn lease(&mut self, run: &str, holder: &str) -> Result<(), Fault> {
        let mut content = self.lock();
        if let Some(other) = content.leases.get(run).filter(|other| *other != holder) {
            return Err(Fault::refused(format!("run `{run}` is held by `{other}`")));
        }
        content.leases.insert(run.to_owned(), holder.to_owned());
        Ok(())
    }

    fn release(&mut self, run: &str) -> Result<(), Fault> {
        self.lock().leases.remove(run);
        Ok(())
    }
}
