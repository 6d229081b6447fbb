//! What the engine asks of the place where archives are kept.
//!
//! Invariants
//! - when [`BatchWriter::finish`] returns, every file of the batch and its folder are durable;
//! - a batch folder that was discarded or never finished is never read.

use crate::archive::{BatchManifest, Manifest, Survey, Tombstone};
use crate::fault::Fault;
use crate::keys::KeyFile;
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

    /// Writes the run's manifest, the scripts that restore by hand, and the keys of the plan, durably; replaces earlier
    /// ones. Keys may be millions, so they are written line by line.
    fn publish(
        &mut self,
        manifest: &Manifest,
        scripts: &[(String, String)],
        keys: &[KeyFile<'_>],
    ) -> Result<(), Fault>;

    /// Reads batches back, verifying every part before its first byte is used.
    fn open(&mut self, run: &str, batches: &[(u64, String)]) -> Result<Box<dyn ArchiveSource>, Fault>;

    /// Checks length and hash of every part; returns parts and bytes checked.
    fn check(&mut self, run: &str, batches: &[(u64, String)]) -> Result<(u64, u64), Fault>;

    /// To whom batches are encrypted from now on, as public keys; nobody where they are not.
    fn recipients(&self) -> Vec<String> {
        Vec::new()
    }

    /// Encrypts batches from now on to these public keys, as an earlier process of the run did; none: not at all.
    fn seal(&mut self, recipients: &[String]) -> Result<(), Fault> {
        assert!(recipients.is_empty(), "these archives are never encrypted");
        Ok(())
    }

    /// Looks at every file and lists all that is wrong, what is inside included where it can be read. `complete` says that the run is over, so that its manifest
    /// lists these batches and no others.
    fn survey(&mut self, run: &str, batches: &[(u64, String)], complete: bool) -> Result<Survey, Fault> {
        let _ = complete;
        let (files, bytes) = self.check(run, batches)?;
        Ok(Survey { files, bytes, ..Survey::default() })
    }

    /// Folders of batches that hold something and are none of these: of batches that were never committed, or that
    /// the journal has lost.
    fn unclaimed(&mut self, run: &str, claimed: &[u64]) -> Result<Vec<String>, Fault> {
        let _ = (run, claimed);
        Ok(Vec::new())
    }

    /// What is left of an archive whose rows were removed; none where they are there.
    fn tombstone(&mut self, run: &str) -> Result<Option<Tombstone>, Fault> {
        let _ = run;
        Ok(None)
    }

    /// Makes the tombstone durable, then removes the rows of its batches and what only served to restore them. The
    /// manifests stay. Can be repeated after a crash. Returns files and bytes that were removed.
    fn expire(&mut self, tombstone: &Tombstone) -> Result<(u64, u64), Fault> {
        let message = format!("the archive of run `{}` is in a place that cannot remove rows", tombstone.run);
        Err(Fault::refused(message).hint("remove them where they are kept"))
    }

    /// Where the run's archive is, for people.
    fn location(&self, run: &str) -> String;
}
