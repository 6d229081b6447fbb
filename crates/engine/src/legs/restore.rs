//! Puts back what left all stores of a run, backwards: what was removed last comes back first, so that no address points at
//! a thing before it is there.
//!
//! Invariants
//! - a store is put back only when all that were worked on after it are;
//! - a restore that stopped goes on with the stores that are left;
//! - its hooks run around all of it.
//!
//! Not here: how one store is put back (`crate::restore`, `entries`).

use super::entries::Entries;
use super::{Legs, Rows, kind_changed};
use crate::hooks;
use crate::report::{RestoreFigures, RunReport};
use crate::restore::{Scope, ended, not_begun, restorable, without_hooks};
use std::collections::BTreeMap;
use unseed_core::approve::ConfirmedRun;
use unseed_core::approve::statement::Act;
use unseed_core::fault::Fault;
use unseed_core::hook::Phase;
use unseed_core::plan::LegWork;
use unseed_core::port::state::StateDb;
use unseed_core::port::store::Restored;
use unseed_core::run::{BatchState, RunState};

/// Restores a run over several stores. With conflicts in the result the store that they are in, and those before it in the
/// plan, are not restored.
///
/// # Errors
/// `Refused` when there is nothing to restore or it was restored before; what stores and archives say.
pub async fn restore(cx: &mut Legs<'_>, confirmed: &ConfirmedRun) -> Result<Restored, Fault> {
    let id = confirmed.run().id.clone();
    confirmed.is_for(&Act::Restore { run: id.clone() })?;
    restorable(&cx.state.run(&id)?)?;
    cx.state.lease(&id, cx.holder)?;
    let result = under_lease(cx, confirmed, &id).await;
    cx.released(&id, result)
}

async fn under_lease(cx: &mut Legs<'_>, confirmed: &ConfirmedRun, id: &str) -> Result<Restored, Fault> {
    let run = cx.state.run(id)?;
    restorable(&run)?;
    let plan = confirmed.whole().plan();
    if !may_have_removed(cx, id)? {
        return Err(nothing_to_restore(id));
    }
    let mut report = RunReport::of(&run)?;
    let mut around = cx.around((id, plan), (&mut report, run.state));
    let done = match hooks::before(&mut around, Phase::Restore).await {
        Ok(()) => put_back(cx, confirmed, id).await,
        Err(fault) => Err(not_begun(id, fault)),
    };
    // The legs have kept theirs meanwhile.
    let run = match cx.state.run(id) {
        Ok(run) => run,
        Err(second) => return done.and(Err(second)),
    };
    let mut report = RunReport::of(&run)?;
    ended(&mut cx.around((id, plan), (&mut report, run.state)), done).await
}

/// Whether there is anything that a restore could find: known before any hook runs.
fn may_have_removed(cx: &mut Legs<'_>, id: &str) -> Result<bool, Fault> {
    Ok(has_removed(cx.state, id)? || all_restored(cx, id)?)
}

fn nothing_to_restore(id: &str) -> Fault {
    Fault::refused(format!("run `{id}` has removed nothing")).hint("there is nothing to put back")
}

async fn put_back(cx: &mut Legs<'_>, confirmed: &ConfirmedRun, id: &str) -> Result<Restored, Fault> {
    let plan = confirmed.whole().plan();
    let without = without_hooks(plan, &cx.live);
    cx.audit("restore.run", id, &format!("started, everything, {}{without}", confirmed.consent().text()))?;
    let mut all = Restored::default();
    let mut back: Vec<&str> = Vec::new();
    for (place, leg) in plan.legs.iter().enumerate().rev() {
        let name = leg.store.as_str();
        cx.progress.note(&format!("store {name}"));
        let one = match leg.work {
            LegWork::Rows(_) => rows(cx, confirmed, (id, place, name)).await,
            LegWork::Entries(_) => entries(cx, confirmed, (id, place)).await,
        };
        let one = one.map_err(|fault| partly(fault, (id, name), &back))?;
        let Some(one) = one else { continue };
        let stops = !one.conflicts.is_empty();
        add(&mut all, one, (super::source(plan) != name).then_some(name));
        if stops {
            cx.audit("restore.run", id, &format!("conflicts in store {name}"))?;
            return Ok(all);
        }
        back.push(name);
    }
    if back.is_empty() && !all_restored(cx, id)? {
        return Err(nothing_to_restore(id));
    }
    finish(cx, id, &all)?;
    Ok(all)
}

