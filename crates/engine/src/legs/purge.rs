//! Begins a run over several stores, and goes on with one that stopped.
//!
//! Order: window, probe → register the run (which uses the plan up) → compare every store with the plan → hooks → see every
//! store, read and keep the values that entries are found by → leg by leg → done → hooks.
//!
//! Invariants
//! - a run that may not begin by its window or its throttle has not used its plan up, or is where it was;
//! - hooks run around the whole of a run, never around a leg.
//!
//! Not here: what is seen (`look`), the legs (`ordered`).

use super::ending::Ended;
use super::ordered::{self, Stopped};
use super::{Legs, look};
use crate::hooks;
use crate::report::{LegReport, RunReport};
use unseed_core::approve::statement::Act;
use unseed_core::approve::{ConfirmedPlan, ConfirmedRun};
use unseed_core::audit::used_by;
use unseed_core::entity::Overrides;
use unseed_core::fault::Fault;
use unseed_core::hook::{At, Phase};
use unseed_core::keys::WholePlan;
use unseed_core::run::{Consent, Run, RunState};

/// What was agreed to: a plan, or to go on with a run.
pub(super) enum Agreed<'a> {
    Plan(&'a ConfirmedPlan),
    Run(&'a ConfirmedRun),
}

impl Agreed<'_> {
    pub(super) fn whole(&self) -> &WholePlan {
        match self {
            Self::Plan(plan) => plan.whole(),
            Self::Run(run) => run.whole(),
        }
    }

    pub(super) fn consent(&self) -> &Consent {
        match self {
            Self::Plan(plan) => plan.consent(),
            Self::Run(run) => run.consent(),
        }
    }

    pub(super) fn leg(&self, store: &str) -> Option<ConfirmedPlan> {
        match self {
            Self::Plan(plan) => plan.leg(store),
            Self::Run(run) => run.new_leg(store),
        }
    }
}

/// Executes a plan over several stores, once.
///
/// # Errors
/// As [`crate::purge::execute`]; the fault says what is where.
pub async fn execute(
    cx: &mut Legs<'_>,
    confirmed: &ConfirmedPlan,
    overrides: &Overrides,
) -> Result<RunReport, Fault> {
    let plan = confirmed.plan();
    crate::purge::unused(cx.state, plan)?;
    if confirmed.keeping().quarantine_s.is_some() {
        return Err(Fault::refused(format!(
            "plan `{}` is about several stores, which have no quarantine",
            plan.id
        ))
        .hint("make a new plan without a quarantine"));
    }
    cx.preflight(plan).await?;
    let id = cx.state.next_run_id()?;
    cx.archive.prepare(&id)?;
    let report = first_report(cx, &id, confirmed.whole());
    cx.audit("purge.plan", &plan.digest, &used_by(&id, &confirmed.consent().text()))?;
    cx.state.begin_run(&Run {
        id: id.clone(),
        plan: plan.id.clone(),
        plan_digest: plan.digest.clone(),
        state: RunState::Running,
        started_at: report.started_at.clone(),
        finished_at: None,
        actor: cx.actor.to_owned(),
        consent: confirmed.consent().clone(),
        batches_total: 0,
        report: report.to_json(),
    })?;
    cx.state.lease(&id, cx.holder)?;
    let result = match cx.audit("purge.run", &id, "started") {
        Ok(()) => under_lease(cx, &Agreed::Plan(confirmed), (&id, overrides)).await,
        Err(fault) => Err(fault),
    };
    cx.released(&id, result)
}

/// Goes on with a run over several stores.
///
/// # Errors
/// As [`crate::resume::execute`].
pub async fn resume(
    cx: &mut Legs<'_>,
    confirmed: &ConfirmedRun,
    overrides: &Overrides,
) -> Result<RunReport, Fault> {
    confirmed.is_for(&Act::Purge)?;
    let id = confirmed.run().id.clone();
    crate::resume::resumable(&cx.state.run(&id)?)?;
    let admitted = cx.preflight(confirmed.whole().plan()).await;
    admitted.map_err(|fault| fault.state(format!("run `{id}` is where it was")))?;
    cx.state.lease(&id, cx.holder)?;
    let result = go_on(cx, confirmed, (&id, overrides)).await;
    cx.released(&id, result)
}

