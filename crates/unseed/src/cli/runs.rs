//! `unseed runs`: the history, newest first.

use super::{Done, Env};
use crate::table::Table;
use crate::ui::{self, Tone};
use clap::Args;
use serde_json::{Value, json};
use unseed_core::fault::Fault;
use unseed_core::port::state::StateDb;
use unseed_core::run::{Run, RunState};
use unseed_engine::report::{IndexFigures, RunReport};

/// List the runs that the state database knows, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed runs
  unseed runs --state postgres://me@state.example/ops    where the state is on a server
  unseed runs --format json | jq '.runs[0].state'")]
pub(crate) struct RunsArgs {}

pub(super) fn run(env: &Env<'_>, _args: &RunsArgs) -> Result<Done, Fault> {
    let runs = match env.wire.existing_state()? {
        Some(mut state) => state.runs()?,
        None => Vec::new(),
    };
    if !env.ui.is_table() {
        let lines: Vec<Value> = runs.iter().map(line).collect();
        env.ui.json(&json!({"format": "unseed.runs/1", "runs": lines}));
        return Ok(Done::Success);
    }
    if runs.is_empty() {
        env.ui.text(&format!("no runs yet in `{}`", env.wire.state_address()));
        return Ok(Done::Success);
    }
    let mut table = Table::new(&["run", "plan", "state", "started", "batches", "deleted", "detached", "by"]);
    for run in &runs {
        let tone = match run.state {
            RunState::Done | RunState::Verified => Tone::Good,
            RunState::Running | RunState::Stopped | RunState::Quarantined => Tone::Warning,
            RunState::Restored => Tone::Plain,
            RunState::Failed => Tone::Bad,
        };
        let started = run.started_at.get(..19).unwrap_or(&run.started_at).replace('T', " ");
        table.row(&[
            run.id.clone(),
            run.plan.clone(),
            format!("{}{}", env.ui.painted(run.state.as_str(), tone), until(run)),
            started,
            format!("{} of {}", figure(run, "batches", "done"), figure(run, "batches", "total")),
            ui::count(figure(run, "rows", "deleted")),
            ui::count(figure(run, "rows", "detached")),
            run.actor.clone(),
        ]);
    }
    let mut text = table.to_string();
    for (run, left) in runs.iter().map(|run| (run, indexes_left(run))).filter(|(_, left)| !left.is_empty()) {
        let names = left.join(", ");
        text.push_str(&format!(
            "\nindexes of run {} that may still be there: {names}; `unseed resume {}` or a later purge drops them",
            run.id, run.id
        ));
    }
    env.ui.text(&text);
    Ok(Done::Success)
}

/// The day on which a quarantine ends, for people.
fn until(run: &Run) -> String {
    let due = due_at(run).filter(|_| run.state == RunState::Quarantined);
    due.and_then(|due| due.get(..10)).map(|day| format!(" until {day}")).unwrap_or_default()
}

fn due_at(run: &Run) -> Option<&str> {
    run.report.pointer("/kept/quarantine/until").and_then(Value::as_str)
}

fn line(run: &Run) -> Value {
    let mut line = json!({
        "id": run.id, "plan": run.plan, "state": run.state, "started_at": run.started_at,
        "finished_at": run.finished_at, "actor": run.actor,
        "batches": {"done": figure(run, "batches", "done"), "total": figure(run, "batches", "total")},
        "rows": {"deleted": figure(run, "rows", "deleted"), "detached": figure(run, "rows", "detached")},
        "indexes_left": indexes_left(run),
    });
    let told = [("due_at", due_at(run)), ("expired_at", expired_at(run))];
    for (name, value) in told.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        line[name] = value.into();
    }
    if let Some(reason) = run.report.pointer("/kept/hold/reason") {
        line["held"] = reason.clone();
    }
    line
}

fn expired_at(run: &Run) -> Option<&str> {
    run.report.pointer("/kept/expired/at").and_then(Value::as_str)
}

/// Indexes that were built for a run and, as far as its report knows, not dropped.
fn indexes_left(run: &Run) -> Vec<String> {
    let Ok(report) = RunReport::of(run) else { return Vec::new() };
    report.indexes.into_iter().filter(IndexFigures::is_left).map(|figures| figures.name).collect()
}

/// A figure of the run's report; runs of other versions may lack it.
fn figure(run: &Run, group: &str, name: &str) -> u64 {
    run.report.get(group).and_then(|group| group.get(name)).and_then(Value::as_u64).unwrap_or(0)
}
