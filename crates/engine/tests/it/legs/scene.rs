//! Three stores in memory and one run over them: rows that are chosen, rows that follow, entries on a shelf.

use crate::shop::{self, policy, tenants};
use crate::world::{IMPATIENT, wait};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use unseed_core::approve::statement::Act;
use unseed_core::approve::{ConfirmedPlan, ConfirmedRun, Gate, Given, confirm, confirm_run};
use unseed_core::entity::Overrides;
use unseed_core::fault::Fault;
use unseed_core::hook::Hook;
use unseed_core::keys::WholePlan;
use unseed_core::legs::Rule;
use unseed_core::plan::BuildIndexes;
use unseed_core::policy::Policy;
use unseed_core::port::clock::Clock;
use unseed_core::port::derived::{Cleared, DerivedStore, Found, Need, Subjects};
use unseed_core::port::gauges::Gauges;
use unseed_core::port::progress::{Progress, Silent};
use unseed_core::port::state::StateDb;
use unseed_core::port::store::{ArchiveSink, ArchiveSource, Restored, SectionHead, SectionKind, Server};
use unseed_core::run::{Run, RunState};
use unseed_engine::interrupt::Interrupt;
use unseed_engine::legs::{self, LegPort, LegRequest, LegStore, Legs, RequestOf};
use unseed_engine::plan::Request;
use unseed_engine::purge::Live;
use unseed_engine::report::RunReport;
use unseed_testkit::memory::{
    FaultArchive, FaultState, FaultStore, Fuse, MemArchive, MemDb, MemState, MemStore, Moment, TickingClock,
};

/// Entries by their name, `EMAIL:NUMBER`; each belongs to the user with that address.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<BTreeMap<String, String>>>, Arc<AtomicU64>);

impl Shelf {
    /// How often it was searched.
    pub(super) fn searched(&self) -> u64 {
        self.1.load(Ordering::SeqCst)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().expect("no test panics while it holds the shelf")
    }
}

struct ShelfStore {
    shelf: Shelf,
    found: Vec<String>,
    archived: Vec<(String, String)>,
}

fn need() -> Need {
    Need { entity: "users".to_owned(), columns: vec!["email".to_owned()] }
}

#[async_trait]
impl DerivedStore for ShelfStore {
    async fn inspect(&mut self) -> Result<Server, Fault> {
        let text = |text: &str| text.to_owned();
        Ok(Server {
            kind: text("shelf"),
            version: text("1"),
            location: text("memory"),
            may_skip_checks: false,
            read_only: false,
        })
    }

    fn needs(&self) -> Vec<Need> {
        vec![need()]
    }

    async fn find(&mut self, subjects: &dyn Subjects, _: &dyn Progress) -> Result<Found, Fault> {
        self.shelf.1.fetch_add(1, Ordering::SeqCst);
        let mut rows: BTreeMap<String, i64> = BTreeMap::new();
        subjects.known(&need(), &mut |values| {
            *rows.entry(values[0].unwrap_or_default().to_owned()).or_default() += 1;
            Ok(())
        })?;
        let mut doomed = BTreeSet::new();
        subjects.doomed(&need(), &mut |values| {
            let email = values[0].unwrap_or_default().to_owned();
            *rows.entry(email.clone()).or_default() -= 1;
            doomed.insert(email);
            Ok(())
        })?;
        // An address that a row that stays has too says nothing.
        doomed.retain(|email| rows.get(email).is_none_or(|others| *others == 0));
        let shelf = self.shelf.lock();
        let is_doomed =
            |entry: &&String| entry.split_once(':').is_some_and(|(email, _)| doomed.contains(email));
        self.found = shelf.keys().filter(is_doomed).cloned().collect();
        let entries = u64::try_from(self.found.len()).expect("a length fits 64 bits");
        let seen = u64::try_from(shelf.len()).expect("a length fits 64 bits");
        Ok(Found { doomed: BTreeMap::from([("entry".to_owned(), entries)]), seen, ..Found::default() })
    }

