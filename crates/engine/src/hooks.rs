//! Hooks of a plan around a purge or a restore: each is audited before and after, and kept in the report.
//!
//! Invariants
//! - a `before` hook that fails ends the run before anything is changed; it can be resumed;
//! - a hook that fails afterwards is told, and changes nothing about what was done;
//! - a `before` hook that succeeded runs again on resume only where it says so.
//!
//! Not here: running commands (`io::command`), which hooks a plan has (`core::hook`).

use crate::context::Live;
use crate::interrupt::Interrupt;
use crate::report::RunReport;
use unseed_core::fault::{Category, Fault};
use unseed_core::hook::{At, Hook, HookFigures, Phase};
use unseed_core::plan::Plan;
use unseed_core::port::clock::Clock;
use unseed_core::port::hook::{About, Ended};
use unseed_core::port::progress::Progress;
use unseed_core::port::state::{AuditEntry, StateDb};
use unseed_core::run::RunState;
use unseed_core::throttle::spelled;

/// The run that hooks run around, over one store or several; no batch is at work meanwhile.
pub(crate) struct Around<'a> {
    pub(crate) run: &'a str,
    pub(crate) plan: &'a Plan,
    /// As it was kept last.
    pub(crate) report: &'a mut RunReport,
    pub(crate) state: RunState,
    pub(crate) db: &'a mut dyn StateDb,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) actor: &'a str,
    pub(crate) live: &'a mut Live,
}

impl Around<'_> {
    fn audit(&mut self, object: &str, outcome: &str) -> Result<(), Fault> {
        let now = self.clock.now();
        self.db.audit(&AuditEntry::new(now, self.actor, "hook.run", object, outcome))
    }
}

/// Runs what comes before a phase.
///
/// # Errors
/// The first hook that fails; `Interrupted` when a person did not want to wait for it.
pub(crate) async fn before(around: &mut Around<'_>, phase: Phase) -> Result<(), Fault> {
    for hook in of(around, phase, At::Before) {
        let done = |known: &HookFigures| known.name == hook.name && known.of == phase && known.succeeded();
        if phase == Phase::Purge && !hook.on_resume && around.report.hooks.iter().any(done) {
            continue;
        }
        let (ended, figures) = one(around, &hook).await?;
        if ended == Ended::Cancelled {
            return Err(Fault::new(Category::Interrupted, format!("hook `{}` was cancelled", hook.name)));
        }
        if !figures.succeeded() {
            return Err(failed(&figures).hint("mend the hook"));
        }
    }
    Ok(())
}

/// Runs what comes after a phase that is done.
pub(crate) async fn after(around: &mut Around<'_>, phase: Phase) {
    for hook in of(around, phase, At::After) {
        if let Err(figures) = told(around, &hook).await {
            around.live.failed_hooks.push(*figures);
        }
    }
}

/// Runs what comes after a phase that ended early; what fails is added to its fault.
pub(crate) async fn on_stop(around: &mut Around<'_>, phase: Phase, mut fault: Fault) -> Fault {
    for hook in of(around, phase, At::OnStop) {
        if let Err(figures) = told(around, &hook).await {
            fault = fault.detail(failed(&figures).message);
        }
    }
    fault
}

/// What a person is told of hooks that failed after everything was done.
pub fn fault(run: &str, done: &str, failures: &[HookFigures]) -> Option<Fault> {
    let first = failures.first()?;
    let mut fault = Fault::new(Category::Findings, format!("{done}, but {}", failed(first).message))
        .state(format!("run `{run}` is complete; the hook changed nothing about that"))
        .hint(format!("look at `{}`, and do by hand what the hook should have done", first.log));
    fault.details = failures.iter().skip(1).map(|figures| failed(figures).message).collect();
    Some(fault)
}

fn failed(figures: &HookFigures) -> Fault {
    let HookFigures { name, outcome, log, .. } = figures;
    let place = if log.is_empty() { String::new() } else { format!(" (its output is in `{log}`)") };
    Fault::store(format!("hook `{name}` {outcome}{place}"))
}

fn of(around: &Around<'_>, phase: Phase, at: At) -> Vec<Hook> {
    if around.live.skip_hooks {
        return Vec::new();
    }
    let hooks = around.plan.policy.hooks.iter();
    hooks.filter(|hook| hook.of == phase && hook.at == at).cloned().collect()
}

/// Runs a hook whose failure ends nothing.
async fn told(around: &mut Around<'_>, hook: &Hook) -> Result<(), Box<HookFigures>> {
    match one(around, hook).await {
        Ok((_, figures)) if figures.succeeded() => Ok(()),
        Ok((_, figures)) => Err(Box::new(figures)),
        Err(fault) => Err(Box::new(HookFigures {
            outcome: format!("could not be run: {}", fault.message),
            ..begun(around, hook)
        })),
    }
}

fn begun(around: &Around<'_>, hook: &Hook) -> HookFigures {
    HookFigures {
        name: hook.name.clone(),
        at: hook.at,
        of: hook.of,
        started_at: around.clock.now(),
        took_ms: 0,
        exit_code: None,
        outcome: String::new(),
        log: String::new(),
    }
}

async fn one(around: &mut Around<'_>, hook: &Hook) -> Result<(Ended, HookFigures), Fault> {
    let object = format!("{}/{}", around.run, hook.name);
    let place = format!("{} {}", hook.at.as_str(), hook.of.as_str());
    around.audit(&object, &format!("{place}, started"))?;
    let mut figures = begun(around, hook);
    around.progress.note(&format!("running hook {hook}"));
    let stores: Vec<String> = around.plan.stores.iter().map(|store| store.store.clone()).collect();
    let begun_ms = around.clock.monotonic_ms();
    let Some(commands) = around.live.commands.as_mut() else {
        return Err(Fault::refused("the plan has hooks, and nothing here can run them"));
    };
    let about =
        About { run: around.run, plan: &around.plan.id, stores: &stores, state: around.state.as_str() };
    let interrupt = around.interrupt;
    // What cleans up runs to its end even though somebody wants to stop.
    let cancelled = || hook.at == At::Before && interrupt.is_requested();
    let (ended, log) = commands.run(hook, &about, &cancelled).await?;
    figures.took_ms = around.clock.monotonic_ms().saturating_sub(begun_ms);
    figures.log = log;
    (figures.exit_code, figures.outcome) = match &ended {
        Ended::Exited(0) => (Some(0), "succeeded".to_owned()),
        Ended::Exited(code) => (Some(*code), format!("exited with {code}")),
        Ended::Killed => (None, "was ended by a signal".to_owned()),
        Ended::TimedOut => (None, format!("took longer than {} and was ended", spelled(hook.timeout_ms))),
        Ended::Cancelled => (None, "was cancelled".to_owned()),
        Ended::NotStarted(why) => (None, format!("could not be started: {why}")),
    };
    around.audit(&object, &format!("{place}, {}", figures.outcome))?;
    around.report.hooks.push(figures.clone());
    around.db.update_run(around.run, around.state, &around.report.to_json())?;
    Ok((ended, figures))
}
