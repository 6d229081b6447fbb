//! Whether a change may be made at all, before anybody is asked: the switch and the lists of `[destructive]`, protections that
//! came after the plan, and hooks that are not those of the plan.
//!
//! Not here: the decision (`core::permit`).

use super::{Address, Env};
use unseed_core::fault::Fault;
use unseed_core::hook;
use unseed_core::permit::{self, Change};
use unseed_core::plan::Plan;

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
    }
    if config.destructive.as_ref().is_none_or(|section| section.stores.is_none()) {
        return Ok(());
    }
    for store in &plan.stores {
        let target = env.wire.target_of_plan(store, address.get())?;
        if !env.wire.is_configured(&target)? {
            let message =
                format!("`{}` is not where the configuration has store `{}`", target.address, target.name);
            return Err(Fault::refused(message)
                .hint("`destructive.stores` allows the listed stores at their configured addresses only"));
        }
    }
    Ok(())
}
