//! Consent: the proof in the type that whoever has to agree has agreed to what is about to happen.
//!
//! Who has to agree is decided by a [`Gate`]: one person who types an id, or several who sign. The gate takes
//! the stricter of what the configuration says now and what it said when the plan was made, so that a plan
//! which was made under approval cannot be executed under a laxer configuration.
//!
//! Invariants
//! - a [`ConfirmedPlan`] or [`ConfirmedRun`] exists only where the right id was given and no signatures are
//!   asked for, or where enough people have signed for this act on this plan;
//! - a plan with conflicts cannot be confirmed.
//!
//! Not here: asking for the id (the command line), single use of plans (`port::state`).

pub mod signers;
pub mod statement;
pub mod verdict;

use crate::config::Approvals;
use crate::fault::Fault;
use crate::keeping::{Keeping, span_text};
use crate::keys::WholePlan;
use crate::plan::Plan;
use crate::run::{Consent, Run};
use statement::Act;
use verdict::Verdict;

/// How many people have to agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gate {
    purge: u32,
    restore: u32,
}

impl Gate {
    /// The stricter of the configuration and the plan.
    pub fn of(approvals: &Approvals, plan: &Plan) -> Self {
        let planned = plan.policy.approvals;
        let purge = approvals.required.max(planned.purge);
        Self { purge, restore: approvals.for_restore().max(planned.restore) }
    }

    /// How many people have to agree to an act; with 0, one who types an id is enough.
    pub fn required(&self, act: &Act) -> u32 {
        match act {
            Act::Purge => self.purge,
            Act::Restore { .. } => self.restore,
        }
    }
}

