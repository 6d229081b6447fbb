//! Everything that belongs to some rows, in every store: what a plan would remove, without making one.
//!
//! Nothing is refused here but a store that cannot be seen: an inventory may well show what a plan would not touch.
//!
//! Not here: how rows are chosen (the command line).

use super::plan::{LegRequest, RequestOf, unseen};
use super::values::read;
use super::{LegStore, plan as parts};
use crate::plan;
use crate::work;
use serde::Serialize;
use unseed_core::fault::Fault;
use unseed_core::port::clock::Clock;
use unseed_core::port::progress::Progress;
use unseed_core::port::store::Store;
use unseed_core::subjects::SubjectSet;

/// What belongs to some rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Inventory {
    pub lines: Vec<Line>,
}

/// Rows of one table, or entries of one pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub store: String,
    pub table: String,
    pub action: unseed_core::plan::Action,
    pub rows: u64,
    /// By which reference or rule they belong.
    pub via: String,
}

/// Lists what belongs to the rows that are chosen in the source; `None` where no row is.
///
/// # Errors
/// A usage fault for unknown names; `Refused` for a store that cannot be seen.
pub async fn inventory(
    (source, clock, progress): (&mut dyn Store, &dyn Clock, &dyn Progress),
    request: &RequestOf<'_>,
    mut legs: Vec<LegRequest<'_>>,
) -> Result<Option<Inventory>, Fault> {
    let Some(first) = plan::make_if_any(source, clock, progress, &request.source).await? else {
        return Ok(None);
    };
    let mut inventory = Inventory::default();
    inventory.add(&first.plan().steps);
    let opened = work::open(source, first.plan()).await?;
    let roots = first.root_sets(&opened.work.schema)?;
    let set = read(source, &opened, &roots, (parts::needs(&legs), request.overrides)).await?;
    for leg in &mut legs {
        let steps = steps(leg, &set, (clock, progress), request).await;
        inventory.add(&steps.map_err(|fault| unseen(&leg.name, fault))?);
    }
    Ok(Some(inventory))
}

async fn steps(
    leg: &mut LegRequest<'_>,
    set: &SubjectSet,
    (clock, progress): (&dyn Clock, &dyn Progress),
    request: &RequestOf<'_>,
) -> Result<Vec<unseed_core::plan::Step>, Fault> {
    match &mut leg.store {
        LegStore::Entries(store) => {
            store.inspect().await?;
            let found = store.find(set, progress).await?;
            Ok(parts::clear_steps(&leg.name, &found))
        }
        LegStore::Rows(_) => {
            let made = parts::part(leg, set, (clock, progress), request).await?;
            Ok(made.map(|part| part.steps).unwrap_or_default())
        }
    }
}

impl Inventory {
    fn add(&mut self, steps: &[unseed_core::plan::Step]) {
        self.lines.extend(steps.iter().map(|step| Line {
            store: step.store.clone(),
            table: step.table.clone(),
            action: step.action,
            rows: step.rows,
            via: step.via.clone(),
        }));
    }
}
