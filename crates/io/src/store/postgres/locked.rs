//! What triggers did that the server does not count row by row: TRUNCATE, DROP, ALTER. All of them take the strongest
//! lock there is, and a batch takes that on nothing but its own temporary tables.
//!
//! Not here: rows that triggers wrote one by one (`effects`).

use super::effects::describe;
use super::remove::Stop;
use std::collections::BTreeSet;
use unseed_core::fault::Fault;
use unseed_core::port::store::{Closure, Work};
use unseed_core::schema::TableId;

/// Refuses a batch whose triggers emptied or altered a table, unless the plan allows it to change; `locked` are the
/// relations that the transaction keeps even readers from.
pub(super) fn refuse(work: &Work, expected: &Closure, locked: &BTreeSet<u64>) -> Result<(), Stop> {
    // What the triggers made themselves, and what else is no table of the schema, may come and go.
    let is_locked = |id: &TableId| work.schema.table(*id).parts.iter().any(|p| locked.contains(&p.handle));
    let mut lost = work.schema.table_ids().filter(|id| !work.allowed_effects.contains(id));
    let Some(table) = lost.find(is_locked) else { return Ok(()) };
    let name = &work.schema.table(table).name;
    let mut fault = Fault::refused(format!("removing the batch would also empty or alter `{name}`"))
        .state("the batch was rolled back")
        .hint(format!("plan again with --allow-effect {name} if that is meant, or change the trigger"));
    let touched: BTreeSet<_> = expected.removed.keys().chain(expected.detached_rows.keys()).collect();
    for shape in touched.into_iter().map(|id| work.schema.table(*id)) {
        for effect in &shape.effects {
            fault = fault.detail(format!("it may be {} on `{}`", describe(effect), shape.name));
        }
    }
    Err(Stop::Fault(fault))
}
