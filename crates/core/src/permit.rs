//! What may be removed at all: the switch, the listed stores, the listed tables, and protections that came later.
//!
//! Invariants
//! - where the configuration has a section `[destructive]`, nothing is removed that it does not allow;
//! - a protection that the configuration knows and a plan does not makes the plan stale.
//!
//! Not here: consent (`approve`), where a store really is (the command line compares addresses).

use crate::config::Destructive;
use crate::fault::{Category, Fault};
use crate::plan::Plan;
use crate::policy::ConfiguredProtection;

/// What is about to be changed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Rows leave.
    Remove,
    /// Rows come back. The switch does not stop that: it is the way out of a mistake.
    Restore,
}

/// Whether a plan may be carried out at all.
///
/// # Errors
/// `Refused` with the setting that forbids it.
pub fn plan(destructive: Option<&Destructive>, plan: &Plan, change: Change) -> Result<(), Fault> {
    let Some(allowed) = destructive else { return Ok(()) };
    if !allowed.enabled && change == Change::Remove {
        return Err(Fault::refused(
            "the configuration forbids to remove anything: `destructive.enabled` is false",
        )
        .hint("have it set to true by whoever answers for this store, then run the command again"));
    }
    for store in &plan.stores {
        if allowed.stores.as_ref().is_some_and(|names| !names.contains(&store.store)) {
            let message = format!("store `{}` is not listed in `destructive.stores`", store.store);
            return Err(Fault::refused(message).hint("name a listed store, or have this one listed"));
        }
    }
    // Roots of other stores follow from those that were chosen.
    for roots in plan.roots.iter().filter(|roots| roots.store.is_none()) {
        if allowed.roots.as_ref().is_some_and(|names| !names.iter().any(|name| is_table(name, &roots.table)))
        {
            let message =
                format!("rows of `{}` may not be chosen: `destructive.roots` does not list it", roots.table);
            return Err(
                Fault::refused(message).hint("choose rows of a listed table, or have this one listed")
            );
        }
    }
    Ok(())
}

/// Refuses a plan that was made before something was protected.
///
/// # Errors
/// `Stale` with the protections that the plan does not know.
pub fn protections(configured: &[ConfiguredProtection], plan: &Plan) -> Result<(), Fault> {
    let planned = &plan.policy.protect;
    let mut later = Vec::new();
    for one in configured {
        let same = |other: &&ConfiguredProtection| {
            other.table == one.table && other.column == one.column && other.predicate == one.predicate
        };
        let column = one.column.as_deref().unwrap_or_default();
        for value in &one.values {
            if !planned.iter().filter(same).any(|other| other.values.contains(value)) {
                later.push(format!("{}.{column} = {value}", one.table));
            }
        }
        if one.values.is_empty() && !planned.iter().any(|other| same(&other)) {
            later.push(format!("{}: {}", one.table, one.predicate.as_deref().unwrap_or_default()));
        }
    }
    if later.is_empty() {
        return Ok(());
    }
    let message = format!("rows were protected since plan `{}` was made", plan.id);
    let mut fault = Fault::new(Category::Stale, message).hint("make a new plan with `unseed plan`");
    fault.details = later;
    Err(fault)
}

/// `tenants` is the table of that name in any schema, `public.tenants` the one.
fn is_table(name: &str, table: &str) -> bool {
    name == table || (!name.contains('.') && table.rsplit('.').next() == Some(name))
}

#[cfg(test)]
#[path = "permit_tests.rs"]
mod tests;
