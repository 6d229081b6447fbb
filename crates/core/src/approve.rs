//! Consent: the proof in the type that a person named what is about to happen.
//!
//! Invariants
//! - a [`ConfirmedPlan`] or [`ConfirmedRun`] exists only where the right id was given;
//! - a plan with conflicts cannot be confirmed.
//!
//! Not here: asking for the id (the command line), single use of plans (`port::state`).

use crate::fault::Fault;
use crate::keys::WholePlan;
use crate::plan::Plan;
use crate::run::Run;

/// A plan that a person agreed to. It is used up by executing it.
#[derive(Debug)]
pub struct ConfirmedPlan {
    whole: WholePlan,
}

impl ConfirmedPlan {
    /// The plan and its keys.
    pub fn whole(&self) -> &WholePlan {
        &self.whole
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.whole.plan()
    }

    /// Gives the plan up for execution.
    pub fn into_whole(self) -> WholePlan {
        self.whole
    }
}

/// A run, with its plan, that a person agreed to resume or to restore.
#[derive(Debug)]
pub struct ConfirmedRun {
    run: Run,
    whole: WholePlan,
}

impl ConfirmedRun {
    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The plan of the run.
    pub fn whole(&self) -> &WholePlan {
        &self.whole
    }
}

/// Agrees to a plan by its id.
///
/// # Errors
/// `Refused` when the id is another one, or when the plan has conflicts.
pub fn confirm(whole: WholePlan, typed_id: &str) -> Result<ConfirmedPlan, Fault> {
    let plan = whole.plan();
    if !plan.conflicts.is_empty() {
        let message = format!("plan `{}` reaches protected rows", plan.id);
        return Err(Fault::refused(message).hint("choose other roots and make a new plan"));
    }
    compare(typed_id, &plan.id, "plan")?;
    Ok(ConfirmedPlan { whole })
}

/// Agrees to resume or to restore a run by its id.
///
/// # Errors
/// `Refused` when the id is another one, or when the plan is not the one of the run.
pub fn confirm_run(run: Run, whole: WholePlan, typed_id: &str) -> Result<ConfirmedRun, Fault> {
    belongs(&run, &whole)?;
    compare(typed_id, &run.id, "run")?;
    Ok(ConfirmedRun { run, whole })
}

/// Checks that a plan is the one that a run executed.
///
/// # Errors
/// `Refused` when it is another one.
pub fn belongs(run: &Run, whole: &WholePlan) -> Result<(), Fault> {
    if run.plan_digest == whole.plan().digest {
        return Ok(());
    }
    let message = format!("plan `{}` is not the plan of run `{}`", whole.plan().id, run.id);
    Err(Fault::refused(message).hint(format!("give the plan `{}`", run.plan)))
}

fn compare(typed: &str, id: &str, what: &str) -> Result<(), Fault> {
    if typed.trim() == id {
        return Ok(());
    }
    let message = format!("`{}` is not the id of this {what}", typed.trim());
    Err(Fault::refused(message).hint(format!("to go on, confirm with `--confirm {id}`")))
}
