//! Goes on with a run that stopped, from its journal, with the same code that began it.
//!
//! First every batch is settled, then the roots that no committed batch covers are closed over again.
//!
//! Not here: the batches (`batches`).

use crate::context::Context;
use crate::report::RunReport;
use crate::session::{Session, audit, released};
use crate::settle;
use crate::{pace, purge};
use unseed_core::approve::ConfirmedRun;
use unseed_core::approve::statement::Act;
use unseed_core::fault::Fault;
use unseed_core::run::{Run, RunState};

/// Resumes a run to its end.
///
/// # Errors
/// `Refused` when the run is not one that can be resumed or another process has it; otherwise as
/// [`purge::execute`].
pub async fn execute(cx: &mut Context<'_>, confirmed: &ConfirmedRun) -> Result<RunReport, Fault> {
    confirmed.is_for(&Act::Purge)?;
    let id = confirmed.run().id.clone();
    resumable(&cx.state.run(&id)?)?;
    pace::preflight(cx).await.map_err(|fault| fault.state(format!("run `{id}` is where it was")))?;
    leg(cx, confirmed).await
}

/// Resumes a run, or one leg of it, of which it is known that it may go on.
///
/// # Errors
/// As [`execute`].
pub(crate) async fn leg(cx: &mut Context<'_>, confirmed: &ConfirmedRun) -> Result<RunReport, Fault> {
    confirmed.is_for(&Act::Purge)?;
    let id = confirmed.run().id.clone();
    resumable(&cx.state.run(&id)?)?;
    cx.state.lease(&id, cx.holder)?;
    let result = go_on(cx, confirmed, &id).await;
    released(cx, &id, result)
}

/// Whether a run can go on.
pub(crate) fn resumable(run: &Run) -> Result<(), Fault> {
    let id = &run.id;
    let fault = match run.state {
        RunState::Running | RunState::Stopped => return Ok(()),
        RunState::Done | RunState::Verified => Fault::refused(format!("run `{id}` is finished")).hint(
            format!("run `unseed verify {id}` to look again, or `unseed restore {id}` to put the rows back"),
        ),
        RunState::Quarantined => Fault::refused(format!("run `{id}` is finished and in quarantine")).hint(
            format!("run `unseed restore {id}` to put the rows back; `unseed purge --due` ends it when its time is over"),
        ),
        RunState::Restored => {
            Fault::refused(format!("run `{id}` was restored")).hint("make a new plan with `unseed plan`")
        }
        RunState::Failed => Fault::refused(format!("run `{id}` failed before it changed anything"))
            .hint("make a new plan with `unseed plan`"),
    };
    Err(fault)
}

async fn go_on(cx: &mut Context<'_>, confirmed: &ConfirmedRun, id: &str) -> Result<RunReport, Fault> {
    // Read again under the lease: another process may have moved the run on.
    let run = cx.state.run(id)?;
    resumable(&run)?;
    let report = RunReport::of(&run)?;
    let batches = cx.state.batches(id)?;
    // Public keys are enough to go on; what the configuration says by now does not matter.
    cx.archive.seal(&report.recipients)?;
    audit(cx, "purge.run", id, &format!("resumed, {}", confirmed.consent().text()))?;
    let opened = match purge::open(cx, confirmed.whole()).await {
        Ok(opened) => opened,
        Err(fault) => return Err(fault.state(format!("run `{id}` is where it was"))),
    };
    let roots = confirmed.whole().root_sets(&opened.work.schema)?;
    let mut session = Session::new(cx, confirmed.whole().clone(), opened, roots, report, batches);
    session.resumed = true;
    session.keep(RunState::Running)?;
    if let Err(fault) = settle::all(&mut session).await {
        session.keep(RunState::Stopped)?;
        return Err(fault);
    }
    purge::run(&mut session).await
}
