//! A store that lets something happen at a chosen moment, so that a race is the same race every time.

use super::Lab;
use async_trait::async_trait;
use std::collections::BTreeMap;
use unseed::plan_file;
use unseed::wire::Wire;
use unseed_core::approve::{self, Gate, Given};
use unseed_core::fault::Fault;
use unseed_core::plan::{BuildIndexes, RootSet, RunIndex};
use unseed_core::port::progress::{Progress, Silent};
use unseed_core::port::store::{
    ArchiveSink, ArchiveSource, Archived, Catalog, CloseRequest, Closure, Conflict, Fingerprint, IndexBuilt,
    Orphans, Outcome, Reader, Removal, RestoreScope, Restored, RootChoice, SectionEntry, Statements, Store,
    StoreWaits, TagRange, Tags, Work,
};
use unseed_core::schema::{ReferenceId, Schema, TableId};
use unseed_engine::interrupt::Interrupt;
use unseed_engine::purge::{Context, Patience};
use unseed_engine::report::RunReport;
use unseed_io::store::AnyStore;

/// When something happens: before this call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The closure is known, nothing is archived.
    Archive,
    /// The batch is archived, nothing is removed.
    Remove,
    /// The batch is removed and proven.
    Commit,
}

/// What happens; it is told how often the moment has come before.
pub(crate) type Happening<'a> = Box<dyn FnMut(u64) + Send + 'a>;

struct Hooked<'a> {
    inner: Box<dyn AnyStore>,
    moment: Moment,
    times: u64,
    happening: Happening<'a>,
}

impl Hooked<'_> {
    fn reach(&mut self, moment: Moment) {
        if moment == self.moment {
            tokio::task::block_in_place(|| (self.happening)(self.times));
            self.times += 1;
        }
    }
}

/// Patience that tests have: a few attempts without waiting.
fn impatient() -> Patience {
    Patience { attempts_max: 3, wait_ms_first: 0, wait_ms_max: 0, settle_attempts_max: 3 }
}

/// Purges the plan that was made last, with something happening in between; state and archive are where the
/// binary looks for them.
pub(crate) fn purge_with<'a>(
    lab: &Lab<'_>,
    moment: Moment,
    happening: impl FnMut(u64) + Send + 'a,
) -> Result<RunReport, Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(purge(lab, moment, Box::new(happening)))
}

async fn purge(lab: &Lab<'_>, moment: Moment, happening: Happening<'_>) -> Result<RunReport, Fault> {
    let whole = plan_file::read(&lab.path("plan.json"))?;
    let id = whole.plan().id.clone();
    let kind = whole.plan().stores[0].kind.clone();
    let wire = Wire::bare(lab.path(".unseed"));
    let mut state = wire.state()?;
    let copy = wire.plan_copy(&whole.plan().digest);
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    plan_file::write(&copy, &whole)?;
    let inner = unseed_io::store::open(&lab.url(), &|_| None).await?;
    let mut store = Hooked { inner, moment, times: 0, happening };
    let mut archive = wire.archive(&kind);
    let interrupt = Interrupt::new();
    let mut context = Context {
        store: &mut store,
        state: &mut state,
        archive: &mut archive,
        clock: &wire.clock,
        progress: &Silent,
        interrupt: &interrupt,
        actor: "dana",
        holder: "dana@lab",
        patience: impatient(),
        live: unseed_engine::purge::Live::default(),
    };
    unseed_engine::purge::execute(&mut context, approve::confirm(whole, &Gate::default(), Given::Id(&id))?)
        .await
}

#[async_trait]
impl Store for Hooked<'_> {
    async fn inspect(&mut self) -> Result<Catalog, Fault> {
        self.inner.inspect().await
    }

    async fn count(&mut self, schema: &Schema, tables: &[TableId]) -> Result<BTreeMap<TableId, u64>, Fault> {
        self.inner.count(schema, tables).await
    }

    async fn choose(&mut self, schema: &Schema, choices: &[RootChoice]) -> Result<Vec<RootSet>, Fault> {
        self.inner.choose(schema, choices).await
    }

    async fn close(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, Fault> {
        self.inner.close(work, request, progress).await
    }

    async fn conflicts(&mut self, work: &Work, limit: usize) -> Result<Vec<Conflict>, Fault> {
        self.inner.conflicts(work, limit).await
    }

    async fn tags(&mut self, work: &Work) -> Result<Tags, Fault> {
        self.inner.tags(work).await
    }

    fn limit_waits(&mut self, waits: StoreWaits) {
        self.inner.limit_waits(waits);
    }

    fn indexes(&self, work: &Work, closure: &Closure, choice: BuildIndexes) -> Vec<RunIndex> {
        self.inner.indexes(work, closure, choice)
    }

    async fn build_indexes(
        &mut self,
        wanted: &[(String, RunIndex)],
        progress: &dyn Progress,
    ) -> Result<Vec<IndexBuilt>, Fault> {
        self.inner.build_indexes(wanted, progress).await
    }

    async fn drop_index(&mut self, namespace: &str, name: &str) -> Result<(), Fault> {
        self.inner.drop_index(namespace, name).await
    }

    async fn finish(&mut self) -> Result<(), Fault> {
        self.inner.finish().await
    }

    async fn archive(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Archived, Fault> {
        self.reach(Moment::Archive);
        self.inner.archive(work, batch, sink).await
    }

    async fn archive_ahead(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Option<Box<dyn Reader>>, Fault> {
        self.inner.archive_ahead(work, batch, sink).await
    }

    async fn remove(
        &mut self,
        work: &Work,
        batch: TagRange,
        archived: &Archived,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Removal, Fault> {
        self.reach(Moment::Remove);
        self.inner.remove(work, batch, archived, sink).await
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        self.reach(Moment::Commit);
        self.inner.commit().await
    }

    async fn rollback(&mut self) -> Result<(), Fault> {
        self.inner.rollback().await
    }

    async fn settle(&mut self, work: &Work, token: &str, roots: &[RootSet]) -> Result<Outcome, Fault> {
        self.inner.settle(work, token, roots).await
    }

    async fn fingerprint(&mut self, work: &Work) -> Result<Vec<Fingerprint>, Fault> {
        self.inner.fingerprint(work).await
    }

    async fn orphans(&mut self, schema: &Schema, references: &[ReferenceId]) -> Result<Vec<Orphans>, Fault> {
        self.inner.orphans(schema, references).await
    }

    async fn present(&mut self, schema: &Schema, roots: &[RootSet]) -> Result<u64, Fault> {
        self.inner.present(schema, roots).await
    }

    async fn restore(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        self.inner.restore(work, source, scope, progress).await
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
