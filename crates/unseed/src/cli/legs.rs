//! Plans over several stores: opening all of them, and telling what was done in each.
//!
//! Which stores follow from the one that rows are chosen in, is said by the configuration; see `docs/stores.md`.
//!
//! Not here: the work (`engine::legs`).

use super::keys::{SealArgs, UnlockArgs};
use super::{Address, Env, show};
use crate::table::Table;
use crate::ui::{self, Tone, Ui};
use std::collections::BTreeMap;
use unseed_core::approve::{ConfirmedPlan, ConfirmedRun};
use unseed_core::config::StoreConfig;
use unseed_core::fault::{Category, Fault};
use unseed_core::hook::HookFigures;
use unseed_core::keys::WholePlan;
use unseed_core::plan::{LegWork, Plan};
use unseed_core::port::derived::DerivedStore;
use unseed_core::port::gauges::Gauges;
use unseed_core::port::state::StateDb;
use unseed_core::port::store::Restored;
use unseed_core::run::RunState;
use unseed_engine::context::Live;
use unseed_engine::legs::{self, LegPort, LegRequest, LegStore, Legs, RequestOf};
use unseed_engine::plan::Request;
use unseed_engine::report::{LegReport, RunReport};
use unseed_io::archive::FolderArchive;
use unseed_io::store::AnyStore;

/// The kind of the archive that keeps the values that entries are found by.
const VALUES: &str = "command";

/// A store of either kind, opened.
enum Store {
    Rows(Box<dyn AnyStore>),
    Entries(Box<dyn DerivedStore>),
}

impl Store {
    fn leg(&mut self) -> LegStore<'_> {
        match self {
            Self::Rows(store) => LegStore::Rows(store.store()),
            Self::Entries(store) => LegStore::Entries(store.as_mut()),
        }
    }
}

/// A store that follows from the one that rows are chosen in.
pub(super) struct Follower {
    name: String,
    config: StoreConfig,
    address: String,
    store: Store,
}

impl Follower {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn request(&mut self, env: &Env<'_>, source: &Request<'_>) -> LegRequest<'_> {
        let mut policy = env.wire.config.policy_of(&self.config);
        policy.limits = source.policy.limits;
        LegRequest {
            name: self.name.clone(),
            address: self.address.clone(),
            before: self.config.before.clone(),
            after: self.config.after.clone(),
            roots: self.config.roots.clone(),
            policy,
            configured: self.config.fingerprint(),
            store: self.store.leg(),
        }
    }
}

/// Opens the stores that follow from this one; none where it is not the configured one.
pub(super) async fn followers(env: &Env<'_>, source: &str) -> Result<Vec<Follower>, Fault> {
    let mut all = Vec::new();
    for (name, config) in env.wire.followers(source) {
        let opened = open(env, &name, &config).await;
        let (address, store) = opened.map_err(|fault| unreachable(&name, fault))?;
        all.push(Follower { name, config, address, store });
    }
    Ok(all)
}

async fn open(env: &Env<'_>, name: &str, config: &StoreConfig) -> Result<(String, Store), Fault> {
    if config.is_derived() {
        let (address, store) = env.wire.open_derived(name, config)?;
        return Ok((address, Store::Entries(store)));
    }
    let target = env.wire.target(Some(name))?;
    let store = env.wire.open(&target).await?;
    Ok((target.address, Store::Rows(store)))
}

/// A store that cannot be reached while planning is one that was not seen.
fn unreachable(name: &str, fault: Fault) -> Fault {
    if fault.category != Category::Store {
        return fault;
    }
    let mut refused = Fault::refused(format!("store `{name}` cannot be seen: {}", fault.message))
        .hint(if fault.hint.is_empty() { "mend the cause, then plan again".to_owned() } else { fault.hint });
    refused.details = fault.details;
    refused
}

/// Makes a plan over a store and those that follow from it.
pub(super) async fn plan(
    env: &Env<'_>,
    store: &mut dyn AnyStore,
    source: Request<'_>,
    mut followers: Vec<Follower>,
) -> Result<WholePlan, Fault> {
    refuse_quarantine(&source)?;
    let requests = followers.iter_mut().map(|follower| follower.request(env, &source)).collect();
    let request = request(env, source);
    legs::make((store.store(), &env.wire.clock, env.ui.progress()), &request, requests).await
}

/// What a run over one store heeds and one over several does not must not be left out silently.
fn refuse_quarantine(source: &Request<'_>) -> Result<(), Fault> {
    if source.policy.keeping.quarantine_s.is_none() {
        return Ok(());
    }
    Err(Fault::usage("a plan over several stores has no quarantine")
        .hint("leave `--quarantine` and `[quarantine]` out for this plan, or plan one store with `--alone`"))
}

