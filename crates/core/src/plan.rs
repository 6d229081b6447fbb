//! The plan: an immutable description of a purge, with a digest over all of it.
//!
//! A plan names everything by name, so that it means the same to a person, to another process and to a
//! later version. Root keys stand inside, or, when there are many, in a file beside it whose hash is inside.
//!
//! Invariants
//! - the digest covers every field but itself and the id, which is its beginning;
//! - a plan says which schema and which versions of its roots it was made for; anything else is stale.
//!
//! Not here: making one (`engine::plan`), using it up (`engine::purge`), reading and writing files (`io`).

use crate::policy::Policy;
use crate::port::store::Conflict;
use crate::schema::{ColumnIndex, TableId};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The value of [`Plan::format`].
pub const FORMAT: &str = "unseed.plan/1";

/// How the names of indexes begin that are built for a run; the id of its plan follows, and a number.
pub const INDEX_PREFIX: &str = "unseed_tmp_";

/// How rows are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// The store's own checks are skipped, and the same fact is proven set by set before each commit.
    Fast,
    /// The store checks every row itself.
    Checked,
}

/// One root as the plan keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRow {
    /// Values of the key columns as text.
    pub key: Vec<String>,
    /// Hash of the whole row as it was when planned.
    pub version: String,
}

/// The roots of one table, in the order in which they will be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSet {
    pub table: TableId,
    pub columns: Vec<ColumnIndex>,
    pub rows: Vec<RootRow>,
}

impl RootSet {
    /// Leaves the first of rows with the same key.
    pub fn drop_repeated(&mut self) {
        let mut seen = HashSet::with_capacity(self.rows.len());
        let first: Vec<bool> = self.rows.iter().map(|row| seen.insert(row.key.as_slice())).collect();
        let mut first = first.into_iter();
        self.rows.retain(|_| first.next().unwrap_or(false));
    }
}

/// Where the keys of a plan's roots are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Keys {
    Inline(Vec<RootRow>),
    /// A JSON Lines file beside the plan, with its blake3 hash.
    File {
        file: String,
        hash: String,
    },
}

/// The roots of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    pub table: String,
    pub count: u64,
    /// Names of the key columns.
    pub columns: Vec<String>,
    /// How they were chosen, in words.
    pub chosen_by: String,
    pub keys: Keys,
}

/// The store a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStore {
    pub store: String,
    pub kind: String,
    /// The URL without any secret, or `env:NAME`.
    pub url: String,
    pub server_version: String,
    pub schema_fingerprint: String,
}

/// What is done to the rows of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Delete,
    Detach,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub store: String,
    pub table: String,
    pub action: Action,
    /// For a detach: the columns that are set to null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    pub rows: u64,
    /// Rows in the table, counted or estimated by the store, before the purge.
    pub of: u64,
    /// The references that lead here; empty for the roots.
    pub via: String,
}

/// Whether indexes are built for the time of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildIndexes {
    /// Where that saves more than a second.
    #[default]
    Auto,
    /// On every foreign key without one that the store has to look rows up by.
    Always,
    Never,
}

/// An index that is built before the first batch and dropped after the last one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunIndex {
    pub namespace: String,
    /// The table; of a partitioned one, a partition.
    pub table: String,
    pub columns: Vec<String>,
    /// Seconds that the run would take longer without it, roughly.
    pub saves_s: u64,
}

impl RunIndex {
    /// `public.users (tenant_id)`.
    pub fn on(&self) -> String {
        format!("{}.{} ({})", self.namespace, self.table, self.columns.join(", "))
    }
}

/// Something a person should know before approving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable word, e.g. `missing-fk-index`.
    pub id: String,
    pub table: String,
    pub says: String,
    /// Seconds it will cost, where that is the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_s: Option<u64>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub format: String,
    pub id: String,
    pub digest: String,
    pub created_at: String,
    pub created_by: String,
    pub stores: Vec<PlanStore>,
    pub path: Path,
    /// Why this path was chosen, in words.
    pub path_reason: String,
    pub batch_rows_max: u64,
    pub policy: Policy,
    pub roots: Vec<Roots>,
    pub steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "is_auto")]
    pub build_indexes: BuildIndexes,
    /// What is built for the time of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<RunIndex>,
    pub warnings: Vec<Warning>,
    pub conflicts: Vec<Conflict>,
}

fn is_auto(choice: &BuildIndexes) -> bool {
    *choice == BuildIndexes::Auto
}

impl Plan {
    /// Computes digest and id and puts them in.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = self.compute_digest();
        let hex = self.digest.trim_start_matches("blake3:");
        self.id = hex.chars().take(8).collect();
        self
    }

    /// Whether digest and id belong to the content.
    pub fn is_intact(&self) -> bool {
        let digest = self.compute_digest();
        digest == self.digest
            && digest.trim_start_matches("blake3:").starts_with(&self.id)
            && self.id.len() == 8
    }

    /// Rows that leave, over all tables.
    pub fn rows_deleted(&self) -> u64 {
        self.steps.iter().filter(|s| s.action == Action::Delete).map(|s| s.rows).sum()
    }

    /// Rows that are detached, over all tables.
    pub fn rows_detached(&self) -> u64 {
        self.steps.iter().filter(|s| s.action == Action::Detach).map(|s| s.rows).sum()
    }

    /// The name of an index of the run, by its position, without the schema, which is that of its table.
    pub fn index_name(&self, position: usize) -> String {
        format!("{INDEX_PREFIX}{}_{}", self.id, position + 1)
    }

    /// Number of roots.
    pub fn root_count(&self) -> u64 {
        self.roots.iter().map(|r| r.count).sum()
    }

    fn compute_digest(&self) -> String {
        let mut bare = self.clone();
        bare.id = String::new();
        bare.digest = String::new();
        let bytes = serde_json::to_vec(&bare).expect("a plan is plain data, which JSON can always hold");
        format!("blake3:{}", blake3::hash(&bytes).to_hex())
    }
}
