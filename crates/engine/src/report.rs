//! What a run tells about itself: `unseed.run/1`, kept in the state database while it grows.
//!
//! The baseline inside is what later checks compare with, so a resumed run and `verify` read it back from
//! here.
//!
//! Not here: showing it (the command line).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use unseed_core::fault::{Category, Fault};
use unseed_core::hook::HookFigures;
use unseed_core::keeping::Kept;
use unseed_core::plan::{Path, Plan, SubjectsSum};
use unseed_core::port::store::{Fingerprint, Statements};
use unseed_core::run::{BatchRecord, BatchState, Run, RunState};
use unseed_core::schema::{ReferenceId, Schema};

/// The value of [`RunReport::format`].
pub const FORMAT: &str = "unseed.run/1";

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    pub format: String,
    pub run: String,
    pub plan: String,
    /// Name of the store, as in the plan.
    pub store: String,
    pub path: Path,
    pub started_at: String,
    pub finished_at: Option<String>,
    pub batches: BatchFigures,
    /// The same as `batches.total`, where the list of runs looks for it.
    pub batches_total: u64,
    pub rows: RowFigures,
    /// By table name.
    pub tables: BTreeMap<String, TableFigures>,
    /// Rows that triggers inserted elsewhere, by table name.
    pub inserted_by_triggers: BTreeMap<String, u64>,
    /// Rows of allowed tables that triggers changed or removed.
    pub changed_by_triggers: BTreeMap<String, u64>,
    pub baseline: Option<Baseline>,
    /// The protected rows after the last batch.
    pub protected_after: Vec<Fingerprint>,
    pub statements: Statements,
    pub timings: Timings,
    /// How often rows changed under the run, so that a batch was done again.
    pub retries: u64,
    /// Where the archive is, for people.
    pub archive: String,
    /// To whom the archive is encrypted, as public keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// What the run waited for, by the word of its cause.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waits: BTreeMap<String, WaitFigures>,
    /// Hooks that were run, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookFigures>,
    /// Indexes that were built for the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexFigures>,
    pub verification: Option<Verification>,
    pub restores: Vec<RestoreFigures>,
    /// How long the rows can be put back, and what became of that.
    #[serde(default, skip_serializing_if = "Kept::is_empty")]
    pub kept: Kept,
    /// What was done in each of several stores, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<LegReport>,
    /// The values that derived stores are searched by, once they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<KeptSubjects>,
}

/// What was done in one of several stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegReport {
    pub store: String,
    /// Kind of the store, e.g. `postgresql`.
    pub kind: String,
    /// `None` until it begins.
    pub state: Option<RunState>,
    /// Id and digest of the leg as a plan of its own.
    pub plan: String,
    pub plan_digest: String,
    pub started_at: String,
    pub finished_at: Option<String>,
    pub report: Option<RunReport>,
}

/// Where the values of removed rows are kept: the first batch of the run's own archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSubjects {
    /// Hash of that batch's manifest.
    pub hash: String,
    pub sums: Vec<SubjectsSum>,
}

/// Batches of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFigures {
    pub done: u64,
    pub total: u64,
}

/// Rows of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFigures {
    pub deleted: u64,
    pub detached: u64,
}

/// One table before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFigures {
    pub before: Option<u64>,
    pub after: Option<u64>,
    pub deleted: u64,
    pub detached: u64,
}

/// Waits of one cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitFigures {
    pub ms: u64,
    /// How often such a wait began.
    pub times: u64,
    /// What was said last.
    pub last: String,
}

impl WaitFigures {
    /// Adds waits that came later: their milliseconds, how many began, what was said last.
    pub(crate) fn add(&mut self, ms: u64, times: u64, last: &str) {
        self.ms += ms;
        self.times += times;
        last.clone_into(&mut self.last);
    }
}

/// How far an index of the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexState {
    /// Begun; after a crash it may be there, half built.
    Building,
    Built,
    /// Not built, for the reason that stands there.
    Skipped,
    Dropped,
}

/// One index of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexFigures {
    /// With its schema.
    pub name: String,
    /// e.g. `public.users (tenant_id)`.
    pub on: String,
    pub state: IndexState,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub says: String,
}

impl IndexFigures {
    /// Whether it may be in the store.
    pub fn is_left(&self) -> bool {
        match self.state {
            IndexState::Building | IndexState::Built => true,
            IndexState::Skipped | IndexState::Dropped => false,
        }
    }
}

/// What was there before the first batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Rows that referred to nothing already, by [`reference_key`].
    pub orphans: BTreeMap<String, u64>,
    pub protected: Vec<Fingerprint>,
}

/// Milliseconds per stage, over all attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Catalog, baseline, counts before.
    pub prepare_ms: u64,
    /// The closure; of entries, finding them.
    pub close_ms: u64,
    pub archive_ms: u64,
    pub remove_ms: u64,
    /// Counts and fingerprints after, manifest; of entries, the pass that finds nothing.
    pub finish_ms: u64,
    pub verify_ms: u64,
}

