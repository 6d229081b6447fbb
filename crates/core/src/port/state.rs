//! What the engine asks of the state database: plans used, runs, batches, journal, audit.
//!
//! Every write is durable when the call returns. Times are RFC 3339 text that the caller took from a clock.

use crate::approve::statement::Approval;
use crate::audit::{Checkpoint, Link, Record};
use crate::fault::Fault;
use crate::run::{BatchRecord, Run, RunState};

/// The state database.
pub trait StateDb: Send {
    /// Registers a run and uses its plan up, in one transaction.
    ///
    /// # Errors
    /// `Refused` when the plan was used before; names the run.
    fn begin_run(&mut self, run: &Run) -> Result<(), Fault>;

    /// One run by its id; a usage fault when there is none.
    fn run(&mut self, id: &str) -> Result<Run, Fault>;

    /// The run that used a plan, if any.
    fn run_of_plan(&mut self, digest: &str) -> Result<Option<Run>, Fault>;

    /// All runs, newest first.
    fn runs(&mut self) -> Result<Vec<Run>, Fault>;

    /// The id for the next run: `r-1`, `r-2`, …
    fn next_run_id(&mut self) -> Result<String, Fault>;

    /// Moves a run on and replaces its report.
    fn update_run(&mut self, id: &str, state: RunState, report: &serde_json::Value) -> Result<(), Fault>;

    /// Inserts or replaces a batch of a run, with a journal entry.
    fn put_batch(&mut self, run: &str, batch: &BatchRecord) -> Result<(), Fault>;

    /// Batches of a run in order.
    fn batches(&mut self, run: &str) -> Result<Vec<BatchRecord>, Fault>;

    /// Appends to the audit log: before an effect, and its outcome after.
    fn audit(&mut self, entry: &AuditEntry) -> Result<(), Fault>;

    /// Takes the right to act on a run; refused while another live process holds it.
    fn lease(&mut self, run: &str, holder: &str) -> Result<(), Fault>;

    /// Gives the right back.
    fn release(&mut self, run: &str) -> Result<(), Fault>;
}

/// What the state database keeps of approvals and of the audit log, beside runs.
///
/// Approvals, revocations and checkpoints are only ever added.
pub trait GovernanceDb: StateDb {
    /// Keeps an approval of a plan; one that is kept already is kept once.
    fn put_approval(&mut self, digest: &str, id: &str, approval: &Approval) -> Result<(), Fault>;

    /// The approvals of a plan, oldest first, each with its id.
    fn approvals(&mut self, digest: &str) -> Result<Vec<(String, Approval)>, Fault>;

    /// Takes an approval back for good, whether it is kept here or not.
    fn revoke(&mut self, revocation: &Revocation) -> Result<(), Fault>;

    /// What was taken back of a plan.
    fn revocations(&mut self, digest: &str) -> Result<Vec<Revocation>, Fault>;

    /// Reads the audit log from its first entry on.
    fn audit_log(&mut self, each: &mut dyn FnMut(Record) -> Result<(), Fault>) -> Result<(), Fault>;

    /// The last entry of the audit log.
    fn audit_head(&mut self) -> Result<Option<Link>, Fault>;

    /// The highest number that an entry ever had, even if that entry is gone.
    fn audit_issued(&mut self) -> Result<u64, Fault>;

    /// Keeps a signature over the audit log.
    fn put_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Fault>;

    /// Signatures over the audit log, oldest first.
    fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, Fault>;
}

/// An approval that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub digest: String,
    /// Id of the approval.
    pub approval: String,
    pub at: String,
    pub actor: String,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditEntry {
    pub at: String,
    pub actor: String,
    /// e.g. `purge.batch`.
    pub action: String,
    /// e.g. `r-19/41`.
    pub object: String,
    /// e.g. `started`, `committed`, `refused`.
    pub outcome: String,
}

impl AuditEntry {
    /// What somebody did at a moment: an action on an object, and what became of it.
    pub fn new(at: String, actor: &str, action: &str, object: &str, outcome: &str) -> Self {
        let [actor, action, object, outcome] = [actor, action, object, outcome].map(str::to_owned);
        Self { at, actor, action, object, outcome }
    }
}