/// Lists what belongs to the chosen rows in a store and those that follow from it.
pub(super) async fn inventory(
    env: &Env<'_>,
    store: &mut dyn AnyStore,
    source: Request<'_>,
    mut followers: Vec<Follower>,
) -> Result<Option<legs::Inventory>, Fault> {
    let mut requests: Vec<LegRequest<'_>> =
        followers.iter_mut().map(|follower| follower.request(env, &source)).collect();
    for request in &mut requests {
        request.policy.protect.clear();
    }
    let request = request(env, source);
    legs::inventory((store.store(), &env.wire.clock, env.ui.progress()), &request, requests).await
}

fn request<'a>(env: &'a Env<'_>, source: Request<'a>) -> RequestOf<'a> {
    let config = env.wire.config.stores.get(source.store);
    RequestOf {
        before: config.map(|store| store.before.clone()).unwrap_or_default(),
        after: config.map(|store| store.after.clone()).unwrap_or_default(),
        overrides: &env.wire.config.entities,
        source,
    }
}

/// Where the archives of a command come from.
pub(super) enum Archives<'a> {
    Sealed(&'a SealArgs),
    Unlocked(&'a UnlockArgs),
}

impl Archives<'_> {
    fn of(&self, env: &Env<'_>, kind: &str) -> Result<FolderArchive, Fault> {
        match self {
            Self::Sealed(args) => args.archive_of(env, kind),
            Self::Unlocked(args) => args.archive_of(env, kind),
        }
    }
}

/// All stores of a plan, with the state and the archives beside them.
pub(super) struct Opened<'a> {
    env: &'a Env<'a>,
    stores: Vec<Planned>,
    state: Box<dyn StateDb>,
    archive: FolderArchive,
    skip_hooks: bool,
}

/// One store of a plan, opened, with its archive.
struct Planned {
    name: String,
    store: Store,
    archive: FolderArchive,
    gauges: Option<Box<dyn Gauges>>,
}

impl<'a> Opened<'a> {
    /// Connects to every store of a plan; an address that is given is the first one's.
    pub(super) async fn for_plan(
        env: &'a Env<'a>,
        plan: &Plan,
        address: &Address,
        archives: &Archives<'_>,
    ) -> Result<Self, Fault> {
        let mut stores = Vec::new();
        for leg in &plan.legs {
            let archive = archives.of(env, plan.store(&leg.store).map_or("", |store| store.kind.as_str()))?;
            let store = planned(env, plan, &leg.store, address).await?;
            stores.push(Planned { name: leg.store.clone(), store, archive, gauges: None });
        }
        let archive = archives.of(env, VALUES)?;
        let state = Box::new(env.wire.state()?);
        Ok(Self { env, stores, state, archive, skip_hooks: false })
    }

    /// As [`Opened::for_plan`], to remove rows and entries while others use the stores.
    pub(super) async fn for_removal(
        env: &'a Env<'a>,
        plan: &Plan,
        address: &Address,
        archives: &Archives<'_>,
    ) -> Result<Self, Fault> {
        let mut gauges = BTreeMap::new();
        for leg in plan.legs.iter().filter(|leg| matches!(leg.work, LegWork::Rows(_))) {
            gauges.insert(leg.store.clone(), measured(env, plan, &leg.store, address)?);
        }
        let mut opened = Self::for_plan(env, plan, address, archives).await?;
        for planned in &mut opened.stores {
            planned.gauges = gauges.remove(&planned.name).flatten();
        }
        Ok(opened)
    }

    /// Without the hooks of the plan.
    pub(super) fn without_hooks(self, skip_hooks: bool) -> Self {
        Self { skip_hooks, ..self }
    }

    fn legs(&mut self) -> Legs<'_> {
        let config = &self.env.wire.config;
        let ports = self.stores.iter_mut().map(|planned| LegPort {
            name: planned.name.clone(),
            store: planned.store.leg(),
            archive: &mut planned.archive,
            gauges: planned.gauges.take(),
        });
        Legs {
            ports: ports.collect(),
            state: self.state.as_mut(),
            archive: &mut self.archive,
            clock: &self.env.wire.clock,
            progress: self.env.ui.progress(),
            interrupt: self.env.interrupt,
            actor: &self.env.wire.actor,
            holder: &self.env.wire.holder,
            patience: super::patience(&config.purge),
            live: Live {
                throttle: config.throttle.clone(),
                window: config.purge.window.clone(),
                waits: super::waits(&config.purge),
                commands: Some(Box::new(self.env.wire.commands())),
                skip_hooks: self.skip_hooks,
                ..Live::default()
            },
        }
    }

    pub(super) async fn purge(&mut self, confirmed: &ConfirmedPlan) -> Result<RunReport, Fault> {
        let overrides = &self.env.wire.config.entities;
        legs::execute(&mut self.legs(), confirmed, overrides).await
    }

    pub(super) async fn resume(&mut self, confirmed: &ConfirmedRun) -> Result<RunReport, Fault> {
        let overrides = &self.env.wire.config.entities;
        legs::resume(&mut self.legs(), confirmed, overrides).await
    }

    pub(super) async fn verify(&mut self, run: &str, whole: &WholePlan) -> Result<RunReport, Fault> {
        let overrides = &self.env.wire.config.entities;
        legs::verify(&mut self.legs(), (run, whole), overrides).await
    }

    /// Restores what was agreed to; returns the hooks that failed afterwards as well.
    pub(super) async fn restore(
        &mut self,
        confirmed: &ConfirmedRun,
    ) -> Result<(Restored, Vec<HookFigures>), Fault> {
        let mut cx = self.legs();
        let restored = legs::restore(&mut cx, confirmed).await?;
        Ok((restored, cx.live.failed_hooks))
    }
}