/// What somebody gives as consent.
#[derive(Debug)]
pub enum Given<'a> {
    /// The short id of the plan or run.
    Id(&'a str),
    /// Approvals that were weighed, and an id if one was given beside them.
    Approvals(Verdict, Option<&'a str>),
}

/// A plan that was agreed to. It is used up by executing it.
#[derive(Debug)]
pub struct ConfirmedPlan {
    whole: WholePlan,
    consent: Consent,
    keeping: Keeping,
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

    /// Who agreed.
    pub fn consent(&self) -> &Consent {
        &self.consent
    }

    /// How long the rows can be put back.
    pub fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// Puts the rows into quarantine, where the plan says nothing of it.
    ///
    /// # Errors
    /// `Refused` when others have signed the plan, since what they signed removes nothing for good after a time;
    /// a usage fault when the plan says another time.
    pub fn quarantined(mut self, quarantine_s: u64) -> Result<Self, Fault> {
        let plan = &self.whole.plan().id;
        if self.whole.plan().has_legs() {
            let message = format!("plan `{plan}` is about several stores, which have no quarantine");
            return Err(Fault::usage(message).hint("leave `--quarantine` out"));
        }
        match (self.keeping.quarantine_s, &self.consent) {
            (Some(planned_s), _) if planned_s == quarantine_s => {}
            (Some(planned_s), _) => {
                let message = format!("plan `{plan}` says a quarantine of {}", span_text(planned_s));
                return Err(
                    Fault::usage(message).hint("leave `--quarantine` out, or make a new plan with it")
                );
            }
            (None, Consent::Signed { .. }) => {
                let message = format!("plan `{plan}` was approved without a quarantine");
                return Err(Fault::refused(message)
                    .hint("make a new plan with `unseed plan --quarantine`, and have that approved"));
            }
            (None, Consent::Id) => self.keeping.quarantine_s = Some(quarantine_s),
        }
        Ok(self)
    }

    /// The same agreement to one leg of the plan: who agreed to the whole agreed to its parts.
    pub fn leg(&self, store: &str) -> Option<Self> {
        let whole = self.whole.leg(store)?;
        Some(Self { whole, consent: self.consent.clone(), keeping: self.keeping })
    }

    /// Gives the plan up for execution.
    pub fn into_parts(self) -> (WholePlan, Consent) {
        (self.whole, self.consent)
    }
}

/// A run, with its plan, that was agreed to be resumed or restored.
#[derive(Debug)]
pub struct ConfirmedRun {
    run: Run,
    whole: WholePlan,
    act: Act,
    consent: Consent,
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

    /// Who agreed.
    pub fn consent(&self) -> &Consent {
        &self.consent
    }

    /// The same agreement to one leg of the run: who agreed to the whole agreed to its parts.
    pub fn leg(&self, store: &str, run: Run) -> Option<Self> {
        let whole = self.whole.leg(store)?;
        let act = match &self.act {
            Act::Purge => Act::Purge,
            Act::Restore { .. } => Act::Restore { run: run.id.clone() },
        };
        Some(Self { run, whole, act, consent: self.consent.clone() })
    }

    /// The same agreement to a leg that has not begun, where a purge goes on.
    pub fn new_leg(&self, store: &str) -> Option<ConfirmedPlan> {
        match self.act {
            Act::Restore { .. } => None,
            Act::Purge => {
                let whole = self.whole.leg(store)?;
                let keeping = whole.plan().policy.keeping;
                Some(ConfirmedPlan { whole, consent: self.consent.clone(), keeping })
            }
        }
    }

    /// Ends what was agreed to something else: consent to resume is none to restore.
    ///
    /// # Errors
    /// `Refused` when it is another act.
    pub fn is_for(&self, act: &Act) -> Result<(), Fault> {
        if self.act == *act {
            return Ok(());
        }
        let message = format!("run `{}`: agreed is `{}`, not `{}`", self.run.id, self.act.text(), act.text());
        Err(Fault::refused(message).hint("ask for consent to what is about to happen"))
    }
}

/// Agrees to a plan.
///
/// # Errors
/// `Refused` when the plan has conflicts, the id is another one, or not enough people have signed.
pub fn confirm(whole: WholePlan, gate: &Gate, given: Given<'_>) -> Result<ConfirmedPlan, Fault> {
    let plan = whole.plan();
    if !plan.conflicts.is_empty() {
        let message = format!("plan `{}` reaches protected rows", plan.id);
        return Err(Fault::refused(message).hint("choose other roots and make a new plan"));
    }
    let consent = agreed(gate, &Act::Purge, plan, given, (&plan.id, "plan"))?;
    let keeping = whole.plan().policy.keeping;
    Ok(ConfirmedPlan { whole, consent, keeping })
}

/// Agrees to going on with a run ([`Act::Purge`]) or to restoring it. Signatures do not replace the id here:
/// which run is meant is said by the person who acts.
///
/// # Errors
/// `Refused` when the id is another one, the plan is not the one of the run, or not enough people have signed.
pub fn confirm_run(
    run: Run,
    whole: WholePlan,
    gate: &Gate,
    act: Act,
    given: Given<'_>,
) -> Result<ConfirmedRun, Fault> {
    belongs(&run, &whole)?;
    if let Act::Restore { run: named } = &act {
        compare(named, &run.id, "run")?;
    }
    let consent = agreed(gate, &act, whole.plan(), given, (&run.id, "run"))?;
    Ok(ConfirmedRun { run, whole, act, consent })
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

fn agreed(
    gate: &Gate,
    act: &Act,
    plan: &Plan,
    given: Given<'_>,
    (id, what): (&str, &str),
) -> Result<Consent, Fault> {
    let required = gate.required(act);
    match given {
        Given::Id(typed) => {
            compare(typed, id, what)?;
            if required > 0 {
                return Err(missing(required, 0, act, plan));
            }
            Ok(Consent::Id)
        }
        Given::Approvals(verdict, typed) => {
            match typed {
                Some(typed) => compare(typed, id, what)?,
                None if required == 0 => compare("", id, what)?,
                None => {}
            }
            let same = verdict.digest() == plan.digest && verdict.act() == act;
            assert!(same, "a verdict is used for the act and the plan that it was asked about");
            if verdict.required() < required || !verdict.is_enough() {
                return Err(unapproved(&verdict, required, plan));
            }
            Ok(Consent::Signed { required, approvals: verdict.into_counted() })
        }
    }
}

fn missing(required: u32, counted: usize, act: &Act, plan: &Plan) -> Fault {
    let (what, object) = match act {
        Act::Purge => (format!("plan `{}`", plan.id), "PLAN.json".to_owned()),
        Act::Restore { run } => (format!("restoring run `{run}`"), run.clone()),
    };
    let have = match counted {
        0 => "none".to_owned(),
        counted => format!("{counted}"),
    };
    let people = if required == 1 { "person" } else { "people" };
    Fault::refused(format!("{what} needs the approval of {required} {people} and has {have} that counts"))
        .hint(format!("have it approved with `unseed approve {object}`; an id is not enough here"))
}

fn unapproved(verdict: &Verdict, required: u32, plan: &Plan) -> Fault {
    let mut fault = missing(required, verdict.counted().len(), verdict.act(), plan);
    for counted in verdict.counted() {
        fault = fault.detail(format!("counts: {} ({})", counted.approver, counted.id));
    }
    for rejected in verdict.rejected() {
        fault = fault.detail(format!("does not count: {}: {}", rejected.source, rejected.why));
    }
    fault
}

fn compare(typed: &str, id: &str, what: &str) -> Result<(), Fault> {
    if typed.trim() == id {
        return Ok(());
    }
    let message = format!("`{}` is not the id of this {what}", typed.trim());
    Err(Fault::refused(message).hint(format!("to go on, confirm with `--confirm {id}`")))
}