    async fn archive(
        &mut self,
        entries_max: u64,
        sink: &mut dyn ArchiveSink,
        _: &dyn Progress,
    ) -> Result<u64, Fault> {
        // Two at a time, so that there are several chunks.
        let count = usize::try_from(entries_max.min(2)).unwrap().min(self.found.len());
        if count == 0 {
            return Ok(0);
        }
        let shelf = self.shelf.lock();
        let taken = self.found.drain(..count);
        self.archived =
            taken.map(|name| (name.clone(), shelf.get(&name).cloned().unwrap_or_default())).collect();
        sink.begin(SectionHead {
            kind: SectionKind::Rows,
            namespace: "main".to_owned(),
            table: "entry".to_owned(),
            columns: ["entry", "content"].map(str::to_owned).to_vec(),
            identity_columns: 1,
        })?;
        for (name, content) in &self.archived {
            sink.write(format!("{name}\t{content}\n").as_bytes())?;
        }
        let count = u64::try_from(count).expect("a length fits 64 bits");
        sink.end(count)?;
        Ok(count)
    }

    async fn remove(&mut self, _: &dyn Progress) -> Result<Cleared, Fault> {
        let mut shelf = self.shelf.lock();
        let removed = self.archived.drain(..).filter_map(|(name, _)| shelf.remove(&name)).count();
        let removed = u64::try_from(removed).expect("a length fits 64 bits");
        Ok(Cleared { removed: BTreeMap::from([("entry".to_owned(), removed)]), ..Cleared::default() })
    }

    async fn restore(&mut self, source: &mut dyn ArchiveSource, _: &dyn Progress) -> Result<Restored, Fault> {
        let mut text = String::new();
        for index in 0..source.sections().len() {
            source.read(index, &mut |bytes| {
                text.push_str(std::str::from_utf8(bytes).expect("entries are text"));
                Ok(())
            })?;
        }
        let mut shelf = self.shelf.lock();
        for (name, content) in text.lines().filter_map(|line| line.split_once('\t')) {
            shelf.insert(name.to_owned(), content.to_owned());
        }
        Ok(Restored::default())
    }

    fn explain(&self) -> Vec<String> {
        Vec::new()
    }

    fn restore_script(&self, _: &[String]) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// What every store holds.
pub(super) type Contents =
    (BTreeMap<String, Vec<String>>, BTreeMap<String, Vec<String>>, BTreeMap<String, String>);

/// The source `main`, the shelf `cache`, and `site`, whose tenants have the ids of those of `main`.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) main: MemDb,
    pub(super) site: MemDb,
    pub(super) shelf: Shelf,
    pub(super) state: MemState,
    archive: MemArchive,
    pub(super) before: Contents,
}

/// By which the stores of rows are measured: `main`, `site`.
pub(super) type Measured = [Option<Box<dyn Gauges>>; 2];

pub(super) fn unmeasured() -> Measured {
    [None, None]
}

/// A process that does not die.
pub(super) fn immortal() -> Fuse {
    Fuse::at(0, Moment::Before)
}

impl Scene {
    pub(super) fn new() -> Self {
        let (main, site) = (MemDb::new(shop::database()), MemDb::new(shop::database()));
        let shelf = Shelf::default();
        for email in ["a@test", "b@test", "c@test", "d@real"] {
            for n in 1..=2 {
                shelf.lock().insert(format!("{email}:{n}"), format!("{n} of {email}"));
            }
        }
        let (state, archive) = (MemState::default(), MemArchive::default());
        let before = (main.content(), site.content(), shelf.lock().clone());
        Self { main, site, shelf, state, archive, before }
    }

    pub(super) fn contents(&self) -> Contents {
        (self.main.content(), self.site.content(), self.shelf.lock().clone())
    }

    pub(super) fn plan(&self, hooks: Vec<Hook>) -> WholePlan {
        let clock = TickingClock::default();
        let policy = Policy { hooks, ..policy() };
        let (mut main, mut site) = (MemStore::connect(&self.main), MemStore::connect(&self.site));
        let mut shelf = self.shelf_store();
        let source = Request {
            store: "main",
            url: "memory",
            choices: tenants("id IN (1, 2)"),
            policy: &policy,
            path: None,
            batch_rows_max: Some(5),
            build_indexes: BuildIndexes::Auto,
            created_by: "tester",
        };
        let overrides = Overrides::default();
        let request = RequestOf { source, overrides: &overrides, before: Vec::new(), after: Vec::new() };
        let leg = |name: &str, store, roots| LegRequest {
            name: name.to_owned(),
            address: "memory".to_owned(),
            before: Vec::new(),
            after: Vec::new(),
            store,
            roots,
            policy: policy.clone(),
            configured: "as it is".to_owned(),
        };
        let rule = Rule::parse("tenants.id = {tenants.id}").unwrap();
        let followers = vec![
            leg("cache", LegStore::Entries(&mut shelf), Vec::new()),
            leg("site", LegStore::Rows(&mut site), vec![rule]),
        ];
        wait(legs::make((&mut main, &clock, &Silent), &request, followers)).unwrap()
    }

