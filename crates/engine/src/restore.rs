//! Puts archived rows back, all of them or one root with what left because of it.
//!
//! Invariants
//! - every hash is checked before the first row is put back;
//! - nothing is overwritten: where rows are in the way, all conflicts are listed and nothing changes;
//! - a restore whose commit was cut off is settled before another one begins.
//!
//! Not here: how rows are put back (`io::store`).

use crate::context::{Context, Live};
use crate::hooks::Around;
use crate::report::{RestoreFigures, RunReport, reference_key};
use crate::retention;
use crate::session::{Session, released};
use crate::settle;
use crate::work;
use crate::{hooks, indexes};
use unseed_core::approve::ConfirmedRun;
use unseed_core::approve::statement::Act;
use unseed_core::fault::{Category, Fault, counted};
use unseed_core::hook::Phase;
use unseed_core::plan::Plan;
use unseed_core::policy::one_table;
use unseed_core::port::store::{RestoreConflict, RestoreScope, Restored};
use unseed_core::run::{BatchRecord, BatchState, Run, RunState};
use unseed_core::schema::ReferenceId;

/// What to put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Everything,
    /// One root, by its table as typed and its key.
    Root {
        table: String,
        key: Vec<String>,
    },
}

impl Scope {
    fn text(&self) -> String {
        match self {
            Self::Everything => "everything".to_owned(),
            Self::Root { table, key } => format!("{table} {}", key.join(",")),
        }
    }
}

/// Restores a run, or one root of it. With conflicts in the result nothing was changed.
///
/// # Errors
/// `Refused` when there is nothing to restore or it was restored before; what store and archive say.
pub async fn execute(
    cx: &mut Context<'_>,
    confirmed: &ConfirmedRun,
    scope: &Scope,
) -> Result<Restored, Fault> {
    let id = confirmed.run().id.clone();
    confirmed.is_for(&Act::Restore { run: id.clone() })?;
    restorable(&cx.state.run(&id)?)?;
    cx.state.lease(&id, cx.holder)?;
    let result = under_lease(cx, confirmed, &id, scope).await;
    released(cx, &id, result)
}

/// The fault that a restore with conflicts ends with.
pub fn fault(run: &str, conflicts: &[RestoreConflict]) -> Option<Fault> {
    if conflicts.is_empty() {
        return None;
    }
    let rows: u64 = conflicts.iter().map(|conflict| conflict.rows).sum();
    let mut fault =
        Fault::new(Category::Findings, format!("{} of run `{run}` cannot be put back", counted(rows, "row")))
            .hint(format!("move those rows out of the way, then run `unseed restore {run}` again"));
    fault.details = conflicts.iter().map(conflict_text).collect();
    Some(fault)
}

fn conflict_text(conflict: &RestoreConflict) -> String {
    let more = if conflict.rows > 1 { format!(", and {} more", conflict.rows - 1) } else { String::new() };
    format!("{} {}: {}{more}", conflict.table, conflict.key, conflict.reason)
}

/// Whether there may be something to put back.
pub(crate) fn restorable(run: &Run) -> Result<(), Fault> {
    let id = &run.id;
    match run.state {
        RunState::Running
        | RunState::Stopped
        | RunState::Done
        | RunState::Verified
        | RunState::Quarantined => Ok(()),
        RunState::Restored => {
            let when = run.finished_at.as_deref().unwrap_or("before");
            Err(Fault::refused(format!("run `{id}` was already restored"))
                .state(format!("the rows are back; the run ended at {when}"))
                .hint("see `unseed runs`"))
        }
        RunState::Failed => Err(Fault::refused(format!("run `{id}` failed before it changed anything"))
            .hint("there is nothing to put back")),
    }
}

async fn under_lease(
    cx: &mut Context<'_>,
    confirmed: &ConfirmedRun,
    id: &str,
    scope: &Scope,
) -> Result<Restored, Fault> {
    let run = cx.state.run(id)?;
    restorable(&run)?;
    retention::still_there(cx.archive, id)?;
    let (report, batches) = (RunReport::of(&run)?, cx.state.batches(id)?);
    let opened = work::open(cx.store, confirmed.whole().plan()).await?;
    let roots = confirmed.whole().root_sets(&opened.work.schema)?;
    let mut session = Session::new(cx, confirmed.whole().clone(), opened, roots, report, batches);
    (session.restoring, session.state) = (true, run.state);
    settle::all(&mut session).await?;
    if finish_earlier(&mut session).await? {
        return Err(Fault::refused(format!("run `{id}` was already restored"))
            .state("the rows are back; only the journal was behind, and is now complete")
            .hint("see `unseed runs`"));
    }
    // What a run that died had built for itself in the store.
    indexes::drop(&mut session).await?;
    if session.committed_count() == 0 {
        return Err(
            Fault::refused(format!("run `{id}` has removed nothing")).hint("there is nothing to put back")
        );
    }
    around_hooks(&mut session, run.state, scope, &confirmed.consent().text()).await
}

