//! The manifest of an archive: what each part holds, and the hashes that prove it.
//!
//! An archive is a folder per run. Each batch has a folder with one compressed file per section and a
//! `batch.json`; the run's `manifest.json` lists the batches. Files are gzip, since every machine can read it.
//!
//! Invariants
//! - a part's hash and row count are known before the batch that claims it is committed;
//! - reading checks length, hash and count, and refuses the part when one of them differs.
//!
//! Not here: files and compression (`io::archive`), the text format of rows (`io::store`).

use crate::port::store::{SectionHead, Server};
use serde::{Deserialize, Serialize};

/// The value of [`Manifest::format`].
pub const FORMAT: &str = "unseed.archive/1";

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    #[serde(flatten)]
    pub head: SectionHead,
    /// Path relative to the run's archive folder.
    pub file: String,
    pub rows: u64,
    /// Bytes before and after compression.
    pub bytes: u64,
    pub bytes_compressed: u64,
    /// blake3 of the compressed file.
    pub hash: String,
}

/// What one batch archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchManifest {
    pub batch: u64,
    pub parts: Vec<Part>,
}

/// A run's archive as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: String,
    pub run: String,
    pub plan: String,
    pub plan_digest: String,
    pub owner: String,
    pub created_at: String,
    pub server: Server,
    pub schema_fingerprint: String,
    /// Hash of each committed batch's manifest, in order.
    pub batches: Vec<BatchEntry>,
}

/// A batch in the manifest of its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEntry {
    pub batch: u64,
    pub folder: String,
    pub hash: String,
}
