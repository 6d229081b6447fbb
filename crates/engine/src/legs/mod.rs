//! One plan over several stores: one digest, one agreement, ordered legs, one run, one verification, one restore.
//!
//! | module | does |
//! |---|---|
//! | `plan` | makes the plan: the source, then what follows from it in the other stores |
//! | `values` | reads the values that other stores are searched by, keeps them, compares them |
//! | `purge` | begins a run, goes on with one that stopped; hooks around all of it |
//! | `ordered` | runs the legs in their order |
//! | `look` | sees every store before anything is removed |
//! | `pace` | waits between legs and before closures; what looks at the stores meanwhile |
//! | `entries` | one leg of a derived store: find, archive, remove, look again, put back |
//! | `verify`, `restore` | the same over all legs; a restore goes backwards |
//! | `state` | makes one leg look like a run of its own, kept within the run of all |
//!
//! A leg of rows is purged, resumed, verified and restored by the same code as a run over one store; its archive lies in
//! a folder of its own and restores by itself.
//!
//! Invariants
//! - nothing is removed anywhere before every store was seen, and the values that find the entries are kept durably;
//! - a leg begins only when all before it are done, so that no address is left that points at a removed thing;
//! - a restore goes the other way, for the same reason;
//! - windows, throttle and hooks are those of the whole run: it waits or stops between batches of any leg.
//!
//! Not here: the order (`core::legs`), the stores.

mod ending;
mod entries;
mod inventory;
mod look;
mod ordered;
mod pace;
mod plan;
mod purge;
mod restore;
mod state;
mod values;
mod verify;

pub use inventory::{Inventory, inventory};
pub use plan::{LegRequest, RequestOf, make};
pub use purge::{execute, resume};
pub use restore::restore;
pub use state::{leg_id, leg_state};
pub use verify::verify;

use crate::context::{Context, Live, Patience};
use crate::hooks::Around;
use crate::interrupt::Interrupt;
use crate::report::RunReport;
use state::LegState;
use unseed_core::fault::Fault;
use unseed_core::plan::Plan;
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::clock::Clock;
use unseed_core::port::derived::DerivedStore;
use unseed_core::port::gauges::Gauges;
use unseed_core::port::progress::Progress;
use unseed_core::port::state::{AuditEntry, StateDb};
use unseed_core::port::store::Store;
use unseed_core::run::RunState;

/// The surroundings of a run over several stores.
pub struct Legs<'a> {
    /// One per leg of the plan, in any order.
    pub ports: Vec<LegPort<'a>>,
    pub state: &'a mut dyn StateDb,
    /// Archives of the run as a whole: its plan, and the values that entries are found by.
    pub archive: &'a mut dyn ArchiveStore,
    pub clock: &'a dyn Clock,
    pub progress: &'a dyn Progress,
    pub interrupt: &'a Interrupt,
    pub actor: &'a str,
    pub holder: &'a str,
    pub patience: Patience,
    /// How the run lives with others; its stores are measured by the gauges of their ports.
    pub live: Live,
}

/// One store of a run, and where its archive is kept.
pub struct LegPort<'a> {
    pub name: String,
    pub store: LegStore<'a>,
    pub archive: &'a mut dyn ArchiveStore,
    /// By which a store of rows is measured, where the throttle asks for that.
    pub gauges: Option<Box<dyn Gauges>>,
}

/// A store of either kind.
pub enum LegStore<'a> {
    Rows(&'a mut dyn Store),
    Entries(&'a mut dyn DerivedStore),
}

impl Legs<'_> {
    fn position(&self, name: &str) -> Result<usize, Fault> {
        self.ports.iter().position(|port| port.name == name).ok_or_else(|| {
            Fault::usage(format!("store `{name}` of the plan was not opened"))
                .hint("check that the configuration still has it")
        })
    }

    fn audit(&mut self, action: &str, object: &str, outcome: &str) -> Result<(), Fault> {
        let now = self.clock.now();
        self.state.audit(&AuditEntry::new(now, self.actor, action, object, outcome))
    }

    /// The report of a run, as it was kept last.
    fn report(&mut self, run: &str) -> Result<RunReport, Fault> {
        RunReport::of(&self.state.run(run)?)
    }

    /// The run, for its hooks; they belong to the whole of it, and no leg is at work meanwhile.
    fn around<'s>(
        &'s mut self,
        (run, plan): (&'s str, &'s Plan),
        (report, state): (&'s mut RunReport, RunState),
    ) -> Around<'s> {
        Around {
            run,
            plan,
            report,
            state,
            db: &mut *self.state,
            clock: self.clock,
            progress: self.progress,
            interrupt: self.interrupt,
            actor: self.actor,
            live: &mut self.live,
        }
    }

    /// Gives the lease back; an error on the way out does not hide the result.
    fn released<T>(&mut self, run: &str, result: Result<T, Fault>) -> Result<T, Fault> {
        match (self.state.release(run), result) {
            (Ok(()), result) => result,
            (Err(_), Err(fault)) => Err(fault),
            (Err(fault), Ok(_)) => Err(fault),
        }
    }
}

/// A leg of rows at work.
struct Rows<'c> {
    state: LegState<'c>,
    store: &'c mut dyn Store,
    archive: &'c mut dyn ArchiveStore,
    clock: &'c dyn Clock,
    progress: &'c dyn Progress,
    interrupt: &'c Interrupt,
    actor: &'c str,
    holder: &'c str,
    patience: Patience,
    live: Live,
}

impl<'c> Rows<'c> {
    /// The leg in a store, at its place in the plan, in the run of this id.
    fn of(cx: &'c mut Legs<'_>, run: &str, (place, name): (usize, &str)) -> Result<Self, Fault> {
        let live = cx.live_in(name);
        let position = cx.position(name)?;
        let port = &mut cx.ports[position];
        let LegStore::Rows(store) = &mut port.store else { return Err(kind_changed(name)) };
        Ok(Self {
            state: LegState::new(cx.state, run, place, name),
            store: &mut **store,
            archive: &mut *port.archive,
            clock: cx.clock,
            progress: cx.progress,
            interrupt: cx.interrupt,
            actor: cx.actor,
            holder: cx.holder,
            patience: cx.patience,
            live,
        })
    }

    /// The surroundings as of a run of its own.
    fn context(&mut self) -> Context<'_> {
        Context {
            store: &mut *self.store,
            state: &mut self.state,
            archive: &mut *self.archive,
            clock: self.clock,
            progress: self.progress,
            interrupt: self.interrupt,
            actor: self.actor,
            holder: self.holder,
            patience: self.patience,
            live: std::mem::take(&mut self.live),
        }
    }
}

fn kind_changed(name: &str) -> Fault {
    Fault::usage(format!("store `{name}` is of another kind than in the plan"))
        .hint("bring the configuration back, or make a new plan with `unseed plan`")
}

/// Name of the store that the others follow from.
fn source(plan: &Plan) -> &str {
    plan.stores.first().map_or("", |store| store.store.as_str())
}