async fn around_hooks(
    session: &mut Session<'_, '_>,
    state: RunState,
    scope: &Scope,
    agreed: &str,
) -> Result<Restored, Fault> {
    let done = match hooks::before(&mut session.around(), Phase::Restore).await {
        Ok(()) => put_back(session, state, scope, agreed).await,
        Err(fault) => Err(not_begun(&session.run, fault)),
    };
    ended(&mut session.around(), done).await
}

/// A restore whose hooks kept it from beginning.
pub(crate) fn not_begun(run: &str, fault: Fault) -> Fault {
    let again = format!("then run `unseed restore {run}` again, with `--skip-hooks` if need be");
    let hint = if fault.hint.is_empty() { again } else { format!("{}, {again}", fault.hint) };
    fault.state("nothing was put back").hint(hint)
}

/// Runs what comes after a restore, however it ended.
pub(crate) async fn ended(around: &mut Around<'_>, done: Result<Restored, Fault>) -> Result<Restored, Fault> {
    match done {
        Ok(restored) if restored.conflicts.is_empty() => {
            hooks::after(around, Phase::Restore).await;
            Ok(restored)
        }
        Ok(restored) => {
            let told = hooks::on_stop(around, Phase::Restore, Fault::store("")).await;
            told.details.iter().for_each(|line| around.progress.note(line));
            Ok(restored)
        }
        Err(fault) => Err(hooks::on_stop(around, Phase::Restore, fault).await),
    }
}

/// Completes the journal of a whole restore whose commit worked although its answer was lost.
async fn finish_earlier(session: &mut Session<'_, '_>) -> Result<bool, Fault> {
    let everything = Scope::Everything.text();
    let Some(open) = session.report.restores.iter().position(|r| !r.committed) else { return Ok(false) };
    // The dead process may have come as far as marking some of the batches.
    let removed = session.batches.iter().filter(|batch| match batch.state {
        BatchState::Committed | BatchState::Restored => true,
        BatchState::Begun | BatchState::Archived | BatchState::Committing | BatchState::Discarded => false,
    });
    let ranges = removed.flat_map(|batch| batch.roots.iter().copied()).collect();
    let roots = crate::positions::select(&session.roots, &crate::positions::merged(ranges));
    let earlier = session.report.restores[open].clone();
    settle::restore_ended(session, &earlier.token, &roots).await?;
    if earlier.scope != everything {
        session.report.restores.remove(open);
        return Ok(false);
    }
    let expected: usize = roots.iter().map(|set| set.rows.len()).sum();
    let present = session.cx.store.present(&session.work.schema, &roots).await?;
    if usize::try_from(present) != Ok(expected) {
        session.report.restores.remove(open);
        return Ok(false);
    }
    session.report.restores[open].committed = true;
    mark_restored(session)?;
    Ok(true)
}

