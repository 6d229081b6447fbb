//! Ends the quarantine of a run when its time is over: looks again at everything, then removes the rows for good.
//!
//! The rows left the store when the run was purged, with its proof. So what happens here touches no store: it only
//! reads one, and removes files. It can be called as often as one likes, by as many processes as there are.
//!
//! Invariants
//! - a run whose roots are in the store again is refused and they are named: somebody put them back by hand;
//! - so is one whose archive is not whole, since then nobody can say what would be removed;
//! - a refusal changes nothing, and is logged when its reason is news, however often it is found.
//!
//! Not here: dates (`core::keeping`), removing the rows (`retention`), approvals (the command line).

use crate::check;
use crate::context::Context;
use crate::report::RunReport;
use crate::retention::{Buried, Keeper, Looked};
use crate::work;
use unseed_core::approve::ConfirmedRun;
use unseed_core::approve::statement::Act;
use unseed_core::fault::{Category, Fault, listed};
use unseed_core::keeping::{Hold, Standing};
use unseed_core::plan::{RootRow, RootSet};
use unseed_core::port::store::Store;
use unseed_core::run::RunState;
use unseed_core::schema::Schema;

/// Roots that are named before the rest is only counted.
const NAMED_MAX: usize = 20;

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows are gone for good.
    Purged(Buried),
    Waiting {
        until: String,
    },
    Held(Hold),
    /// Another process works on it.
    Busy,
    /// It is in no quarantine, or no longer.
    Over,
}

/// Ends the quarantine of a run, if it is time. `keep_s` is how long the configuration keeps archives.
///
/// # Errors
/// `Refused` with what speaks against it; what store, state and archive say.
pub async fn execute(
    cx: &mut Context<'_>,
    confirmed: &ConfirmedRun,
    keep_s: Option<u64>,
) -> Result<Outcome, Fault> {
    confirmed.is_for(&Act::Purge)?;
    let id = confirmed.run().id.clone();
    match cx.state.lease(&id, cx.holder) {
        Ok(()) => {}
        Err(fault) if fault.category == Category::Refused => return Ok(Outcome::Busy),
        Err(fault) => return Err(fault),
    }
    let result = under_lease(cx, confirmed, keep_s).await;
    crate::session::released(cx, &id, result).map_err(|fault| keeper(cx, keep_s).refused(&id, fault))
}

/// What keeps a run in quarantine from ending now; none where it is time, or where ending it was begun.
pub fn not_yet(looked: &Looked) -> Option<Outcome> {
    match &looked.standing {
        _ if looked.begun.is_some() => None,
        Standing::Due { .. } => None,
        Standing::Held(hold) => Some(Outcome::Held(hold.clone())),
        Standing::Quarantined { until } => Some(Outcome::Waiting { until: until.clone() }),
        Standing::Kept { until } => Some(Outcome::Waiting { until: until.clone().unwrap_or_default() }),
        Standing::Unfinished | Standing::Empty | Standing::Expired(_) | Standing::Over { .. } => {
            Some(Outcome::Over)
        }
    }
}

async fn under_lease(
    cx: &mut Context<'_>,
    confirmed: &ConfirmedRun,
    keep_s: Option<u64>,
) -> Result<Outcome, Fault> {
    // Read again under the lease: another process may have ended it, or put the rows back.
    let run = cx.state.run(&confirmed.run().id)?;
    if run.state != RunState::Quarantined {
        return Ok(Outcome::Over);
    }
    let looked = keeper(cx, keep_s).look(&run)?;
    if let Some(outcome) = not_yet(&looked) {
        return Ok(outcome);
    }
    if looked.begun.is_none() {
        look_again(cx, confirmed, &looked.report).await?;
    }
    let since = if let Standing::Due { since } = &looked.standing {
        format!(" since {since}")
    } else {
        String::new()
    };
    let why = format!("its quarantine was over{since}, {}", confirmed.consent().text());
    keeper(cx, keep_s).bury(&run, looked, &why).map(Outcome::Purged)
}

fn keeper<'k>(cx: &'k mut Context<'_>, keep_s: Option<u64>) -> Keeper<'k> {
    Keeper {
        state: &mut *cx.state,
        archive: &mut *cx.archive,
        clock: cx.clock,
        actor: cx.actor,
        holder: cx.holder,
        keep_s,
    }
}

async fn look_again(cx: &mut Context<'_>, confirmed: &ConfirmedRun, report: &RunReport) -> Result<(), Fault> {
    let id = &report.run;
    let opened = work::open(cx.store, confirmed.whole().plan()).await?;
    work::full_view(&opened.work)?;
    let schema = &opened.work.schema;
    let roots = away(schema, confirmed.whole().root_sets(schema)?, report);
    let mut back = Vec::new();
    for set in &roots {
        find(cx.store, schema, set, &mut back).await?;
    }
    if !back.is_empty() {
        let number = if back.len() > NAMED_MAX {
            format!("more than {NAMED_MAX} roots")
        } else {
            listed(&back, "root")
        };
        let message =
            format!("{number} of run `{id}`, whose rows are in quarantine, can be found in the store again");
        let mut fault = Fault::new(Category::Stale, message)
            .state("its rows can still be put back; nothing was removed for good")
            .hint(format!("look at them; `unseed restore {id}` puts the rest back, `unseed archive expire {id}` removes the archive all the same"));
        fault.details = back.into_iter().take(NAMED_MAX).collect();
        return Err(fault);
    }
    cx.progress.note(&format!("checking the archive of run {id}"));
    let found = check::execute(cx.state, cx.archive, id)?;
    let Some(fault) = check::fault(&[found]) else { return Ok(()) };
    Err(Fault { category: Category::Refused, ..fault }.state("nothing was removed for good").hint(format!(
        "bring the files back from a copy; `unseed archive expire {id}` removes the archive all the same"
    )))
}

/// The roots that no restore of a single root has put back.
fn away(schema: &Schema, mut roots: Vec<RootSet>, report: &RunReport) -> Vec<RootSet> {
    for set in &mut roots {
        let table = schema.table(set.table).name.to_string();
        let restored = |row: &RootRow| {
            let scope = format!("{table} {}", row.key.join(","));
            report.restores.iter().any(|restore| restore.committed && restore.scope == scope)
        };
        set.rows = set.rows.iter().filter(|row| !restored(row)).collect();
    }
    roots.retain(|set| !set.rows.is_empty());
    roots
}

/// Adds the roots of a set that are in the store, halving it where there are some.
async fn find(
    store: &mut dyn Store,
    schema: &Schema,
    set: &RootSet,
    found: &mut Vec<String>,
) -> Result<(), Fault> {
    let mut open = vec![set.clone()];
    while let Some(part) = open.pop() {
        if store.present(schema, std::slice::from_ref(&part)).await? == 0 {
            continue;
        }
        let first = part.rows.iter().next();
        if let Some(row) = first.filter(|_| part.rows.len() == 1) {
            found.push(format!("`{}` {}", schema.table(part.table).name, row.key.join(",")));
            if found.len() > NAMED_MAX {
                return Ok(());
            }
            continue;
        }
        let half = part.rows.len() / 2;
        for rows in [part.rows.reordered(half..part.rows.len()), part.rows.reordered(0..half)] {
            open.push(RootSet { rows, ..part.clone() });
        }
    }
    Ok(())
}
