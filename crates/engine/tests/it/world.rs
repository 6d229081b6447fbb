//! A memory store, state and archive, and the engine on top of them, for all tests here.

use std::collections::BTreeMap;
use unseed_core::approve::statement::Act;
use unseed_core::approve::{ConfirmedPlan, ConfirmedRun, Gate, Given, confirm, confirm_run};
use unseed_core::fault::Fault;
use unseed_core::keys::WholePlan;
use unseed_core::policy::Policy;
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::progress::Silent;
use unseed_core::port::state::StateDb;
use unseed_core::port::store::{Restored, Store};
use unseed_core::run::{BatchState, RunState};
use unseed_engine::interrupt::Interrupt;
use unseed_engine::plan::{self, Choice, ChoiceRows, Request};
use unseed_engine::purge::{self, Context, Patience};
use unseed_engine::report::RunReport;
use unseed_engine::restore::Scope;
use unseed_engine::{restore, resume, verify};
use unseed_testkit::memory::{
    Database, FaultArchive, FaultState, FaultStore, Fuse, MemArchive, MemDb, MemState, MemStore, TickingClock,
};
use unseed_testkit::random::Case;

/// Runs a future to its end.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime of one thread can always be built").block_on(future)
}

/// Never waits.
pub(crate) const IMPATIENT: Patience =
    Patience { attempts_max: 8, wait_ms_first: 0, wait_ms_max: 0, settle_attempts_max: 3 };

/// Everything outside of the engine.
pub(crate) struct World {
    pub(crate) db: MemDb,
    pub(crate) state: MemState,
    pub(crate) archive: MemArchive,
    pub(crate) clock: TickingClock,
    pub(crate) interrupt: Interrupt,
    pub(crate) before: BTreeMap<String, Vec<String>>,
}

impl World {
    pub(crate) fn new(database: Database) -> Self {
        let db = MemDb::new(database);
        let before = db.content();
        Self {
            db,
            state: MemState::default(),
            archive: MemArchive::default(),
            clock: TickingClock::default(),
            interrupt: Interrupt::new(),
            before,
        }
    }

    pub(crate) fn of(case: &Case) -> Self {
        Self::new(case.database())
    }

    pub(crate) fn plan(
        &self,
        choices: Vec<Choice>,
        policy: &Policy,
        batch_rows_max: u64,
    ) -> Result<WholePlan, Fault> {
        let mut store = MemStore::connect(&self.db);
        let request = Request {
            store: "main",
            url: "memory",
            choices,
            policy,
            path: None,
            batch_rows_max: Some(batch_rows_max),
            build_indexes: unseed_core::plan::BuildIndexes::Auto,
            created_by: "tester",
        };
        wait(plan::make(&mut store, &self.clock, &Silent, &request))
    }