/// What `verify` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub at: String,
    pub roots_checked: u64,
    pub roots_present: u64,
    pub references_checked: u64,
    /// New orphans, by [`reference_key`].
    pub orphans: BTreeMap<String, u64>,
    pub protected_rows: u64,
    /// Tables whose protected rows are not what they were.
    pub protected_changed: Vec<String>,
    pub archive_parts: u64,
    pub archive_bytes: u64,
    /// Tables of which the archive holds another number of rows than were removed.
    pub archive_differs: Vec<String>,
    /// When the rows of the archive were removed, so that only its manifests could be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_expired_at: Option<String>,
    /// Entries of removed rows that derived stores hold, by pattern.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leftovers: BTreeMap<String, u64>,
    /// Entries that derived stores looked at.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub entries_checked: u64,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreFigures {
    pub at: String,
    /// `everything`, or the root's table and key.
    pub scope: String,
    /// False while its commit is not known to have worked.
    pub committed: bool,
    pub inserted: BTreeMap<String, u64>,
    pub reattached: BTreeMap<String, u64>,
    /// Sent to the store up to its commit.
    #[serde(default)]
    pub statements: Statements,
    /// By which the store knows its commit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
}

impl RunReport {
    /// Reads the report that a run keeps.
    ///
    /// # Errors
    /// An archive fault when the state database holds something else.
    pub fn of(run: &Run) -> Result<Self, Fault> {
        serde_json::from_value(run.report.clone()).map_err(|error| {
            let message = format!("the report of run `{}` cannot be read: {error}", run.id);
            Fault::new(Category::Archive, message)
                .hint("check that the state belongs to this version of unseed")
        })
    }

    /// The stable JSON form.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a report is plain data, which JSON can always hold")
    }

    /// A report that says nothing yet.
    pub(crate) fn begun(run: &str, plan: &Plan, started_at: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            run: run.to_owned(),
            plan: plan.id.clone(),
            store: plan.stores.first().map(|s| s.store.clone()).unwrap_or_default(),
            path: plan.path,
            started_at,
            finished_at: None,
            batches: BatchFigures::default(),
            batches_total: 0,
            rows: RowFigures::default(),
            tables: BTreeMap::new(),
            inserted_by_triggers: BTreeMap::new(),
            changed_by_triggers: BTreeMap::new(),
            baseline: None,
            protected_after: Vec::new(),
            statements: Statements::default(),
            timings: Timings::default(),
            retries: 0,
            waits: BTreeMap::new(),
            hooks: Vec::new(),
            indexes: Vec::new(),
            archive: String::new(),
            recipients: Vec::new(),
            verification: None,
            restores: Vec::new(),
            kept: Kept::default(),
            legs: Vec::new(),
            subjects: None,
        }
    }

    /// Puts the figures of the legs in, from scratch.
    pub(crate) fn count_legs(&mut self) {
        let reports = || self.legs.iter().filter_map(|leg| leg.report.as_ref());
        let batches = BatchFigures {
            done: reports().map(|report| report.batches.done).sum(),
            total: reports().map(|report| report.batches.total).sum(),
        };
        let rows = RowFigures {
            deleted: reports().map(|report| report.rows.deleted).sum(),
            detached: reports().map(|report| report.rows.detached).sum(),
        };
        (self.batches, self.batches_total, self.rows) = (batches, batches.total, rows);
    }

    /// Puts the figures of the batches in, from scratch.
    pub(crate) fn count_batches(&mut self, schema: &Schema, batches: &[BatchRecord]) {
        let claimed = |b: &&BatchRecord| match b.state {
            BatchState::Committed | BatchState::Restored => true,
            BatchState::Begun | BatchState::Archived | BatchState::Committing | BatchState::Discarded => {
                false
            }
        };
        self.rows = RowFigures::default();
        self.inserted_by_triggers.clear();
        self.changed_by_triggers.clear();
        for figures in self.tables.values_mut() {
            (figures.deleted, figures.detached) = (0, 0);
        }
        self.batches.done = 0;
        for batch in batches.iter().filter(claimed) {
            self.batches.done += 1;
            for (table, rows) in &batch.removed.removed {
                self.rows.deleted += rows;
                self.tables.entry(batch.removed.name_of(*table, schema)).or_default().deleted += rows;
            }
            for (table, rows) in &batch.removed.detached {
                self.rows.detached += rows;
                self.tables.entry(batch.removed.name_of(*table, schema)).or_default().detached += rows;
            }
            add_all(&mut self.inserted_by_triggers, &batch.removed.inserted);
            add_all(&mut self.changed_by_triggers, &batch.removed.effects);
        }
        self.batches.total = self.batches.total.max(self.batches.done);
        self.batches_total = self.batches.total;
    }
}

impl Verification {
    /// Whether nothing remains and everything is as it should be.
    pub fn is_clean(&self) -> bool {
        self.roots_present == 0
            && self.orphans.is_empty()
            && self.protected_changed.is_empty()
            && self.archive_differs.is_empty()
            && self.leftovers.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn add_all(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, rows) in more {
        *sums.entry(name.clone()).or_default() += rows;
    }
}

/// By what a reference is told apart in reports: its description and its name.
pub fn reference_key(schema: &Schema, id: ReferenceId) -> String {
    let reference = schema.reference(id);
    let namespace = &schema.table(reference.child).name.namespace;
    format!("{namespace}.{} [{}]", schema.describe(id), reference.name)
}