async fn put_back(
    session: &mut Session<'_, '_>,
    state: RunState,
    scope: &Scope,
    agreed: &str,
) -> Result<Restored, Fault> {
    let id = session.run.clone();
    let hashes: Vec<(u64, String)> =
        session.committed().map(|b| (b.number, b.segment_hash.clone())).collect();
    session.cx.progress.note("checking the archive");
    let numbers: Vec<u64> = hashes.iter().map(|(number, _)| *number).collect();
    for folder in session.cx.archive.unclaimed(&id, &numbers)? {
        session.cx.progress.note(&format!("warning: {folder} of the archive {}", retention::UNCLAIMED));
    }
    let mut source = session.cx.archive.open(&id, &hashes)?;
    let wanted = resolve(session, scope)?;
    session.audit(
        "restore.run",
        &id,
        &format!(
            "started, {}, {agreed}{}",
            scope.text(),
            without_hooks(session.whole.plan(), &session.cx.live)
        ),
    )?;
    let store = &mut session.cx.store;
    let mut restored = match store.restore(&session.work, source.as_mut(), &wanted, session.cx.progress).await
    {
        Ok(restored) => restored,
        Err(fault) => return Err(rolled_back(session, &id, fault).await),
    };
    restored.conflicts.extend(new_orphans(session, &restored));
    if !restored.conflicts.is_empty() {
        session.cx.store.rollback().await?;
        session.audit("restore.run", &id, "conflicts")?;
        return Ok(restored);
    }
    session.report.restores.push(RestoreFigures {
        at: session.cx.clock.now(),
        scope: scope.text(),
        committed: false,
        inserted: restored.inserted.clone(),
        reattached: restored.reattached.clone(),
        statements: session.cx.store.statements(),
        token: restored.token.clone().unwrap_or_default(),
    });
    // Before the commit, so that a restore whose answer is lost is recognised later.
    let running = if state == RunState::Running { RunState::Stopped } else { state };
    if let Err(fault) = session.keep(running) {
        return Err(rolled_back(session, &id, fault).await);
    }
    if let Err(fault) = session.cx.store.commit().await {
        return Err(fault
            .state("whether the rows are back is not known yet")
            .hint(format!("run `unseed restore {id}` again, which finds out")));
    }
    if let Some(last) = session.report.restores.last_mut() {
        last.committed = true;
    }
    match scope {
        Scope::Everything => mark_restored(session)?,
        Scope::Root { .. } => session.keep(running)?,
    }
    session.audit("restore.run", &id, "committed")?;
    Ok(restored)
}

/// What the audit log says of a restore whose hooks a person did not want to run.
pub(crate) fn without_hooks(plan: &Plan, live: &Live) -> &'static str {
    let has = plan.policy.hooks.iter().any(|hook| hook.of == Phase::Restore);
    if has && live.skip_hooks { ", without its hooks" } else { "" }
}

/// Rows that would refer to nothing, where fewer did so before the purge.
fn new_orphans(session: &Session<'_, '_>, restored: &Restored) -> Vec<RestoreConflict> {
    let baseline = session.report.baseline.clone().unwrap_or_default();
    let before = |id: ReferenceId| {
        let key = reference_key(&session.work.schema, id);
        baseline.orphans.get(&key).copied().unwrap_or(0)
    };
    let more = restored.orphans.iter().filter(|(id, orphans)| orphans.rows > before(*id));
    more.map(|(_, orphans)| orphans.clone()).collect()
}

async fn rolled_back(session: &mut Session<'_, '_>, id: &str, fault: Fault) -> Fault {
    let noted =
        session.cx.store.rollback().await.and_then(|()| session.audit("restore.run", id, "rolled back"));
    let fault = match noted {
        Ok(()) => fault,
        Err(second) => fault.detail(format!("while rolling back: {second}")),
    };
    let again = format!("run `unseed restore {id}` again once the cause is mended");
    let hint = match fault.hint.split_once("run the command again") {
        // The cause knows better what to do about it, but not with which command.
        _ if fault.hint.is_empty() => again,
        Some((first, _)) => format!("{first}run `unseed restore {id}` again"),
        None => fault.hint.clone(),
    };
    fault.state("nothing was put back").hint(hint)
}

/// Journals a whole restore: first the batches, then the run.
fn mark_restored(session: &mut Session<'_, '_>) -> Result<(), Fault> {
    let committed: Vec<BatchRecord> = session.committed().cloned().collect();
    for batch in committed {
        session.put_batch(&BatchRecord { state: BatchState::Restored, ..batch })?;
    }
    session.report.finished_at = Some(session.cx.clock.now());
    session.keep(RunState::Restored)
}

fn resolve(session: &Session<'_, '_>, scope: &Scope) -> Result<RestoreScope, Fault> {
    let Scope::Root { table: typed, key } = scope else { return Ok(RestoreScope::Everything) };
    let table = one_table(&session.work.schema, typed)?;
    let is_root =
        |set: &unseed_core::plan::RootSet| set.table == table && set.rows.iter().any(|row| row.key == *key);
    if session.roots.iter().any(is_root) {
        return Ok(RestoreScope::Root { table, key: key.clone() });
    }
    let message = format!("`{typed}` {} is not a root of run `{}`", key.join(","), session.run);
    Err(Fault::usage(message).hint(format!("see the roots with `unseed show {}`", session.run)))
}