/// What the throttle measures a store of rows by. The query is about the store that the others follow from.
fn measured(
    env: &Env<'_>,
    plan: &Plan,
    name: &str,
    address: &Address,
) -> Result<Option<Box<dyn Gauges>>, Fault> {
    let Some(store) = plan.store(name) else { return Ok(None) };
    let throttle = &env.wire.config.throttle;
    if plan.stores.first().is_some_and(|first| first.store == name) {
        return env.wire.gauges(&env.wire.target_of_plan(store, address.get())?, throttle);
    }
    let target = env.wire.target_of_plan(store, None)?;
    env.wire.gauges(&target, &throttle.of_follower()).map_err(|fault| fault.in_store(name))
}

/// Opens one store of a plan; a derived one has to be configured as it was.
async fn planned(env: &Env<'_>, plan: &Plan, name: &str, address: &Address) -> Result<Store, Fault> {
    let missing = || {
        Fault::usage(format!("the configuration has no store `{name}`, which the plan names"))
            .hint("give the configuration that the plan was made with, with `--config FILE`")
    };
    let store = plan.store(name).ok_or_else(missing)?;
    let leg = plan.legs.iter().find(|leg| leg.store == name).ok_or_else(missing)?;
    if let LegWork::Rows(_) = leg.work {
        let first = plan.stores.first().is_some_and(|first| first.store == name);
        let target = env.wire.target_of_plan(store, address.get().filter(|_| first))?;
        return Ok(Store::Rows(env.wire.open(&target).await?));
    }
    let config = env.wire.config.stores.get(name).filter(|config| config.is_derived()).ok_or_else(missing)?;
    if config.fingerprint() != store.schema_fingerprint {
        let message = format!("store `{name}` is configured otherwise than when plan `{}` was made", plan.id);
        return Err(Fault::new(Category::Stale, message)
            .hint("bring the configuration back, or make a new plan with `unseed plan`"));
    }
    Ok(Store::Entries(env.wire.open_derived(name, config)?.1))
}

/// What a run did in each store, in words.
pub(super) fn text(ui: &Ui, report: &RunReport) -> String {
    let mut table =
        Table::new(&["", "store", "state", "table or pattern", "before", "removed", "detached", "after"])
            .right(&[0, 4, 5, 6, 7]);
    for (index, leg) in report.legs.iter().enumerate() {
        let head = [(index + 1).to_string(), leg.store.clone(), state(ui, leg)];
        let mut first = Some(head);
        for line in lines(leg) {
            let [number, store, state] = first.take().unwrap_or_default();
            let [name, before, removed, detached, after] = line;
            table.row(&[number, store, state, name, before, removed, detached, after]);
        }
    }
    let removed = ui::count(report.rows.deleted);
    let of_legs = report.legs.iter().filter_map(|leg| {
        let report = leg.report.as_ref()?;
        Some(show::live_text(report, &format!("store {}: ", leg.store)))
    });
    let live: String = std::iter::once(show::live_text(report, "")).chain(of_legs).collect();
    format!(
        "run {} removed {removed} rows and entries of {} stores\n\n{table}{live}\narchives in {}\n",
        ui.painted(&report.run, Tone::Strong),
        report.legs.len(),
        report.archive,
    )
}

fn state(ui: &Ui, leg: &LegReport) -> String {
    match leg.state {
        None => "untouched".to_owned(),
        Some(state) => {
            let tone = match state {
                RunState::Done | RunState::Verified | RunState::Quarantined => Tone::Good,
                RunState::Running | RunState::Stopped => Tone::Warning,
                RunState::Restored => Tone::Plain,
                RunState::Failed => Tone::Bad,
            };
            ui.painted(state.as_str(), tone)
        }
    }
}

fn lines(leg: &LegReport) -> Vec<[String; 5]> {
    let tables = leg.report.iter().flat_map(|report| &report.tables);
    let touched = tables.filter(|(_, figures)| figures.deleted > 0 || figures.detached > 0);
    let figure = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), ui::count);
    let mut lines: Vec<[String; 5]> = touched
        .map(|(name, f)| {
            [name.clone(), figure(f.before), ui::count(f.deleted), ui::count(f.detached), figure(f.after)]
        })
        .collect();
    if lines.is_empty() {
        lines.push(["nothing".to_owned(), String::new(), String::new(), String::new(), String::new()]);
    }
    lines
}