async fn go_on(
    cx: &mut Legs<'_>,
    confirmed: &ConfirmedRun,
    (id, overrides): (&str, &Overrides),
) -> Result<RunReport, Fault> {
    // Read again under the lease: another process may have moved the run on.
    let run = cx.state.run(id)?;
    crate::resume::resumable(&run)?;
    let report = RunReport::of(&run)?;
    cx.archive.seal(&report.recipients)?;
    for port in &mut cx.ports {
        port.archive.seal(&report.recipients)?;
    }
    cx.audit("purge.run", id, &format!("resumed, {}", confirmed.consent().text()))?;
    cx.state.update_run(id, RunState::Running, &report.to_json())?;
    under_lease(cx, &Agreed::Run(confirmed), (id, overrides)).await
}

fn first_report(cx: &Legs<'_>, id: &str, whole: &WholePlan) -> RunReport {
    let plan = whole.plan();
    let leg = |name: &str| {
        let single = whole.leg(name);
        LegReport {
            store: name.to_owned(),
            kind: plan.store(name).map(|store| store.kind.clone()).unwrap_or_default(),
            state: None,
            plan: single.as_ref().map_or_else(|| plan.id.clone(), |leg| leg.plan().id.clone()),
            plan_digest: single.map_or_else(|| plan.digest.clone(), |leg| leg.plan().digest.clone()),
            started_at: String::new(),
            finished_at: None,
            report: None,
        }
    };
    RunReport {
        archive: cx.archive.location(id),
        recipients: cx.archive.recipients(),
        legs: plan.legs.iter().map(|one| leg(&one.store)).collect(),
        ..RunReport::begun(id, plan, cx.clock.now())
    }
}

async fn under_lease(
    cx: &mut Legs<'_>,
    agreed: &Agreed<'_>,
    (id, overrides): (&str, &Overrides),
) -> Result<RunReport, Fault> {
    let plan = agreed.whole().plan();
    let has_hook = plan.policy.hooks.iter().any(|hook| hook.of == Phase::Purge && hook.at == At::Before);
    // No hook runs before stores that are not those of the plan; without hooks the legs look themselves.
    if has_hook && let Err(stopped) = look::stores(cx, agreed.whole(), id).await {
        return Err(ended(cx, id, stopped).1);
    }
    match between_hooks(cx, agreed, (id, overrides)).await {
        Ok(mut report) => {
            let mut around = cx.around((id, plan), (&mut report, RunState::Done));
            hooks::after(&mut around, Phase::Purge).await;
            Ok(report)
        }
        Err(stopped) => {
            let (state, fault) = ended(cx, id, stopped);
            match cx.report(id) {
                Ok(mut report) => {
                    let mut around = cx.around((id, plan), (&mut report, state));
                    Err(hooks::on_stop(&mut around, Phase::Purge, fault).await)
                }
                Err(second) => Err(fault.detail(format!("no hook was run: {second}"))),
            }
        }
    }
}

async fn between_hooks(
    cx: &mut Legs<'_>,
    agreed: &Agreed<'_>,
    (id, overrides): (&str, &Overrides),
) -> Result<RunReport, Stopped> {
    let nowhere = |fault| (None, fault);
    let plan = agreed.whole().plan();
    let mut known = cx.report(id).map_err(nowhere)?;
    let mut around = cx.around((id, plan), (&mut known, RunState::Running));
    hooks::before(&mut around, Phase::Purge).await.map_err(nowhere)?;
    cx.begin_looking(plan);
    let done = ordered::all(cx, agreed, (id, overrides)).await;
    cx.end_looking();
    done?;
    finish(cx, id).map_err(nowhere)
}

/// Keeps in which state a run is that ended early; the state, and the fault that a person sees.
fn ended(cx: &mut Legs<'_>, id: &str, (place, cause): Stopped) -> (RunState, Fault) {
    let report = match cx.report(id) {
        Ok(report) => report,
        Err(second) => {
            let told = format!("the state of the run could not be read either: {second}");
            return (RunState::Running, cause.detail(told));
        }
    };
    let ended = Ended { run: id, place: place.as_deref(), legs: &report.legs };
    let state = ended.state(cause.category);
    let fault = ended.fault(cause);
    let kept = cx.state.update_run(id, state, &report.to_json());
    match kept.and_then(|()| cx.audit("purge.run", id, state.as_str())) {
        Ok(()) => (state, fault),
        Err(second) => {
            (state, fault.detail(format!("the state of the run could not be kept either: {second}")))
        }
    }
}

fn finish(cx: &mut Legs<'_>, id: &str) -> Result<RunReport, Fault> {
    let mut report = cx.report(id)?;
    report.finished_at = Some(cx.clock.now());
    report.count_legs();
    cx.state.update_run(id, RunState::Done, &report.to_json())?;
    cx.audit("purge.run", id, "done")?;
    Ok(report)
}
