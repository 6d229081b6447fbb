//! A state database and archives that fail at a chosen call; see `faults`.

use super::{Fuse, MemArchive, MemState};
use unseed_core::archive::{BatchManifest, Manifest, Tombstone};
use unseed_core::fault::Fault;
use unseed_core::keys::KeyFile;
use unseed_core::port::archive::{ArchiveStore, BatchWriter};
use unseed_core::port::state::{AuditEntry, StateDb};
use unseed_core::port::store::{ArchiveSink, ArchiveSource, SectionHead};
use unseed_core::run::{BatchRecord, Run, RunState};

/// A state database that fails at a chosen call.
#[derive(Debug)]
pub struct FaultState {
    inner: MemState,
    fuse: Fuse,
}

impl FaultState {
    /// Wraps a state database.
    pub fn new(inner: &MemState, fuse: Fuse) -> Self {
        Self { inner: inner.clone(), fuse }
    }
}

impl StateDb for FaultState {
    fn begin_run(&mut self, run: &Run) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.begin_run(run))
    }

    fn run(&mut self, id: &str) -> Result<Run, Fault> {
        self.fuse.around(|| self.inner.run(id))
    }

    fn run_of_plan(&mut self, digest: &str) -> Result<Option<Run>, Fault> {
        self.fuse.around(|| self.inner.run_of_plan(digest))
    }

    fn runs(&mut self) -> Result<Vec<Run>, Fault> {
        self.fuse.around(|| self.inner.runs())
    }

    fn next_run_id(&mut self) -> Result<String, Fault> {
        self.fuse.around(|| self.inner.next_run_id())
    }

    fn update_run(&mut self, id: &str, state: RunState, report: &serde_json::Value) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.update_run(id, state, report))
    }

    fn put_batch(&mut self, run: &str, batch: &BatchRecord) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.put_batch(run, batch))
    }

    fn batches(&mut self, run: &str) -> Result<Vec<BatchRecord>, Fault> {
        self.fuse.around(|| self.inner.batches(run))
    }

    fn audit(&mut self, entry: &AuditEntry) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.audit(entry))
    }

    fn lease(&mut self, run: &str, holder: &str) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.lease(run, holder))
    }

    fn release(&mut self, run: &str) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.release(run))
    }
}

/// Archives that fail at a chosen call.
#[derive(Debug)]
pub struct FaultArchive {
    inner: MemArchive,
    fuse: Fuse,
}

impl FaultArchive {
    /// Wraps archives.
    pub fn new(inner: &MemArchive, fuse: Fuse) -> Self {
        Self { inner: inner.clone(), fuse }
    }
}

impl ArchiveStore for FaultArchive {
    fn prepare(&mut self, run: &str) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.prepare(run))
    }

    fn begin_batch(&mut self, run: &str, batch: u64) -> Result<Box<dyn BatchWriter>, Fault> {
        let inner = self.fuse.around(|| self.inner.begin_batch(run, batch))?;
        Ok(Box::new(FaultWriter { inner, fuse: self.fuse.clone() }))
    }

    fn discard(&mut self, run: &str, batch: u64) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.discard(run, batch))
    }

    fn batch(&mut self, run: &str, batch: u64, hash: &str) -> Result<BatchManifest, Fault> {
        self.fuse.around(|| self.inner.batch(run, batch, hash))
    }

    fn publish(
        &mut self,
        manifest: &Manifest,
        scripts: &[(String, String)],
        keys: &[KeyFile<'_>],
    ) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.publish(manifest, scripts, keys))
    }

    fn open(&mut self, run: &str, batches: &[(u64, String)]) -> Result<Box<dyn ArchiveSource>, Fault> {
        self.fuse.around(|| self.inner.open(run, batches))
    }

    fn check(&mut self, run: &str, batches: &[(u64, String)]) -> Result<(u64, u64), Fault> {
        self.fuse.around(|| self.inner.check(run, batches))
    }

    fn unclaimed(&mut self, run: &str, claimed: &[u64]) -> Result<Vec<String>, Fault> {
        self.fuse.around(|| self.inner.unclaimed(run, claimed))
    }

    fn tombstone(&mut self, run: &str) -> Result<Option<Tombstone>, Fault> {
        self.fuse.around(|| self.inner.tombstone(run))
    }

    fn expire(&mut self, tombstone: &Tombstone) -> Result<(u64, u64), Fault> {
        self.fuse.around(|| self.inner.expire(tombstone))
    }

    fn location(&self, run: &str) -> String {
        self.inner.location(run)
    }
}

struct FaultWriter {
    inner: Box<dyn BatchWriter>,
    fuse: Fuse,
}

impl ArchiveSink for FaultWriter {
    fn begin(&mut self, head: SectionHead) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.begin(head))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.inner.write(bytes)
    }

    fn end(&mut self, rows: u64) -> Result<(), Fault> {
        self.fuse.around(|| self.inner.end(rows))
    }
}

impl BatchWriter for FaultWriter {
    fn finish(&mut self) -> Result<(String, String), Fault> {
        self.fuse.around(|| self.inner.finish())
    }

    fn sink(&mut self) -> &mut dyn ArchiveSink {
        self
    }
}
