//! Runs the legs of a plan in their order. A leg that is done is not begun again; one that stopped goes on.
//!
//! Invariants
//! - a leg begins only when all before it are done, and their state is kept;
//! - the maintenance window and the throttle are asked before each of them, and hold in each of them.
//!
//! Not here: what a leg does (`entries`, `crate::purge`), what is seen before the first one (`look`).

use super::entries::{Entries, Given, Pass};
use super::look::{self, Known};
use super::purge::Agreed;
use super::{Legs, Rows, kind_changed};
use unseed_core::entity::Overrides;
use unseed_core::fault::Fault;
use unseed_core::plan::LegWork;
use unseed_core::run::RunState;

/// In which store a run stopped, where it was in one, and why.
pub(super) type Stopped = (Option<String>, Fault);

/// Runs what is not done.
pub(super) async fn all(
    cx: &mut Legs<'_>,
    agreed: &Agreed<'_>,
    (id, overrides): (&str, &Overrides),
) -> Result<(), Stopped> {
    let plan = agreed.whole().plan();
    let done = done(cx, id).map_err(|fault| (None, fault))?;
    let mut known = look::values(cx, agreed, (id, overrides)).await?;
    for (position, leg) in plan.legs.iter().enumerate().filter(|(position, _)| !done[*position]) {
        let in_leg = |fault| (Some(leg.store.clone()), fault);
        if cx.admit(id, &leg.store).await.map_err(in_leg)? > 0 {
            known.moved();
        }
        cx.progress.note(&format!("store {}", leg.store));
        match &leg.work {
            LegWork::Rows(_) => {
                if known.is_old(cx) {
                    look::whole_stores(cx, agreed.whole(), (id, &leg.store)).await?;
                }
                rows(cx, agreed, (id, position)).await.map_err(in_leg)?;
            }
            LegWork::Entries(_) => {
                entries(cx, agreed, (id, overrides), (position, &mut known)).await?;
            }
        }
        known.moved();
    }
    Ok(())
}

/// Which legs are done, in the order of the plan.
pub(super) fn done(cx: &mut Legs<'_>, id: &str) -> Result<Vec<bool>, Fault> {
    let report = cx.report(id)?;
    let is_done = |state| matches!(state, Some(RunState::Done | RunState::Verified));
    Ok(report.legs.iter().map(|leg| is_done(leg.state)).collect())
}

/// One leg of entries, with values that are those of now as often as others were waited for.
async fn entries(
    cx: &mut Legs<'_>,
    agreed: &Agreed<'_>,
    (id, overrides): (&str, &Overrides),
    (position, known): (usize, &mut Known),
) -> Result<(), Stopped> {
    let plan = agreed.whole().plan();
    let store = plan.legs[position].store.as_str();
    let in_leg = |fault| (Some(store.to_owned()), fault);
    let mut passes = 0;
    loop {
        known.refresh(cx, agreed, (id, overrides, store)).await?;
        let subjects = known.subjects();
        look::unshared(cx, subjects, store).map_err(in_leg)?;
        let mut given = Given { subjects, old_from_ms: known.old_from_ms(), passes: &mut passes };
        let mut leg = Entries::of(cx, plan, id, position).map_err(in_leg)?;
        match leg.purge(&mut given, agreed.consent()).await.map_err(in_leg)? {
            Pass::Through => return Ok(()),
            Pass::Waited => known.moved(),
        }
    }
}

/// One leg of rows, with the code of runs over one store.
async fn rows(cx: &mut Legs<'_>, agreed: &Agreed<'_>, (id, place): (&str, usize)) -> Result<(), Fault> {
    let name = &agreed.whole().plan().legs[place].store;
    let mut leg = Rows::of(cx, id, (place, name))?;
    let done = match leg.state.begun()? {
        Some(run) => {
            let Agreed::Run(confirmed) = agreed else {
                return Err(Fault::store(format!("`{id}/{name}` has begun already")));
            };
            let confirmed = confirmed.leg(name, run).ok_or_else(|| kind_changed(name))?;
            crate::resume::leg(&mut leg.context(), &confirmed).await
        }
        None => {
            let confirmed = agreed.leg(name).ok_or_else(|| kind_changed(name))?;
            crate::purge::leg(&mut leg.context(), confirmed).await
        }
    };
    done.map(drop)
}
