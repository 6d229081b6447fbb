//! Whether a change may be made at all, before anybody is asked: the switch and the lists of `[destructive]`, protections that
//! came after the plan, and hooks that are not those of the plan.
//!
//! Not here: the decision (`core::permit`).

use super::{Address, Env};
use unseed_core::config::StoreConfig;
use unseed_core::fault::Fault;
use unseed_core::hook;
use unseed_core::permit::{self, Change};
use unseed_core::plan::{LegWork, Plan};

/// Checks a plan, and that its store is the one that the configuration means.
///
/// # Errors
/// `Refused` with the setting that forbids it, `Stale` when rows were protected since.
pub(crate) fn check(env: &Env<'_>, plan: &Plan, address: &Address, change: Change) -> Result<(), Fault> {
    let config = &env.wire.config;
    permit::plan(config.destructive.as_ref(), plan, change)?;
    if change == Change::Remove {
        permit::protections(&config.protect, plan)?;
        hook::unchanged(&config.hooks, plan)?;
        for leg in &plan.legs {
            if let (LegWork::Rows(rows), Some(store)) = (&leg.work, config.stores.get(&leg.store)) {
                let leg = Plan { policy: rows.policy.clone(), ..plan.clone() };
                permit::protections(&store.protect, &leg)?;
            }
        }
    }
    if config.destructive.as_ref().is_none_or(|section| section.stores.is_none()) {
        return Ok(());
    }
    for (position, store) in plan.stores.iter().enumerate() {
        // Entries are found where the configuration says, and nowhere else.
        if env.wire.config.stores.get(&store.store).is_some_and(StoreConfig::is_derived) {
            continue;
        }
        let given = address.get().filter(|_| position == 0);
        let target = env.wire.target_of_plan(store, given)?;
        if !env.wire.is_configured(&target)? {
            let message =
                format!("`{}` is not where the configuration has store `{}`", target.address, target.name);
            return Err(Fault::refused(message)
                .hint("`destructive.stores` allows the listed stores at their configured addresses only"));
        }
    }
    Ok(())
}
