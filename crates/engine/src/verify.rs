//! Looks again after a purge: roots gone, no new orphans, protected rows as they were, archive whole.
//!
//! Not here: fixing anything.

use crate::batches::rows_by_table;
use crate::context::Context;
use crate::fingerprints::Taking;
use crate::report::{RunReport, Verification, reference_key};
use crate::session::audit;
use crate::work::{self, Opened};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::approve::belongs;
use unseed_core::fault::{Category, Fault, counted};
use unseed_core::keys::WholePlan;
use unseed_core::port::store::Fingerprint;
use unseed_core::run::{BatchRecord, BatchState, Run, RunState};

/// Verifies a finished run; the figures are in the result, clean or not.
///
/// # Errors
/// `Refused` when the run is not finished; what the store or the archive say.
pub async fn execute(cx: &mut Context<'_>, id: &str, whole: &WholePlan) -> Result<RunReport, Fault> {
    let run = cx.state.run(id)?;
    belongs(&run, whole)?;
    finished(&run)?;
    let mut report = RunReport::of(&run)?;
    audit(cx, "verify.run", id, "started")?;
    let begun = cx.clock.monotonic_ms();
    let opened = work::open(cx.store, whole.plan()).await?;
    work::full_view(&opened.work)?;
    let mut found = Verification { at: cx.clock.now(), ..Verification::default() };
    look_at_store(cx, whole, &opened, &report, &mut found).await?;
    look_at_archive(cx, id, &opened, &mut found)?;
    report.timings.verify_ms = cx.clock.monotonic_ms().saturating_sub(begun);
    let clean = found.is_clean();
    report.verification = Some(found);
    let state = match (run.state, clean) {
        (RunState::Quarantined, _) => RunState::Quarantined,
        (_, true) => RunState::Verified,
        (_, false) => RunState::Done,
    };
    cx.state.update_run(id, state, &report.to_json())?;
    audit(cx, "verify.run", id, if clean { "clean" } else { "something remains" })?;
    Ok(report)
}

/// The fault that a verification ends with, when something remains.
pub fn fault(report: &RunReport) -> Option<Fault> {
    let found = report.verification.as_ref().filter(|found| !found.is_clean())?;
    let run = &report.run;
    let mut fault = Fault::new(Category::Findings, format!("run `{run}` is not verified"))
        .state("verifying changed nothing")
        .hint(format!("look at the lines above; `unseed restore {run}` puts the rows back"));
    if found.roots_present > 0 {
        let are = if found.roots_present == 1 { "is" } else { "are" };
        let roots = counted(found.roots_checked, "root");
        fault = fault.detail(format!("{} of {roots} {are} there", found.roots_present));
    }
    for (reference, rows) in &found.orphans {
        let refer = if *rows == 1 { "refers" } else { "refer" };
        fault = fault.detail(format!("{} that {refer} to nothing by {reference}", counted(*rows, "row")));
    }
    for (pattern, entries) in &found.leftovers {
        fault = fault.detail(format!("{entries} entries of `{pattern}` are there"));
    }
    for table in &found.protected_changed {
        fault = fault.detail(format!("protected rows of `{table}` are not what they were"));
    }
    for table in &found.archive_differs {
        fault =
            fault.detail(format!("the archive holds another number of rows of `{table}` than were removed"));
    }
    Some(fault)
}

/// Whether a run is over and was not restored.
pub(crate) fn finished(run: &Run) -> Result<(), Fault> {
    let id = &run.id;
    let fault = match run.state {
        RunState::Done | RunState::Verified | RunState::Quarantined => return Ok(()),
        RunState::Running | RunState::Stopped => Fault::refused(format!("run `{id}` is not finished"))
            .hint(format!("run `unseed resume {id}` to finish it")),
        RunState::Restored => Fault::refused(format!("run `{id}` was restored, so its rows are there again"))
            .hint("make a new plan with `unseed plan`"),
        RunState::Failed => Fault::refused(format!("run `{id}` failed before it changed anything"))
            .hint("make a new plan with `unseed plan`"),
    };
    Err(fault)
}

async fn look_at_store(
    cx: &mut Context<'_>,
    whole: &WholePlan,
    opened: &Opened,
    report: &RunReport,
    found: &mut Verification,
) -> Result<(), Fault> {
    let schema = &opened.work.schema;
    let baseline = report.baseline.clone().unwrap_or_default();
    let taking = Taking::begin(cx.store, &opened.work).await?;
    cx.progress.note("looking for the roots");
    found.roots_checked = whole.plan().root_count();
    found.roots_present = cx.store.present(schema, &whole.root_sets(schema)?).await?;
    cx.progress.note("looking for rows that refer to nothing");
    let references = work::inward(&opened.work);
    found.references_checked = u64::try_from(references.len()).expect("a length fits 64 bits");
    for orphans in cx.store.orphans(schema, &references).await? {
        let key = reference_key(schema, orphans.reference);
        let before = baseline.orphans.get(&key).copied().unwrap_or(0);
        if orphans.rows > before {
            found.orphans.insert(key, orphans.rows - before);
        }
    }
    cx.progress.note("comparing the protected rows");
    let now = taking.end().await?;
    found.protected_rows = now.iter().map(|f| f.rows).sum();
    found.protected_changed = changed(&baseline.protected, &now);
    Ok(())
}

/// Tables whose fingerprints differ.
fn changed(before: &[Fingerprint], now: &[Fingerprint]) -> Vec<String> {
    let of =
        |prints: &[Fingerprint], table: &str| prints.iter().find(|f| f.table == table && f.rows > 0).cloned();
    let tables: BTreeSet<&String> = before.iter().chain(now).map(|f| &f.table).collect();
    tables.into_iter().filter(|t| of(before, t) != of(now, t)).cloned().collect()
}

fn look_at_archive(
    cx: &mut Context<'_>,
    id: &str,
    opened: &Opened,
    found: &mut Verification,
) -> Result<(), Fault> {
    cx.progress.note("checking the archive");
    let claimed = |batch: &BatchRecord| batch.state == BatchState::Committed;
    let batches: Vec<BatchRecord> = cx.state.batches(id)?.into_iter().filter(claimed).collect();
    let hashes: Vec<(u64, String)> = batches.iter().map(|b| (b.number, b.segment_hash.clone())).collect();
    match cx.archive.tombstone(id)? {
        // The manifests stay and are compared below; what they speak of is gone.
        Some(tombstone) => found.archive_expired_at = Some(tombstone.expired.at),
        None => (found.archive_parts, found.archive_bytes) = cx.archive.check(id, &hashes)?,
    }
    let mut differs = BTreeSet::new();
    for batch in &batches {
        let manifest = cx.archive.batch(id, batch.number, &batch.segment_hash)?;
        differs.extend(difference(
            &batch.removed.removed_by_name(&opened.work.schema),
            &rows_by_table(&manifest.parts),
        ));
    }
    found.archive_differs = differs.into_iter().collect();
    Ok(())
}

fn difference(removed: &BTreeMap<String, u64>, archived: &BTreeMap<String, u64>) -> Vec<String> {
    let names: BTreeSet<&String> = removed.keys().chain(archived.keys()).collect();
    let rows = |map: &BTreeMap<String, u64>, name: &String| map.get(name).copied().unwrap_or(0);
    names.into_iter().filter(|n| rows(removed, n) != rows(archived, n)).cloned().collect()
}