    fn shelf_store(&self) -> ShelfStore {
        ShelfStore { shelf: self.shelf.clone(), found: Vec::new(), archived: Vec::new() }
    }

    /// A process that works on the run until its fuse blows.
    pub(super) fn process<T>(
        &self,
        (clock, fuse): (&dyn Clock, &Fuse),
        (live, measured): (Live, Measured),
        act: impl AsyncFnOnce(&mut Legs<'_>) -> T,
    ) -> T {
        let mut main = FaultStore::new(MemStore::connect(&self.main), fuse.clone());
        let mut site = FaultStore::new(MemStore::connect(&self.site), fuse.clone());
        let mut shelf = self.shelf_store();
        let mut state = FaultState::new(&self.state, fuse.clone());
        let archive = || FaultArchive::new(&self.archive, fuse.clone());
        let [mut whole, mut of_main, mut of_site, mut of_shelf] =
            [archive(), archive(), archive(), archive()];
        let [main_gauges, site_gauges] = measured;
        let ports = vec![
            LegPort {
                name: "main".to_owned(),
                store: LegStore::Rows(&mut main),
                archive: &mut of_main,
                gauges: main_gauges,
            },
            LegPort {
                name: "site".to_owned(),
                store: LegStore::Rows(&mut site),
                archive: &mut of_site,
                gauges: site_gauges,
            },
            LegPort {
                name: "cache".to_owned(),
                store: LegStore::Entries(&mut shelf),
                archive: &mut of_shelf,
                gauges: None,
            },
        ];
        let interrupt = Interrupt::new();
        let mut cx = Legs {
            ports,
            state: &mut state,
            archive: &mut whole,
            clock,
            progress: &Silent,
            interrupt: &interrupt,
            actor: "tester",
            holder: "process",
            patience: IMPATIENT,
            live,
        };
        let done = wait(act(&mut cx));
        if fuse.is_blown() {
            self.state.forget_leases();
        }
        done
    }

    pub(super) fn purge(
        &self,
        whole: &WholePlan,
        process: (&dyn Clock, &Fuse),
        live: (Live, Measured),
    ) -> Result<RunReport, Fault> {
        let confirmed: ConfirmedPlan =
            confirm(whole.clone(), &Gate::default(), Given::Id(&whole.plan().id)).unwrap();
        self.process(process, live, async |cx| legs::execute(cx, &confirmed, &Overrides::default()).await)
    }

    pub(super) fn resume(
        &self,
        whole: &WholePlan,
        process: (&dyn Clock, &Fuse),
        live: (Live, Measured),
    ) -> Result<RunReport, Fault> {
        let confirmed = self.confirmed(whole, Act::Purge);
        self.process(process, live, async |cx| legs::resume(cx, &confirmed, &Overrides::default()).await)
    }

    pub(super) fn restore(
        &self,
        whole: &WholePlan,
        process: (&dyn Clock, &Fuse),
        live: Live,
    ) -> Result<Restored, Fault> {
        let confirmed = self.confirmed(whole, Act::Restore { run: "r-1".to_owned() });
        self.process(process, (live, unmeasured()), async |cx| legs::restore(cx, &confirmed).await)
    }

    fn confirmed(&self, whole: &WholePlan, act: Act) -> ConfirmedRun {
        confirm_run(self.run().unwrap(), whole.clone(), &Gate::default(), act, Given::Id("r-1")).unwrap()
    }

    pub(super) fn run(&self) -> Option<Run> {
        self.state.clone().run("r-1").ok()
    }

    pub(super) fn run_state(&self) -> Option<RunState> {
        self.run().map(|run| run.state)
    }

    /// Nothing of the test tenants is left in any store, and everything else is.
    #[track_caller]
    pub(super) fn assert_purged(&self, context: &str) {
        let (main, site, shelf) = self.contents();
        for (store, tables) in [("main", main), ("site", site)] {
            for table in ["tenants", "users", "posts"] {
                let (_, rows) = tables.iter().find(|(name, _)| name.ends_with(table)).unwrap();
                assert_eq!(rows.len(), 1, "{context}: {store} {table} {rows:?}");
            }
        }
        assert_eq!(shelf.keys().collect::<Vec<_>>(), ["d@real:1", "d@real:2"], "{context}");
        assert_eq!(self.run_state(), Some(RunState::Done), "{context}");
    }
}
