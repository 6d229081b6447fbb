//! Runs the legs of a plan in their order, and goes on with a run that stopped in any of them.
//!
//! Order: register the run (which uses the plan up) → see every store, compare it with the plan → read and keep the values
//! that entries are found by → leg by leg → done. A leg that is done is not begun again; one that stopped goes on.
//!
//! Invariants
//! - until every store was seen and the values are durable, nothing is removed anywhere;
//! - the state of each leg is kept before the next one begins.
//!
//! Not here: what a leg does (`entries`, `crate::purge`).

use super::ending::Ended;
use super::entries::{Entries, refuse_grown};
use super::values::{Of, keep, of_source, refuse_shared};
use super::{LegStore, Legs, Rows, kind_changed};
use crate::batches::refuse_stale;
use crate::plan::CONFLICTS_DESCRIBED_MAX;
use crate::refusals::{check_limits, refuse_conflicts, wide};
use crate::report::{LegReport, RunReport};
use crate::work;
use std::collections::BTreeMap;
use unseed_core::approve::statement::Act;
use unseed_core::approve::{ConfirmedPlan, ConfirmedRun};
use unseed_core::archive::{FORMAT as ARCHIVE_FORMAT, Manifest};
use unseed_core::audit::used_by;
use unseed_core::entity::Overrides;
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::WholePlan;
use unseed_core::plan::LegWork;
use unseed_core::port::store::{CloseRequest, Server};
use unseed_core::run::{Consent, Run, RunState};
use unseed_core::subjects::SubjectSet;