fn all_restored(cx: &mut Legs<'_>, id: &str) -> Result<bool, Fault> {
    let report = cx.report(id)?;
    Ok(report.legs.iter().any(|leg| leg.state == Some(RunState::Restored)))
}

fn finish(cx: &mut Legs<'_>, id: &str, all: &Restored) -> Result<(), Fault> {
    let mut report = cx.report(id)?;
    report.restores.push(RestoreFigures {
        at: cx.clock.now(),
        scope: "everything".to_owned(),
        committed: true,
        inserted: all.inserted.clone(),
        reattached: all.reattached.clone(),
        ..RestoreFigures::default()
    });
    report.finished_at = Some(cx.clock.now());
    cx.state.update_run(id, RunState::Restored, &report.to_json())?;
    cx.audit("restore.run", id, "committed")
}

/// A restore that failed in one store: what is back, and that it can go on.
fn partly(fault: Fault, (id, name): (&str, &str), back: &[&str]) -> Fault {
    let before = match back {
        [] => "nothing was put back before".to_owned(),
        some => format!("{} are back", some.join(", ")),
    };
    let state = format!("{before}; in store `{name}`: {}", fault.state);
    let fault = fault.in_store(name);
    let mut told = Fault::new(fault.category, fault.message).state(state).hint(format!(
        "run `unseed restore {id}` again once the cause is mended; it goes on with what is left"
    ));
    told.details = fault.details;
    if !fault.hint.is_empty() && !fault.hint.contains("unseed restore") {
        told = told.detail(fault.hint);
    }
    told
}

/// Whether a leg may have removed something that is not back.
fn has_removed(state: &mut dyn StateDb, id: &str) -> Result<bool, Fault> {
    let open = |state: BatchState| match state {
        BatchState::Archived | BatchState::Committing | BatchState::Committed => true,
        BatchState::Begun | BatchState::Discarded | BatchState::Restored => false,
    };
    Ok(state.batches(id)?.iter().any(|batch| open(batch.state)))
}

async fn rows(
    cx: &mut Legs<'_>,
    confirmed: &ConfirmedRun,
    (id, place, name): (&str, usize, &str),
) -> Result<Option<Restored>, Fault> {
    let leg_id = super::leg_id(id, name);
    let mut leg = Rows::of(cx, id, (place, name))?;
    let Some(run) = leg.state.begun()? else { return Ok(None) };
    if run.state == RunState::Restored || !has_removed(&mut leg.state, &leg_id)? {
        return Ok(None);
    }
    let confirmed = confirmed.leg(name, run).ok_or_else(|| kind_changed(name))?;
    match crate::restore::execute(&mut leg.context(), &confirmed, &Scope::Everything).await {
        // What was open turned out to be rolled back, or to be back already.
        Err(_) if !has_removed(&mut leg.state, &leg_id)? => Ok(None),
        done => done.map(Some),
    }
}

async fn entries(
    cx: &mut Legs<'_>,
    confirmed: &ConfirmedRun,
    (id, place): (&str, usize),
) -> Result<Option<Restored>, Fault> {
    let mut leg = Entries::of(cx, confirmed.whole().plan(), id, place)?;
    if !leg.has_removed()? {
        return Ok(None);
    }
    leg.restore(&confirmed.consent().text()).await.map(Some)
}

/// Adds what was put back in one store; names of other stores than the source are told with them.
fn add(all: &mut Restored, one: Restored, store: Option<&str>) {
    let named = |name: String| store.map_or_else(|| name.clone(), |store| format!("{store}: {name}"));
    let into = |sums: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>| {
        for (name, rows) in more {
            *sums.entry(named(name)).or_default() += rows;
        }
    };
    into(&mut all.inserted, one.inserted);
    into(&mut all.reattached, one.reattached);
    for mut conflict in one.conflicts {
        conflict.table = named(conflict.table);
        all.conflicts.push(conflict);
    }
}
