//! Executes a confirmed plan, once.
//!
//! Order: register the run (which uses the plan up) → compare schema → baseline → close and compare with the
//! plan → batches → figures, manifest, report. From the first batch on, any failure leaves a run that can be
//! resumed or restored.
//!
//! Not here: making plans (`plan`), going on after a stop (`resume`).

use crate::batches::{self, Stop};
pub use crate::context::{Context, Live, Patience};
use crate::ending::Ending;
use crate::report::RunReport;
use crate::session::{Session, audit, released};
use crate::work;
use crate::{hooks, indexes, pace};
use unseed_core::approve::ConfirmedPlan;
use unseed_core::audit::used_by;
use unseed_core::fault::Fault;
use unseed_core::hook::Phase;
use unseed_core::keys::WholePlan;
use unseed_core::plan::{Path, Plan};
use unseed_core::port::state::StateDb;
use unseed_core::port::store::Server;
use unseed_core::run::{Consent, Run, RunState};

/// Executes a plan.
///
/// # Errors
/// `Refused` when the plan was used before or now reaches protected rows; `Stale` when schema or data are
/// not what was planned; a fault that says how to go on when the run stopped.
pub async fn execute(cx: &mut Context<'_>, plan: ConfirmedPlan) -> Result<RunReport, Fault> {
    unused(cx.state, plan.plan())?;
    pace::preflight(cx).await?;
    leg(cx, plan).await
}

/// Refuses a plan that a run has used up.
pub(crate) fn unused(state: &mut dyn StateDb, plan: &Plan) -> Result<(), Fault> {
    let Some(run) = state.run_of_plan(&plan.digest)? else { return Ok(()) };
    let message = format!("plan `{}` was already used by run `{}`", plan.id, run.id);
    Err(Fault::refused(message).hint(format!("see `unseed show {}`, or make a new plan", run.id)))
}

/// Executes a plan, or one leg of it, of which it is known that it may begin.
///
/// # Errors
/// As [`execute`].
pub(crate) async fn leg(cx: &mut Context<'_>, plan: ConfirmedPlan) -> Result<RunReport, Fault> {
    let keeping = plan.keeping();
    let (whole, consent) = plan.into_parts();
    let id = cx.state.next_run_id()?;
    cx.archive.prepare(&id)?;
    let mut report = first_report(cx, &id, &whole);
    report.kept.agreed = keeping;
    audit(cx, "purge.plan", &whole.plan().digest, &used_by(&id, &consent.text()))?;
    cx.state.begin_run(&new_run(cx, &whole, &report, consent))?;
    cx.state.lease(&id, cx.holder)?;
    let result = begin(cx, whole, report).await;
    released(cx, &id, result)
}

async fn begin(cx: &mut Context<'_>, whole: WholePlan, report: RunReport) -> Result<RunReport, Fault> {
    let id = report.run.clone();
    audit(cx, "purge.run", &id, "started")?;
    let opened = match open(cx, &whole).await {
        Ok(opened) => whole.root_sets(&opened.work.schema).map(|roots| (opened, roots)),
        Err(fault) => Err(fault),
    };
    match opened {
        Ok((opened, roots)) => run(&mut Session::new(cx, whole, opened, roots, report, Vec::new())).await,
        Err(cause) => {
            let ending =
                Ending { run: &id, done: 0, total: 0, unsettled: false, behind: false, between: false };
            let state = ending.state(cause.category);
            cx.state.update_run(&id, state, &report.to_json())?;
            audit(cx, "purge.run", &id, state.as_str())?;
            Err(ending.fault(cause))
        }
    }
}

/// Inspects the store and refuses what must not be purged.
pub(crate) async fn open(cx: &mut Context<'_>, whole: &WholePlan) -> Result<work::Opened, Fault> {
    let plan = whole.plan();
    cx.store.limit_waits(cx.live.waits);
    let opened = work::open(cx.store, plan).await?;
    same_kind(&opened.server, whole)?;
    work::same_schema(&opened, plan)?;
    work::full_view(&opened.work)?;
    Ok(opened)
}

fn same_kind(server: &Server, whole: &WholePlan) -> Result<(), Fault> {
    let plan = whole.plan();
    if let Some(store) = plan.stores.first().filter(|store| store.kind != server.kind) {
        let message = format!("plan `{}` is for {}, the store is {}", plan.id, store.kind, server.kind);
        return Err(Fault::usage(message).hint("give the store that the plan was made for"));
    }
    if server.read_only {
        let message = format!("store `{}` can only be read", server.location);
        return Err(Fault::refused(message).hint("connect to the primary, as a role that may write"));
    }
    if plan.path != Path::Checked && !server.may_skip_checks {
        return Err(Fault::refused("the plan skips the store's checks, which this role may not")
            .hint("connect as the role the plan was made with, or plan again"));
    }
    Ok(())
}

/// Hooks, baseline, batches, figures; what purge and resume have in common.
pub(crate) async fn run(session: &mut Session<'_, '_>) -> Result<RunReport, Fault> {
    match between_hooks(session).await {
        Ok(()) => {
            hooks::after(&mut session.around(), Phase::Purge).await;
            Ok(session.report.clone())
        }
        Err(stop) => {
            let fault = session.stopped(stop);
            Err(hooks::on_stop(&mut session.around(), Phase::Purge, fault).await)
        }
    }
}

async fn between_hooks(session: &mut Session<'_, '_>) -> Result<(), Stop> {
    hooks::before(&mut session.around(), Phase::Purge).await.map_err(Stop::between)?;
    let gauges = session.cx.live.gauges.take();
    session.pace.begin(gauges);
    let removed = match batches::baseline(session).await {
        Err(fault) => Err(fault.into()),
        Ok(()) => batches::run_all(session).await,
    };
    session.pace.end();
    // Whatever happened, what was built for the run goes; a lost connection leaves it to the next run.
    let taken_down = indexes::drop(session).await;
    removed?;
    taken_down?;
    Ok(session.finish().await?)
}

fn new_run(cx: &Context<'_>, whole: &WholePlan, report: &RunReport, consent: Consent) -> Run {
    Run {
        id: report.run.clone(),
        plan: whole.plan().id.clone(),
        plan_digest: whole.plan().digest.clone(),
        state: RunState::Running,
        started_at: report.started_at.clone(),
        finished_at: None,
        actor: cx.actor.to_owned(),
        consent,
        batches_total: 0,
        report: report.to_json(),
    }
}

fn first_report(cx: &Context<'_>, id: &str, whole: &WholePlan) -> RunReport {
    RunReport {
        archive: cx.archive.location(id),
        recipients: cx.archive.recipients(),
        ..RunReport::begun(id, whole.plan(), cx.clock.now())
    }
}
