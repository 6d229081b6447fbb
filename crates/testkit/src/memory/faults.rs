//! Ports that fail at a chosen call: lost connections, and processes that die.
//!
//! All wrappers that share a [`Fuse`] count their calls together. When it blows, that call fails, before or
//! after it had its effect, and so does every later one: what the wrapped connection had not committed is
//! rolled back. Wrap only the store for a lost connection; wrap state and archive too for a dead process.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use unseed_core::fault::Fault;
use unseed_core::plan::RootSet;
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{
    ArchiveSink, ArchiveSource, Archived, Catalog, CloseRequest, Closure, Conflict, Fingerprint, Orphans,
    Outcome, Reader, Removal, RestoreScope, Restored, RootChoice, SectionEntry, Statements, Store, TagRange,
    Tags, VisitValues, Wanted, Work,
};
use unseed_core::schema::{ReferenceId, Schema, TableId};

/// Whether the failing call has its effect first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

/// Counts calls and blows at one of them.
#[derive(Debug, Clone)]
pub struct Fuse {
    at: u64,
    moment: Moment,
    calls: Arc<AtomicU64>,
    blown: Arc<AtomicBool>,
}

impl Fuse {
    /// Blows at the n-th call, counted from 1; never for 0.
    pub fn at(call: u64, moment: Moment) -> Self {
        Self { at: call, moment, calls: Arc::default(), blown: Arc::default() }
    }

    /// Blows at one of the first `calls_max` calls, which and how depends on the seed.
    pub fn seeded(seed: u64, calls_max: u64) -> Self {
        let mut dice = crate::random::Dice::new(seed);
        let moment = if dice.chance(50) { Moment::Before } else { Moment::After };
        Self::at(dice.below(calls_max.max(1)) + 1, moment)
    }

    /// Whether it has blown.
    pub fn is_blown(&self) -> bool {
        self.blown.load(Ordering::SeqCst)
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Counts a call; `Some` when it must fail.
    fn strike(&self) -> Option<Moment> {
        if self.is_blown() {
            return Some(Moment::Before);
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if call != self.at {
            return None;
        }
        self.blown.store(true, Ordering::SeqCst);
        Some(self.moment)
    }

    pub(super) fn around<T>(&self, action: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        match self.strike() {
            None => action(),
            Some(Moment::Before) => Err(lost()),
            Some(Moment::After) => action().and_then(|_| Err(lost())),
        }
    }
}

fn lost() -> Fault {
    Fault::store("the connection was lost")
}

/// A store whose connection is lost at a chosen call.
#[derive(Debug)]
pub struct FaultStore<S> {
    inner: S,
    fuse: Fuse,
}

impl<S: Store> FaultStore<S> {
    /// Wraps a store.
    pub fn new(inner: S, fuse: Fuse) -> Self {
        Self { inner, fuse }
    }

    /// What happens on the server when the connection is lost.
    async fn cut(&mut self) -> Fault {
        match self.inner.rollback().await {
            Ok(()) => lost(),
            Err(fault) => fault,
        }
    }
}

/// A reader whose connection is lost at a chosen call.
struct FaultReader {
    inner: Box<dyn Reader>,
    fuse: Fuse,
}

#[async_trait]
impl Reader for FaultReader {
    async fn read(&mut self, sink: &mut dyn ArchiveSink) -> Result<Archived, Fault> {
        match self.fuse.strike() {
            None => self.inner.read(sink).await,
            Some(Moment::Before) => Err(lost()),
            Some(Moment::After) => self.inner.read(sink).await.and_then(|_| Err(lost())),
        }
    }
}

/// Forwards one call, unless the fuse blows.
macro_rules! guarded {
    ($self:ident, $call:expr) => {
        match $self.fuse.strike() {
            None => $call.await,
            Some(Moment::Before) => Err($self.cut().await),
            Some(Moment::After) => match $call.await {
                Ok(_) | Err(_) => Err($self.cut().await),
            },
        }
    };
}

#[async_trait]
impl<S: Store> Store for FaultStore<S> {
    async fn inspect(&mut self) -> Result<Catalog, Fault> {
        guarded!(self, self.inner.inspect())
    }

    async fn count(&mut self, schema: &Schema, tables: &[TableId]) -> Result<BTreeMap<TableId, u64>, Fault> {
        guarded!(self, self.inner.count(schema, tables))
    }

    async fn choose(&mut self, schema: &Schema, choices: &[RootChoice]) -> Result<Vec<RootSet>, Fault> {
        guarded!(self, self.inner.choose(schema, choices))
    }

    async fn close(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, Fault> {
        guarded!(self, self.inner.close(work, request, progress))
    }

    async fn conflicts(&mut self, work: &Work, limit: usize) -> Result<Vec<Conflict>, Fault> {
        guarded!(self, self.inner.conflicts(work, limit))
    }

    async fn tags(&mut self, work: &Work) -> Result<Tags, Fault> {
        guarded!(self, self.inner.tags(work))
    }

    async fn archive(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Archived, Fault> {
        guarded!(self, self.inner.archive(work, batch, sink))
    }

    async fn archive_ahead(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Option<Box<dyn Reader>>, Fault> {
        let inner = guarded!(self, self.inner.archive_ahead(work, batch, sink))?;
        let fuse = self.fuse.clone();
        Ok(inner.map(|inner| -> Box<dyn Reader> { Box::new(FaultReader { inner, fuse }) }))
    }

    async fn remove(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removal, Fault> {
        guarded!(self, self.inner.remove(work, batch, archived, sink))
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        guarded!(self, self.inner.commit())
    }

    async fn rollback(&mut self) -> Result<(), Fault> {
        guarded!(self, self.inner.rollback())
    }

    async fn settle(&mut self, work: &Work, token: &str, roots: &[RootSet]) -> Result<Outcome, Fault> {
        guarded!(self, self.inner.settle(work, token, roots))
    }

    async fn fingerprint(&mut self, work: &Work) -> Result<Vec<Fingerprint>, Fault> {
        guarded!(self, self.inner.fingerprint(work))
    }

    async fn orphans(&mut self, schema: &Schema, references: &[ReferenceId]) -> Result<Vec<Orphans>, Fault> {
        guarded!(self, self.inner.orphans(schema, references))
    }

    async fn values(
        &mut self,
        work: &Work,
        roots: &[RootSet],
        wanted: &[Wanted],
        visit: &mut VisitValues<'_>,
    ) -> Result<(), Fault> {
        guarded!(self, self.inner.values(work, roots, wanted, visit))
    }

    async fn present(&mut self, schema: &Schema, roots: &[RootSet]) -> Result<u64, Fault> {
        guarded!(self, self.inner.present(schema, roots))
    }

    async fn restore(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        guarded!(self, self.inner.restore(work, source, scope, progress))
    }

    fn explain(&self, work: &Work) -> Vec<String> {
        self.inner.explain(work)
    }

    fn restore_script(
        &self,
        work: &Work,
        sections: &[SectionEntry],
        files: &[String],
    ) -> Vec<(String, String)> {
        self.inner.restore_script(work, sections, files)
    }

    fn statements(&self) -> Statements {
        self.inner.statements()
    }
}
