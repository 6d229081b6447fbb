//! A run: one execution of a plan, its batches and its states.
//!
//! Invariants
//! - a batch is `Begun` before the first byte of its segment is written, `Archived` before its rows are removed, `Committing` before its commit is sent, and
//!   `Committed` only when the store said so;
//! - only `Stopped` and `Running` runs can be resumed, only runs with committed batches restored.

use crate::approve::verdict::Counted;
use crate::port::store::{Removed, TagRange};
use serde::{Deserialize, Serialize};

/// States of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Running,
    /// Resumable.
    Stopped,
    Done,
    Verified,
    Restored,
    Failed,
    /// Its rows left and can be put back until a date.
    Quarantined,
}

impl RunState {
    /// The word in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Done => "done",
            Self::Verified => "verified",
            Self::Restored => "restored",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Who agreed to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Consent {
    /// The person at work, by an id.
    Id,
    /// Others, by their signatures.
    Signed { required: u32, approvals: Vec<Counted> },
}

impl Consent {
    /// In one line, for the audit log.
    pub fn text(&self) -> String {
        match self {
            Self::Id => "confirmed by its id".to_owned(),
            Self::Signed { required, approvals } => {
                let who: Vec<String> =
                    approvals.iter().map(|a| format!("{} ({})", a.approver, a.id)).collect();
                format!("approved by {}, {required} required", who.join(" and "))
            }
        }
    }
}

/// A run as the state database keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: String,
    /// Id and digest of the plan.
    pub plan: String,
    pub plan_digest: String,
    pub state: RunState,
    pub started_at: String,
    pub finished_at: Option<String>,
    pub actor: String,
    /// Who agreed to it.
    pub consent: Consent,
    /// Batches expected when the run began; grows when a batch is split or closed again.
    pub batches_total: u64,
    /// The report so far: counts, timings, statements, fingerprints.
    pub report: serde_json::Value,
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Its number is taken, so that no other process ever writes this segment; nothing is removed.
    Begun,
    /// Its segment is durable; nothing is removed.
    Archived,
    /// Proven; the commit is about to be sent, its outcome is not known.
    Committing,
    Committed,
    /// Rolled back; its segment is not claimed by anything.
    Discarded,
    /// Put back.
    Restored,
}

/// A batch as the state database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// Number within the run, from 1; never used twice, so a discarded batch keeps its number.
    pub number: u64,
    pub state: BatchState,
    pub tags: TagRange,
    /// The roots of the batch: positions in the plan's list of roots, over all tables.
    pub roots: Vec<(u64, u64)>,
    /// Folder of its segment, relative to the run's archive.
    pub segment: String,
    /// blake3 of the batch manifest.
    pub segment_hash: String,
    /// The store's token for the commit.
    pub token: String,
    pub removed: Removed,
}
