//! What the engine asks of the place where archives are kept.
//!
//! Invariants
//! - when [`BatchWriter::finish`] returns, every file of the batch and its folder are durable;
//! - a batch folder that was discarded or never finished is never read.

use crate::archive::{BatchManifest, Manifest};
use crate::fault::Fault;
use crate::port::store::{ArchiveSink, ArchiveSource};

/// A batch that is being archived. Effects of triggers may be added after the first `finish`, as further
/// sections; `finish` is then called again.
pub trait BatchWriter: ArchiveSink {
    /// Makes everything durable; returns the folder (relative to the run's archive) and the hash of its
    /// manifest.
    fn finish(&mut self) -> Result<(String, String), Fault>;

    /// This writer as the sink a store writes to.
    fn sink(&mut self) -> &mut dyn ArchiveSink;
}

/// Where archives are kept.
pub trait ArchiveStore: Send {
    /// Checks that archives can be written, before a run begins.
    fn prepare(&mut self, run: &str) -> Result<(), Fault>;

    /// Starts a batch; whatever an earlier attempt left under this number is removed.
    fn begin_batch(&mut self, run: &str, batch: u64) -> Result<Box<dyn BatchWriter>, Fault>;

    /// Removes the files of a batch that no commit claims.
    fn discard(&mut self, run: &str, batch: u64) -> Result<(), Fault>;

    /// The manifest of a batch, after comparing its hash.
    fn batch(&mut self, run: &str, batch: u64, hash: &str) -> Result<BatchManifest, Fault>;

    /// Writes the run's manifest and the scripts that restore by hand, durably; replaces earlier ones.
    fn publish(&mut self, manifest: &Manifest, scripts: &[(String, String)]) -> Result<(), Fault>;

    /// Reads batches back, verifying every part before its first byte is used.
    fn open(&mut self, run: &str, batches: &[(u64, String)]) -> Result<Box<dyn ArchiveSource>, Fault>;

    /// Checks length and hash of every part; returns parts and bytes checked.
    fn check(&mut self, run: &str, batches: &[(u64, String)]) -> Result<(u64, u64), Fault>;

    /// Where the run's archive is, for people.
    fn location(&self, run: &str) -> String;
}
