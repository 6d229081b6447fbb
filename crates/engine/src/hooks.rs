//! Hooks of a plan around a purge or a restore: each is audited before and after, and kept in the report.
//!
//! Invariants
//! - a `before` hook that fails ends the run before anything is changed; it can be resumed;
//! - a hook that fails afterwards is told, and changes nothing about what was done;
//! - a `before` hook that succeeded runs again on resume only where it says so.
//!
//! Not here: running commands (`io::command`), which hooks a plan has (`core::hook`).

use crate::session::Session;
use unseed_core::fault::{Category, Fault};
use unseed_core::hook::{At, Hook, HookFigures, Phase};
use unseed_core::port::hook::{About, Ended};
use unseed_core::throttle::spelled;

/// Runs what comes before a phase.
///
/// # Errors
/// The first hook that fails; `Interrupted` when a person did not want to wait for it.
pub(crate) async fn before(session: &mut Session<'_, '_>, phase: Phase) -> Result<(), Fault> {
    for hook in of(session, phase, At::Before) {
        let done = |known: &HookFigures| known.name == hook.name && known.of == phase && known.succeeded();
        if phase == Phase::Purge && !hook.on_resume && session.report.hooks.iter().any(done) {
            continue;
        }
        let (ended, figures) = one(session, &hook).await?;
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
pub(crate) async fn after(session: &mut Session<'_, '_>, phase: Phase) {
    for hook in of(session, phase, At::After) {
        if let Err(figures) = told(session, &hook).await {
            session.cx.live.failed_hooks.push(*figures);
        }
    }
}

/// Runs what comes after a phase that ended early; what fails is added to its fault.
pub(crate) async fn on_stop(session: &mut Session<'_, '_>, phase: Phase, mut fault: Fault) -> Fault {
    for hook in of(session, phase, At::OnStop) {
        if let Err(figures) = told(session, &hook).await {
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

fn of(session: &Session<'_, '_>, phase: Phase, at: At) -> Vec<Hook> {
    if session.cx.live.skip_hooks {
        return Vec::new();
    }
    let hooks = session.whole.plan().policy.hooks.iter();
    hooks.filter(|hook| hook.of == phase && hook.at == at).cloned().collect()
}

/// Runs a hook whose failure ends nothing.
async fn told(session: &mut Session<'_, '_>, hook: &Hook) -> Result<(), Box<HookFigures>> {
    match one(session, hook).await {
        Ok((_, figures)) if figures.succeeded() => Ok(()),
        Ok((_, figures)) => Err(Box::new(figures)),
        Err(fault) => Err(Box::new(HookFigures {
            outcome: format!("could not be run: {}", fault.message),
            ..begun(session, hook)
        })),
    }
}

fn begun(session: &Session<'_, '_>, hook: &Hook) -> HookFigures {
    HookFigures {
        name: hook.name.clone(),
        at: hook.at,
        of: hook.of,
        started_at: session.cx.clock.now(),
        took_ms: 0,
        exit_code: None,
        outcome: String::new(),
        log: String::new(),
    }
}

async fn one(session: &mut Session<'_, '_>, hook: &Hook) -> Result<(Ended, HookFigures), Fault> {
    let object = format!("{}/{}", session.run, hook.name);
    let place = format!("{} {}", hook.at.as_str(), hook.of.as_str());
    session.audit("hook.run", &object, &format!("{place}, started"))?;
    let mut figures = begun(session, hook);
    session.cx.progress.note(&format!("running hook {hook}"));
    let stores: Vec<String> = session.whole.plan().stores.iter().map(|store| store.store.clone()).collect();
    let begun_ms = session.cx.clock.monotonic_ms();
    let Some(commands) = session.cx.live.commands.as_mut() else {
        return Err(Fault::refused("the plan has hooks, and nothing here can run them"));
    };
    let about = About {
        run: &session.run,
        plan: &session.whole.plan().id,
        stores: &stores,
        state: session.state.as_str(),
    };
    let interrupt = session.cx.interrupt;
    // What cleans up runs to its end even though somebody wants to stop.
    let cancelled = || hook.at == At::Before && interrupt.is_requested();
    let (ended, log) = commands.run(hook, &about, &cancelled).await?;
    figures.took_ms = session.cx.clock.monotonic_ms().saturating_sub(begun_ms);
    figures.log = log;
    (figures.exit_code, figures.outcome) = match &ended {
        Ended::Exited(0) => (Some(0), "succeeded".to_owned()),
        Ended::Exited(code) => (Some(*code), format!("exited with {code}")),
        Ended::Killed => (None, "was ended by a signal".to_owned()),
        Ended::TimedOut => (None, format!("took longer than {} and was ended", spelled(hook.timeout_ms))),
        Ended::Cancelled => (None, "was cancelled".to_owned()),
        Ended::NotStarted(why) => (None, format!("could not be started: {why}")),
    };
    session.audit("hook.run", &object, &format!("{place}, {}", figures.outcome))?;
    session.report.hooks.push(figures.clone());
    session.keep(session.state)?;
    Ok((ended, figures))
}
