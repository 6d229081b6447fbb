//! An archive that holds fewer rows than the store has sent: nothing of that batch is removed.

use crate::shop::{self, policy, tenants};
use crate::world::{World, wait};
use unseed_core::approve::{Gate, Given, confirm};
use unseed_core::archive::{BatchManifest, Manifest};
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::KeyFile;
use unseed_core::port::archive::{ArchiveStore, BatchWriter};
use unseed_core::port::store::ArchiveSource;
use unseed_engine::purge;
use unseed_testkit::memory::{MemArchive, MemStore};

/// Loses the last row of the first part of every batch.
struct Short(MemArchive);

impl ArchiveStore for Short {
    fn prepare(&mut self, run: &str) -> Result<(), Fault> {
        self.0.prepare(run)
    }

    fn begin_batch(&mut self, run: &str, batch: u64) -> Result<Box<dyn BatchWriter>, Fault> {
        self.0.begin_batch(run, batch)
    }

    fn discard(&mut self, run: &str, batch: u64) -> Result<(), Fault> {
        self.0.discard(run, batch)
    }

    fn batch(&mut self, run: &str, batch: u64, hash: &str) -> Result<BatchManifest, Fault> {
        let mut manifest = self.0.batch(run, batch, hash)?;
        manifest.parts[0].rows -= 1;
        Ok(manifest)
    }

    fn publish(
        &mut self,
        manifest: &Manifest,
        scripts: &[(String, String)],
        keys: &[KeyFile<'_>],
    ) -> Result<(), Fault> {
        self.0.publish(manifest, scripts, keys)
    }

    fn open(&mut self, run: &str, batches: &[(u64, String)]) -> Result<Box<dyn ArchiveSource>, Fault> {
        self.0.open(run, batches)
    }

    fn check(&mut self, run: &str, batches: &[(u64, String)]) -> Result<(u64, u64), Fault> {
        self.0.check(run, batches)
    }

    fn location(&self, run: &str) -> String {
        self.0.location(run)
    }
}

#[test]
fn an_archive_that_holds_fewer_rows_stops_the_purge() {
    let world = World::new(shop::database());
    let whole = world.plan(tenants("id IN (1, 2)"), &policy(), 5).unwrap();
    let plan = confirm(whole.clone(), &Gate::default(), Given::Id(&whole.plan().id)).unwrap();
    let (mut store, mut state) = (MemStore::connect(&world.db), world.state.clone());
    let mut archive = Short(world.archive.clone());
    let result = wait(purge::execute(&mut world.context(&mut store, &mut state, &mut archive), plan));
    let fault = result.unwrap_err();
    assert_eq!(fault.category, Category::Archive, "{fault:?}");
    assert!(fault.message.contains("does not hold the rows that the store sent"), "{fault:?}");
    assert_eq!(world.db.content(), world.before, "nothing was removed");
    world.resume(&whole).unwrap();
}
