//! The same case in the memory store: the reference for restoring one root.

use std::collections::BTreeMap;
use unseed_core::approve::statement::Act;
use unseed_core::approve::{Gate, Given, confirm, confirm_run};
use unseed_core::fault::Fault;
use unseed_core::policy::Policy;
use unseed_core::port::progress::Silent;
use unseed_core::port::state::StateDb;
use unseed_core::port::store::RestoreConflict;
use unseed_engine::context::{Context, Patience};
use unseed_engine::interrupt::Interrupt;
use unseed_engine::plan::{self, Choice, ChoiceRows, Request};
use unseed_engine::purge;
use unseed_engine::restore::{self, Scope};
use unseed_testkit::memory::{MemArchive, MemDb, MemState, MemStore, TickingClock};
use unseed_testkit::random::Case;

/// What the memory store made of it.
pub(super) struct Reference {
    pub(super) conflicts: Vec<RestoreConflict>,
    /// By bare table name, sorted.
    pub(super) rows: BTreeMap<String, Vec<String>>,
}

/// Plans, purges, and puts one root back.
pub(super) fn restore_one(
    case: &Case,
    batch_rows_max: u64,
    table: &str,
    key: &[String],
) -> Result<Reference, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let db = MemDb::new(case.database());
    let scope = Scope::Root { table: table.to_owned(), key: key.to_vec() };
    let runtime = runtime.map_err(|error| error.to_string())?;
    let conflicts = runtime.block_on(journey(case, &db, batch_rows_max, &scope));
    let conflicts = conflicts.map_err(|fault| format!("in memory: {fault:#?}"))?;
    let bare = |(name, rows): (String, Vec<String>)| (name.trim_start_matches("public.").to_owned(), rows);
    Ok(Reference { conflicts, rows: db.content().into_iter().map(bare).collect() })
}

async fn journey(
    case: &Case,
    db: &MemDb,
    batch_rows_max: u64,
    scope: &Scope,
) -> Result<Vec<RestoreConflict>, Fault> {
    let (mut store, mut state, mut archive) =
        (MemStore::connect(db), MemState::default(), MemArchive::default());
    let clock = TickingClock::default();
    let mut policy = Policy::default();
    policy.limits.max_share_of_table = 1.0;
    let choice = |(table, columns, keys): (_, _, Vec<Vec<String>>)| Choice {
        table,
        rows: ChoiceRows::Keys { columns, keys: keys.into_iter().collect() },
        chosen_by: "ids".to_owned(),
    };
    let request = Request {
        store: "main",
        url: "memory",
        choices: case.root_keys().into_iter().map(choice).collect(),
        policy: &policy,
        path: None,
        batch_rows_max: Some(batch_rows_max),
        build_indexes: unseed_core::plan::BuildIndexes::Auto,
        created_by: "tester",
    };
    let whole = plan::make(&mut store, &clock, &Silent, &request).await?;
    let mut registry = state.clone();
    let mut context = Context {
        store: &mut store,
        state: &mut state,
        archive: &mut archive,
        clock: &clock,
        progress: &Silent,
        interrupt: &Interrupt::new(),
        actor: "tester",
        holder: "this process",
        patience: Patience::default(),
        live: unseed_engine::purge::Live::default(),
    };
    let gate = Gate::default();
    let confirmed = confirm(whole.clone(), &gate, Given::Id(&whole.plan().id))?;
    purge::execute(&mut context, confirmed).await?;
    let act = Act::Restore { run: "r-1".to_owned() };
    let confirmed = confirm_run(registry.run("r-1")?, whole, &gate, act, Given::Id("r-1"))?;
    restore::execute(&mut context, &confirmed, scope).await.map(|restored| restored.conflicts)
}
