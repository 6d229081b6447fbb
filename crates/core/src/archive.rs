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

use crate::keeping::Expired;
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
    /// Bytes of the text, and of the file: compressed, and encrypted where it is.
    pub bytes: u64,
    pub bytes_compressed: u64,
    /// blake3 of the file as it lies there, so that a check needs no key.
    pub hash: String,
    /// Of an encrypted part, blake3 of the compressed text inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_inside: Option<String>,
}

/// What one batch archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchManifest {
    pub batch: u64,
    /// To whom the parts are encrypted, as public keys; nobody where they are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
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
    /// To whom the parts are encrypted, as public keys; nobody where they are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
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

/// The value of [`Tombstone::format`].
pub const TOMBSTONE_FORMAT: &str = "unseed.tombstone/1";

/// What is left of an archive whose rows were removed, beside its manifests. From the moment it is there, the rows
/// count as gone, whatever still lies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    pub format: String,
    pub run: String,
    pub plan_digest: String,
    #[serde(flatten)]
    pub expired: Expired,
    /// The batches that held rows, with the hashes of their manifests, which stay.
    pub batches: Vec<BatchEntry>,
}

/// Something that is wrong with an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Path relative to the run's archive folder.
    pub file: String,
    /// What, in words that follow the file's name: `is missing`.
    pub what: String,
}

/// What a check of an archive's files found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    pub files: u64,
    pub bytes: u64,
    /// Rows that the manifests speak of, of every kind of section.
    pub rows: u64,
    /// Sections of which every row was read: all, but for encrypted ones that no key was given for.
    pub sections_read: u64,
    /// To whom it is encrypted; nobody where it is not.
    pub recipients: Vec<String>,
    /// The manifests of the batches that could be read.
    #[serde(skip)]
    pub manifests: Vec<BatchManifest>,
    pub problems: Vec<Problem>,
    /// What a person should know although nothing has to be wrong: segments that no committed batch claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
    /// When its rows were removed, of an archive that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Expired>,
}
