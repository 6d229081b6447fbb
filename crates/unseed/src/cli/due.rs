//! `unseed purge --due`: ends every quarantine whose time is over.
//!
//! Each run for itself: what is refused or cannot be reached does not keep the others from ending.
//!
//! Not here: what is looked at again (`engine::due`).

use super::{Address, Done, Env, Opened, consent, log, permit, run_and_plan};
use crate::table::Table;
use crate::ui;
use serde_json::{Value, json};
use unseed_core::fault::{Category, Fault};
use unseed_core::permit::Change;
use unseed_core::port::state::StateDb;
use unseed_core::run::{Run, RunState};
use unseed_engine::due::{self, Outcome};

/// What became of a run.
struct Ended {
    run: String,
    result: Result<Outcome, Fault>,
}

pub(super) async fn run(env: &Env<'_>, address: &Address) -> Result<Done, Fault> {
    let runs = match env.wire.existing_state()? {
        Some(mut state) => state.runs()?,
        None => Vec::new(),
    };
    let mut ended = Vec::new();
    // The oldest first.
    for run in runs.into_iter().rev().filter(|run| run.state == RunState::Quarantined) {
        if env.interrupt.is_requested() {
            return Err(Fault::new(Category::Interrupted, "interrupted")
                .state(format!("{} of the quarantines were looked at", ended.len()))
                .hint("run `unseed purge --due` again"));
        }
        let id = run.id.clone();
        ended.push(Ended { run: id, result: end(env, run, address).await });
    }
    let purged = ended.iter().any(|ended| matches!(ended.result, Ok(Outcome::Purged(_))));
    // Before anything is printed, since what cannot be signed is told instead.
    log::sign_work(env, "purge", purged)?;
    tell(env, &ended)
}

/// Ends one quarantine; why it was not is kept with the run.
async fn end(env: &Env<'_>, run: Run, address: &Address) -> Result<Outcome, Fault> {
    let id = run.id.clone();
    match try_to_end(env, run, address).await {
        Ok(outcome) => Ok(outcome),
        Err(fault) => {
            let (mut state, mut archive) = (env.wire.state()?, env.wire.archive(""));
            Err(super::retention::keeper(env, &mut state, &mut archive).refused(&id, fault))
        }
    }
}

async fn try_to_end(env: &Env<'_>, run: Run, address: &Address) -> Result<Outcome, Fault> {
    if let Some(outcome) = not_yet(env, &run)? {
        return Ok(outcome);
    }
    let (run, whole) = run_and_plan(env, &run.id)?;
    permit::check(env, whole.plan(), address, Change::Remove)?;
    let confirmed = consent::to_end(env, run, whole)?;
    let mut opened = Opened::for_plan(env, confirmed.whole(), address).await?;
    let keep_s = env.wire.config.archive.keep_s;
    due::execute(&mut opened.context(), &confirmed, keep_s).await
}

/// Tells without a connection whether there is nothing to do yet.
fn not_yet(env: &Env<'_>, run: &Run) -> Result<Option<Outcome>, Fault> {
    let mut state = env.wire.state()?;
    let mut archive = env.wire.archive("");
    let looked = super::retention::keeper(env, &mut state, &mut archive).look(run)?;
    Ok(due::not_yet(&looked))
}

fn tell(env: &Env<'_>, ended: &[Ended]) -> Result<Done, Fault> {
    let faults: Vec<(&String, &Fault)> =
        ended.iter().filter_map(|ended| Some((&ended.run, ended.result.as_ref().err()?))).collect();
    let worst = faults.iter().map(|(_, fault)| fault.category).max_by_key(|category| category.exit_code());
    if !env.ui.is_table() {
        let lines: Vec<Value> = ended.iter().map(line).collect();
        env.ui.json(&json!({"format": "unseed.due/1", "runs": lines}));
        return Ok(worst.map_or(Done::Success, Done::Told));
    }
    let mut table = Table::new(&["run", "", ""]);
    for Ended { run, result } in ended {
        if let Ok(outcome) = result {
            let (word, more) = words(outcome);
            table.row(&[run.clone(), word.to_owned(), more]);
        }
    }
    if ended.len() > faults.len() {
        env.ui.text(&table.to_string());
    } else if ended.is_empty() {
        env.ui.note("no run is in quarantine");
    }
    match faults.as_slice() {
        [] => Ok(Done::Success),
        [(run, fault)] => Err(about(run, fault)),
        several => {
            let number = several.len();
            let category = worst.unwrap_or(Category::Refused);
            let mut fault = Fault::new(category, format!("{number} quarantines could not be ended"))
                .state("their rows can still be put back, unless one of the lines above says otherwise")
                .hint("look at each with `unseed show RUN`, then run `unseed purge --due` again");
            for (run, one) in several {
                fault = fault.detail(format!("{run}: {}", one.message));
                fault.details.extend(one.details.iter().map(|line| format!("  {line}")));
            }
            Err(fault)
        }
    }
}

fn about(run: &str, fault: &Fault) -> Fault {
    let names = fault.message.contains(&format!("`{run}`"));
    let message = if names { fault.message.clone() } else { format!("run `{run}`: {}", fault.message) };
    Fault { message, ..fault.clone() }
}

fn words(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Purged(buried) => {
            let what = format!("{}, {} bytes", ui::counted(buried.files, "file"), ui::count(buried.bytes));
            ("gone for good", format!("{what} removed"))
        }
        Outcome::Waiting { until } => ("in quarantine", format!("until {until}")),
        Outcome::Held(hold) => ("held", format!("by {}: {}", hold.by, hold.reason)),
        Outcome::Busy => ("busy", "another process works on it".to_owned()),
        Outcome::Over => ("over", "it was put back or ended meanwhile".to_owned()),
    }
}

fn line(ended: &Ended) -> Value {
    let Ended { run, result } = ended;
    match result {
        Err(fault) => json!({"run": run, "outcome": "failed", "fault": fault.to_json()}),
        Ok(Outcome::Purged(buried)) => {
            json!({"run": run, "outcome": "purged", "files": buried.files, "bytes": buried.bytes})
        }
        Ok(Outcome::Waiting { until }) => json!({"run": run, "outcome": "waiting", "due_at": until}),
        Ok(Outcome::Held(hold)) => json!({"run": run, "outcome": "held", "held": hold}),
        Ok(Outcome::Busy) => json!({"run": run, "outcome": "busy"}),
        Ok(Outcome::Over) => json!({"run": run, "outcome": "over"}),
    }
}
