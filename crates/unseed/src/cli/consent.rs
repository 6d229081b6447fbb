//! Consent: approvals where the configuration or the plan asks for them, else a person who types the short id of
//! what is about to happen, or gives it as `--confirm`.
//!
//! Invariants
//! - without a terminal and without `--confirm` the answer is no;
//! - where approvals are asked for, an id is not enough.
//!
//! Not here: whether consent is enough (`core::approve`), signing (`approve`).

use super::{Env, approvals};
use clap::Args;
use std::path::{Path, PathBuf};
use unseed_core::approve::statement::{self, Act as Agreed};
use unseed_core::approve::verdict::Verdict;
use unseed_core::approve::{self, ConfirmedPlan, ConfirmedRun, Gate, Given};
use unseed_core::fault::Fault;
use unseed_core::keys::WholePlan;
use unseed_core::run::{Consent as Kept, Run};

/// The consent that a person gives along.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Consent {
    /// Go ahead without asking: the short id of the plan or run
    #[arg(long, value_name = "ID")]
    pub(crate) confirm: Option<String>,
    /// An approval, beside those that lie with the plan or in the state; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) approval: Vec<PathBuf>,
}

/// What is about to happen.
pub(crate) struct Act<'a> {
    /// e.g. `purge`.
    pub(crate) verb: &'a str,
    /// e.g. `plan`.
    pub(crate) object: &'a str,
    pub(crate) id: &'a str,
    /// A few lines for the person who is asked.
    pub(crate) summary: &'a str,
    /// The command with which to go ahead, without `--confirm`.
    pub(crate) command: &'a str,
}

/// Consent to purge a plan that lies at `path`.
///
/// # Errors
/// `Refused` when whoever has to agree has not.
pub(crate) fn to_purge(
    env: &Env<'_>,
    whole: WholePlan,
    path: &Path,
    consent: &Consent,
    act: &Act<'_>,
) -> Result<ConfirmedPlan, Fault> {
    let gate = Gate::of(&env.wire.config.approval, whole.plan());
    let required = gate.required(&Agreed::Purge);
    if required == 0 || !whole.plan().conflicts.is_empty() {
        let id = obtain(env, consent, act)?;
        return approve::confirm(whole, &gate, Given::Id(&id));
    }
    let found = approvals::with_plan(env, whole.plan(), path, &consent.approval)?;
    let asked = approvals::Asked {
        plan: whole.plan(),
        act: Agreed::Purge,
        run: None,
        required,
        operator: Some(&env.wire.actor),
    };
    let verdict = approvals::weigh(env, &asked, &found, env.wire.now_s())?;
    approve::confirm(whole, &gate, Given::Approvals(verdict, consent.confirm.as_deref()))
}

/// Consent to go on with a run, or to restore it. The approvals of a run that goes on are those it began with:
/// they had to count when it began, and nothing may have been taken back since.
///
/// # Errors
/// `Refused` when whoever has to agree has not.
pub(crate) fn to_run(
    env: &Env<'_>,
    (run, whole): (Run, WholePlan),
    agreed: Agreed,
    consent: &Consent,
    act: &Act<'_>,
) -> Result<ConfirmedRun, Fault> {
    let gate = Gate::of(&env.wire.config.approval, whole.plan());
    let required = gate.required(&agreed);
    if required == 0 {
        let id = obtain(env, consent, act)?;
        return approve::confirm_run(run, whole, &gate, agreed, Given::Id(&id));
    }
    let asked = approvals::Asked {
        plan: whole.plan(),
        act: agreed.clone(),
        run: Some(&run),
        required,
        operator: Some(&env.wire.actor),
    };
    let verdict = of_run(env, &asked, &run, consent)?;
    // What is missing is told before anybody is asked for an id.
    let id = if verdict.is_enough() { Some(obtain(env, consent, act)?) } else { consent.confirm.clone() };
    approve::confirm_run(run, whole, &gate, agreed, Given::Approvals(verdict, id.as_deref()))
}

fn of_run(
    env: &Env<'_>,
    asked: &approvals::Asked<'_>,
    run: &Run,
    consent: &Consent,
) -> Result<Verdict, Fault> {
    let mut found = approvals::with_run(env, run, &consent.approval)?;
    if let (Agreed::Purge, Kept::Signed { approvals: kept, .. }) = (&asked.act, &run.consent) {
        found.extend(kept.iter().map(|counted| approvals::kept(&counted.id, counted.approval.clone())));
    }
    let now_s = env.wire.now_s();
    let began_s = match &asked.act {
        Agreed::Purge => statement::seconds_of_clock(&run.started_at),
        Agreed::Restore { .. } => None,
    };
    if let Some(began_s) = began_s {
        let then = approvals::weigh(env, asked, &found, began_s)?;
        if then.is_enough() {
            return Ok(then);
        }
    }
    approvals::weigh(env, asked, &found, now_s)
}

/// Consent to end the quarantine of a run: the approvals that its purge began with have to count still. Nobody is
/// asked; which run is meant was said when it began.
///
/// # Errors
/// `Refused` when an approval was taken back since.
pub(crate) fn to_end(env: &Env<'_>, run: Run, whole: WholePlan) -> Result<ConfirmedRun, Fault> {
    let gate = Gate::of(&env.wire.config.approval, whole.plan());
    let (id, required) = (run.id.clone(), gate.required(&Agreed::Purge));
    if required == 0 {
        return approve::confirm_run(run, whole, &gate, Agreed::Purge, Given::Id(&id));
    }
    let asked = approvals::Asked {
        plan: whole.plan(),
        act: Agreed::Purge,
        run: Some(&run),
        required,
        operator: Some(&env.wire.actor),
    };
    let verdict = of_run(env, &asked, &run, &Consent::default())?;
    approve::confirm_run(run, whole, &gate, Agreed::Purge, Given::Approvals(verdict, Some(&id)))
}

/// The id that was given, typed or as an option.
pub(super) fn obtain(env: &Env<'_>, consent: &Consent, act: &Act<'_>) -> Result<String, Fault> {
    if let Some(id) = &consent.confirm {
        return Ok(id.clone());
    }
    let Act { verb, object, id, summary, command } = act;
    env.ui.note(summary);
    let question = format!("to {verb} {object} {id}, type its id:");
    env.ui.ask(&question).filter(|answer| !answer.is_empty()).ok_or_else(|| {
        Fault::refused(format!("nobody confirmed to {verb} {object} `{id}`"))
            .hint(format!("read `unseed show`, then run `{command} --confirm {id}`"))
    })
}
