//! Looks again in every store of a run.
//!
//! Not here: what is looked at in one of them (`crate::verify`, `entries`).

use super::entries::Entries;
use super::values::{self, with_rest};
use super::{Legs, Rows, kind_changed};
use crate::report::{RunReport, Verification};
use unseed_core::approve::belongs;
use unseed_core::entity::Overrides;
use unseed_core::fault::Fault;
use unseed_core::keys::WholePlan;
use unseed_core::plan::LegWork;
use unseed_core::run::RunState;

/// Verifies a finished run in all its stores; the figures are in the result, clean or not.
///
/// # Errors
/// `Refused` when the run is not finished; what a store or an archive says.
pub async fn verify(
    cx: &mut Legs<'_>,
    (id, whole): (&str, &WholePlan),
    overrides: &Overrides,
) -> Result<RunReport, Fault> {
    let run = cx.state.run(id)?;
    belongs(&run, whole)?;
    crate::verify::finished(&run)?;
    cx.audit("verify.run", id, "started")?;
    let begun = cx.clock.monotonic_ms();
    let mut found = Verification { at: cx.clock.now(), ..Verification::default() };
    let kept = RunReport::of(&run)?.subjects;
    let subjects = match &kept {
        Some(kept) if whole.plan().legs.iter().any(|leg| matches!(leg.work, LegWork::Entries(_))) => {
            let leaving = values::kept(cx, id, kept)?;
            Some(with_rest(cx, whole, (id, overrides), leaving).await?)
        }
        Some(_) | None => None,
    };
    for (place, leg) in whole.plan().legs.iter().enumerate() {
        let name = &leg.store;
        cx.progress.note(&format!("store {name}"));
        let one = match (&leg.work, &subjects) {
            (LegWork::Rows(_), _) => {
                let single = whole.leg(name).ok_or_else(|| kind_changed(name))?;
                let mut rows = Rows::of(cx, id, (place, name))?;
                let leg_id = super::leg_id(id, name);
                let report = crate::verify::execute(&mut rows.context(), &leg_id, &single).await?;
                report.verification.unwrap_or_default()
            }
            (LegWork::Entries(_), Some(set)) => Entries::of(cx, whole.plan(), id, place)?.verify(set).await?,
            (LegWork::Entries(_), None) => return Err(Fault::store(format!("run `{id}` kept no values"))),
        };
        let is_source = super::source(whole.plan()) == name;
        add(&mut found, one, if is_source { None } else { Some(name) });
    }
    // The legs have kept theirs meanwhile.
    let mut report = cx.report(id)?;
    report.timings.verify_ms = cx.clock.monotonic_ms().saturating_sub(begun);
    let clean = found.is_clean();
    report.verification = Some(found);
    let state = if clean { RunState::Verified } else { RunState::Done };
    cx.state.update_run(id, state, &report.to_json())?;
    cx.audit("verify.run", id, if clean { "clean" } else { "something remains" })?;
    Ok(report)
}

/// Adds what was found in one store; names of other stores than the source are told with them.
fn add(all: &mut Verification, one: Verification, store: Option<&String>) {
    let named = |name: String| store.map_or_else(|| name.clone(), |store| format!("{store}: {name}"));
    all.roots_checked += one.roots_checked;
    all.roots_present += one.roots_present;
    all.references_checked += one.references_checked;
    all.orphans.extend(one.orphans.into_iter().map(|(name, rows)| (named(name), rows)));
    all.protected_rows += one.protected_rows;
    all.protected_changed.extend(one.protected_changed.into_iter().map(named));
    all.archive_parts += one.archive_parts;
    all.archive_bytes += one.archive_bytes;
    all.archive_differs.extend(one.archive_differs.into_iter().map(named));
    all.leftovers.extend(one.leftovers.into_iter().map(|(name, entries)| (named(name), entries)));
    all.entries_checked += one.entries_checked;
}