/// What was agreed to: a plan, or to go on with a run.
enum Agreed<'a> {
    Plan(&'a ConfirmedPlan),
    Run(&'a ConfirmedRun),
}

impl Agreed<'_> {
    fn whole(&self) -> &WholePlan {
        match self {
            Self::Plan(plan) => plan.whole(),
            Self::Run(run) => run.whole(),
        }
    }

    fn consent(&self) -> &Consent {
        match self {
            Self::Plan(plan) => plan.consent(),
            Self::Run(run) => run.consent(),
        }
    }

    fn leg(&self, store: &str) -> Option<ConfirmedPlan> {
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
    if let Some(run) = cx.state.run_of_plan(&plan.digest)? {
        let message = format!("plan `{}` was already used by run `{}`", plan.id, run.id);
        return Err(Fault::refused(message).hint(format!("see `unseed show {}`, or make a new plan", run.id)));
    }
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
    let result = under_lease(cx, &Agreed::Plan(confirmed), (&id, overrides)).await;
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
    let result = all_legs(cx, agreed, (id, overrides)).await;
    let (place, cause) = match result {
        Ok(()) => return finish(cx, id),
        Err(stopped) => stopped,
    };
    let run = cx.state.run(id)?;
    let report = RunReport::of(&run)?;
    let ended = Ended { run: id, place: place.as_deref(), legs: &report.legs };
    let state = ended.state(cause.category);
    let fault = ended.fault(cause);
    let kept = cx.state.update_run(id, state, &report.to_json());
    match kept.and_then(|()| cx.audit("purge.run", id, state.as_str())) {
        Ok(()) => Err(fault),
        Err(second) => Err(fault.detail(format!("the state of the run could not be kept either: {second}"))),
    }
}

/// In which store a run stopped, where it was in one, and why.
type Stopped = (Option<String>, Fault);

async fn all_legs(
    cx: &mut Legs<'_>,
    agreed: &Agreed<'_>,
    (id, overrides): (&str, &Overrides),
) -> Result<(), Stopped> {
    let plan = agreed.whole().plan();
    let nowhere = |fault| (None, fault);
    let states = states(cx, id).map_err(nowhere)?;
    let mut subjects = values(cx, agreed, (id, overrides)).await?;
    for (position, leg) in plan.legs.iter().enumerate() {
        if matches!(states[position], Some(RunState::Done | RunState::Verified)) {
            continue;
        }
        if cx.interrupt.is_requested() {
            return Err((Some(leg.store.clone()), Fault::new(Category::Interrupted, "interrupted")));
        }
        cx.progress.note(&format!("store {}", leg.store));
        let in_leg = |fault| (Some(leg.store.clone()), fault);
        match &leg.work {
            LegWork::Rows(_) => rows(cx, agreed, (id, position)).await.map_err(in_leg)?,
            LegWork::Entries(_) => {
                if subjects.is_none() {
                    subjects = Some(again(cx, agreed, (id, overrides)).await.map_err(in_leg)?);
                }
                let set = subjects.as_ref().expect("they were read above");
                let mut entries = Entries::of(cx, plan, id, position).map_err(in_leg)?;
                entries.purge(set, agreed.consent()).await.map_err(in_leg)?;
            }
        }
    }
    Ok(())
}

fn states(cx: &mut Legs<'_>, id: &str) -> Result<Vec<Option<RunState>>, Fault> {
    let report = RunReport::of(&cx.state.run(id)?)?;
    Ok(report.legs.iter().map(|leg| leg.state).collect())
}

/// Sees every store, and keeps the values durably, before anything is removed. `None` where an earlier process did, and
/// perhaps removed the rows.
async fn values(
    cx: &mut Legs<'_>,
    agreed: &Agreed<'_>,
    (id, overrides): (&str, &Overrides),
) -> Result<Option<SubjectSet>, Stopped> {
    let whole = agreed.whole();
    let plan = whole.plan();
    let mut report = cx.state.run(id).and_then(|run| RunReport::of(&run)).map_err(|fault| (None, fault))?;
    if report.subjects.is_some() {
        return Ok(None);
    }
    cx.audit("purge.run", id, "started").map_err(|fault| (None, fault))?;
    for leg in plan.legs.iter().filter(|leg| matches!(leg.work, LegWork::Rows(_))) {
        look(cx, whole, &leg.store).await.map_err(|fault| (Some(leg.store.clone()), fault))?;
    }
    let source = Some(super::source(plan).to_owned());
    let set = of_source(cx, whole, (overrides, Of::Roots)).await.map_err(|fault| (source.clone(), fault))?;
    refuse_grown(plan, &set.sums()).map_err(|fault| (source, fault))?;
    for (position, leg) in plan.legs.iter().enumerate() {
        let in_leg = |fault| (Some(leg.store.clone()), fault);
        if matches!(leg.work, LegWork::Entries(_)) {
            unshared(cx, &set, &leg.store).map_err(in_leg)?;
            Entries::of(cx, plan, id, position).map_err(in_leg)?.look(&set).await.map_err(in_leg)?;
        }
    }
    let kept = keep(cx, id, &set).and_then(|kept| {
        report.subjects = Some(kept);
        publish(cx, whole, &report)?;
        cx.state.update_run(id, RunState::Running, &report.to_json())
    });
    kept.map_err(|fault| (None, fault))?;
    Ok(Some(set))
}

fn unshared(cx: &Legs<'_>, set: &SubjectSet, store: &str) -> Result<(), Fault> {
    match &cx.ports[cx.position(store)?].store {
        LegStore::Entries(entries) => refuse_shared(set, store, &entries.distinct()),
        LegStore::Rows(_) => Err(kind_changed(store)),
    }
}

/// The values that were kept, and of the rows that stay those of now.
async fn again(
    cx: &mut Legs<'_>,
    agreed: &Agreed<'_>,
    (id, overrides): (&str, &Overrides),
) -> Result<SubjectSet, Fault> {
    let report = RunReport::of(&cx.state.run(id)?)?;
    let kept = report.subjects.ok_or_else(|| Fault::store(format!("run `{id}` kept no values")))?;
    of_source(cx, agreed.whole(), (overrides, Of::Kept(&kept, id))).await
}

/// Compares a store of rows with its part of the plan: schema, roots, limits, protected rows.
async fn look(cx: &mut Legs<'_>, whole: &WholePlan, name: &str) -> Result<(), Fault> {
    let leg = whole.leg(name).ok_or_else(|| kind_changed(name))?;
    let plan = leg.plan();
    let position = cx.position(name)?;
    let progress = cx.progress;
    let LegStore::Rows(store) = &mut cx.ports[position].store else { return Err(kind_changed(name)) };
    let opened = work::open(&mut **store, plan).await?;
    work::same_schema(&opened, plan)?;
    work::full_view(&opened.work)?;
    let roots = leg.root_sets(&opened.work.schema)?;
    let request = CloseRequest { roots: &roots, roots_per_tag: 1, check_versions: true, count_only: true };
    let closure = store.close(&opened.work, &request, progress).await?;
    refuse_stale(&closure)?;
    let (planned, limits) = (plan.rows_deleted(), &plan.policy.limits);
    let drift = closure.rows().abs_diff(planned);
    if drift > limits.max_drift_rows && wide(drift) > limits.max_drift_share * wide(planned) {
        let message =
            format!("{} rows of store `{name}` would leave, planned were {planned}", closure.rows());
        return Err(Fault::new(Category::Stale, message)
            .hint("make a new plan with `unseed plan` and look at it again"));
    }
    check_limits(&opened.work.schema, &plan.policy, &closure, &BTreeMap::new(), &[])?;
    refuse_conflicts(&store.conflicts(&opened.work, CONFLICTS_DESCRIBED_MAX).await?)
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
            crate::resume::execute(&mut leg.context(), &confirmed).await
        }
        None => {
            let confirmed = agreed.leg(name).ok_or_else(|| kind_changed(name))?;
            crate::purge::execute(&mut leg.context(), confirmed).await
        }
    };
    done.map(drop)
}

fn finish(cx: &mut Legs<'_>, id: &str) -> Result<RunReport, Fault> {
    let mut report = RunReport::of(&cx.state.run(id)?)?;
    report.finished_at = Some(cx.clock.now());
    report.count_legs();
    cx.state.update_run(id, RunState::Done, &report.to_json())?;
    cx.audit("purge.run", id, "done")?;
    Ok(report)
}

/// Puts the whole plan beside the archives of the legs.
fn publish(cx: &mut Legs<'_>, whole: &WholePlan, report: &RunReport) -> Result<(), Fault> {
    let plan = whole.plan();
    let source = &plan.stores[0];
    let manifest = Manifest {
        format: ARCHIVE_FORMAT.to_owned(),
        run: report.run.clone(),
        plan: plan.id.clone(),
        plan_digest: plan.digest.clone(),
        owner: cx.actor.to_owned(),
        created_at: report.started_at.clone(),
        server: Server {
            kind: source.kind.clone(),
            version: source.server_version.clone(),
            location: source.url.clone(),
            may_skip_checks: false,
            read_only: false,
        },
        schema_fingerprint: source.schema_fingerprint.clone(),
        recipients: report.recipients.clone(),
        batches: Vec::new(),
    };
    let text = serde_json::to_string_pretty(plan).expect("plain data can always be JSON");
    cx.archive.publish(&manifest, &[("plan.json".to_owned(), text)], &whole.files())
}
