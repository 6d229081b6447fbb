//! `unseed runs`: the history, newest first.

use super::{Done, Env};
use crate::table::Table;
use crate::ui::{self, Tone};
use clap::Args;
use serde_json::{Value, json};
use unseed_core::fault::Fault;
use unseed_core::port::state::StateDb;
use unseed_core::run::{Run, RunState};

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
            RunState::Running | RunState::Stopped => Tone::Warning,
            RunState::Restored => Tone::Plain,
            RunState::Failed => Tone::Bad,
        };
        let started = run.started_at.get(..19).unwrap_or(&run.started_at).replace('T', " ");
        table.row(&[
            run.id.clone(),
            run.plan.clone(),
            env.ui.painted(run.state.as_str(), tone),
            started,
            format!("{} of {}", figure(run, "batches", "done"), figure(run, "batches", "total")),
            ui::count(figure(run, "rows", "deleted")),
            ui::count(figure(run, "rows", "detached")),
            run.actor.clone(),
        ]);
    }
    env.ui.text(&table.to_string());
    Ok(Done::Success)
}

fn line(run: &Run) -> Value {
    json!({
        "id": run.id, "plan": run.plan, "state": run.state, "started_at": run.started_at,
        "finished_at": run.finished_at, "actor": run.actor,
        "batches": {"done": figure(run, "batches", "done"), "total": figure(run, "batches", "total")},
        "rows": {"deleted": figure(run, "rows", "deleted"), "detached": figure(run, "rows", "detached")},
    })
}

/// A figure of the run's report; runs of other versions may lack it.
fn figure(run: &Run, group: &str, name: &str) -> u64 {
    run.report.get(group).and_then(|group| group.get(name)).and_then(Value::as_u64).unwrap_or(0)
}