    pub(crate) fn context<'a>(
        &'a self,
        store: &'a mut dyn Store,
        state: &'a mut dyn StateDb,
        archive: &'a mut dyn ArchiveStore,
    ) -> Context<'a> {
        Context {
            store,
            state,
            archive,
            clock: &self.clock,
            progress: &Silent,
            interrupt: &self.interrupt,
            actor: "tester",
            holder: "process",
            patience: IMPATIENT,
            live: unseed_engine::purge::Live::default(),
        }
    }

    pub(crate) fn purge(&self, whole: &WholePlan) -> Result<RunReport, Fault> {
        self.purge_with(&mut MemStore::connect(&self.db), whole)
    }

    pub(crate) fn purge_with(&self, store: &mut dyn Store, whole: &WholePlan) -> Result<RunReport, Fault> {
        let (mut state, mut archive) = (self.state.clone(), self.archive.clone());
        let plan = planned(whole);
        wait(purge::execute(&mut self.context(store, &mut state, &mut archive), plan))
    }

    /// Purges in a process that dies when the fuse blows.
    pub(crate) fn purge_until(&self, whole: &WholePlan, fuse: &Fuse) -> Result<RunReport, Fault> {
        let plan = planned(whole);
        self.dying(fuse, async |cx| purge::execute(cx, plan).await)
    }

    /// Resumes in a process that dies when the fuse blows.
    pub(crate) fn resume_until(&self, whole: &WholePlan, fuse: &Fuse) -> Result<RunReport, Fault> {
        let confirmed = self.confirmed(whole, Act::Purge);
        self.dying(fuse, async |cx| resume::execute(cx, &confirmed).await)
    }

    /// Restores in a process that dies when the fuse blows.
    pub(crate) fn restore_until(&self, whole: &WholePlan, fuse: &Fuse) -> Result<Restored, Fault> {
        let confirmed = self.confirmed(whole, restore_of_it());
        self.dying(fuse, async |cx| restore::execute(cx, &confirmed, &Scope::Everything).await)
    }

    fn dying<T>(
        &self,
        fuse: &Fuse,
        action: impl AsyncFnOnce(&mut Context<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut store = FaultStore::new(MemStore::connect(&self.db), fuse.clone());
        let mut state = FaultState::new(&self.state, fuse.clone());
        let mut archive = FaultArchive::new(&self.archive, fuse.clone());
        let result = wait(action(&mut self.context(&mut store, &mut state, &mut archive)));
        if fuse.is_blown() {
            self.state.forget_leases();
        }
        result
    }

    pub(crate) fn confirmed(&self, whole: &WholePlan, act: Act) -> ConfirmedRun {
        let run = self.state.clone().run("r-1").expect("the run was begun");
        confirm_run(run, whole.clone(), &Gate::default(), act, Given::Id("r-1"))
            .expect("its own id confirms a run")
    }

    pub(crate) fn resume(&self, whole: &WholePlan) -> Result<RunReport, Fault> {
        self.resume_until(whole, &Fuse::at(0, unseed_testkit::memory::Moment::Before))
    }

    pub(crate) fn verify(&self, whole: &WholePlan) -> Result<RunReport, Fault> {
        let (mut state, mut archive) = (self.state.clone(), self.archive.clone());
        let mut store = MemStore::connect(&self.db);
        wait(verify::execute(&mut self.context(&mut store, &mut state, &mut archive), "r-1", whole))
    }

    pub(crate) fn restore(&self, whole: &WholePlan, scope: &Scope) -> Result<Restored, Fault> {
        let (mut state, mut archive) = (self.state.clone(), self.archive.clone());
        let mut store = MemStore::connect(&self.db);
        let confirmed = self.confirmed(whole, restore_of_it());
        wait(restore::execute(&mut self.context(&mut store, &mut state, &mut archive), &confirmed, scope))
    }

    pub(crate) fn run_state(&self) -> RunState {
        self.state.clone().run("r-1").expect("the run was begun").state
    }

    /// The lines of all committed batches, by table, sorted.
    pub(crate) fn archived(&self) -> BTreeMap<String, Vec<String>> {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for batch in self.state.clone().batches("r-1").expect("the state is in memory") {
            if batch.state == BatchState::Committed {
                for (table, line) in self.archive.removed_lines("r-1", batch.number) {
                    lines.entry(table).or_default().push(line);
                }
            }
        }
        for rows in lines.values_mut() {
            rows.sort();
        }
        lines
    }
}

/// The roots of a case as a person would name them.
pub(crate) fn choices(case: &Case) -> Vec<Choice> {
    let choice = |(table, columns, keys): (_, _, Vec<Vec<String>>)| Choice {
        table,
        rows: ChoiceRows::Keys { columns, keys: keys.into_iter().collect() },
        chosen_by: "ids".to_owned(),
    };
    case.root_keys().into_iter().map(choice).collect()
}

/// A policy that lets random cases lose whole tables.
pub(crate) fn lenient() -> Policy {
    let mut policy = Policy::default();
    policy.limits.max_share_of_table = 1.0;
    policy
}

fn planned(whole: &WholePlan) -> ConfirmedPlan {
    let given = Given::Id(&whole.plan().id);
    confirm(whole.clone(), &Gate::default(), given).expect("its own id confirms a plan")
}

/// Consent to restore the one run of a world.
pub(crate) fn restore_of_it() -> Act {
    Act::Restore { run: "r-1".to_owned() }
}
