//! `unseed archive`: what is kept of the rows that left, and whether it is whole.
//!
//! Not here: looking at files (`io::archive`), comparing with the journal (`engine::check`).

use super::keys::UnlockArgs;
use super::{Done, Env};
use crate::table::Table;
use crate::ui::{self, Tone};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use unseed_core::fault::Fault;
use unseed_core::port::state::StateDb;
use unseed_engine::check::{self, ArchiveCheck};
use unseed_io::state::SqliteState;

/// Check the archives of this state folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed archive check r-19
  unseed archive check --all --identity key.txt")]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    command: ArchiveCommand,
}

#[derive(Debug, Subcommand)]
enum ArchiveCommand {
    Check(CheckArgs),
}

/// Check that an archive is whole: files, sizes, hashes, counts, and every row where it can be read
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed archive check r-19                       an encrypted one without its rows
  unseed archive check r-19 --identity key.txt    decrypts and reads every section
  unseed archive check --all --format json | jq '.archives[] | select(.ok | not)'

Needs no store. Exits with 1 when something is wrong, and lists all of it.")]
struct CheckArgs {
    /// The run, as in `unseed runs`
    #[arg(value_name = "RUN", required_unless_present = "all")]
    run: Option<String>,
    /// Every run that has an archive
    #[arg(long, conflicts_with = "run")]
    all: bool,
    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(super) async fn run(env: &Env<'_>, args: &ArchiveArgs) -> Result<Done, Fault> {
    match &args.command {
        ArchiveCommand::Check(args) => check(env, args),
    }
}

fn check(env: &Env<'_>, args: &CheckArgs) -> Result<Done, Fault> {
    let mut state = existing(env)?;
    let mut archive = args.unlock.any_archive(env)?;
    let runs = match &args.run {
        Some(run) => vec![state.run(run)?.id],
        None => with_archive(&mut state)?,
    };
    let mut checks = Vec::new();
    for run in &runs {
        env.ui.progress().note(&format!("checking the archive of run {run}"));
        checks.push(check::execute(&mut state, &mut archive, run)?);
    }
    let fault = check::fault(&checks);
    if !env.ui.is_table() {
        let ok = fault.is_none();
        let archives: Vec<Value> = checks.iter().map(line).collect();
        env.ui.json(&json!({"format": "unseed.archive-check/1", "ok": ok, "archives": archives}));
        return Ok(if ok { Done::Success } else { Done::Findings });
    }
    env.ui.text(&text(env, &checks));
    fault.map_or(Ok(Done::Success), Err)
}

fn existing(env: &Env<'_>) -> Result<SqliteState, Fault> {
    env.wire.existing_state()?.ok_or_else(|| {
        Fault::usage(format!("there are no runs in `{}`", env.wire.state_folder.display()))
            .hint("name the right folder with `--state DIR`")
    })
}

/// Runs of which rows left.
fn with_archive(state: &mut SqliteState) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    for run in state.runs()? {
        if !check::claimed(state, &run.id)?.is_empty() {
            found.push(run.id);
        }
    }
    Ok(found)
}

fn line(check: &ArchiveCheck) -> Value {
    let mut value = serde_json::to_value(check).unwrap_or_default();
    value["ok"] = check.is_clean().into();
    value["inside"] = inside(check).into();
    value
}

/// Whether every section was read to its last row.
fn inside(check: &ArchiveCheck) -> bool {
    check.survey.sections_read == check.survey.files
}

fn text(env: &Env<'_>, checks: &[ArchiveCheck]) -> String {
    if checks.is_empty() {
        return "no run has an archive".to_owned();
    }
    let headings = ["run", "batches", "files", "bytes", "rows", "encrypted to", "rows read", ""];
    let mut table = Table::new(&headings).right(&[1, 2, 3, 4]);
    for check in checks {
        let survey = &check.survey;
        let (word, tone) = if check.is_clean() { ("ok", Tone::Good) } else { ("not ok", Tone::Bad) };
        table.row(&[
            check.run.clone(),
            ui::count(check.batches),
            ui::count(survey.files),
            ui::count(survey.bytes),
            ui::count(survey.rows),
            keys(&survey.recipients),
            if inside(check) { "all" } else { "no" }.to_owned(),
            env.ui.painted(word, tone),
        ]);
    }
    let unread = checks.iter().any(|check| !inside(check) && check.is_clean());
    let note =
        if unread { "\nrows were not read without the private key: give `--identity FILE`\n" } else { "" };
    format!("{table}{note}")
}

/// Public keys, short enough for a table.
fn keys(recipients: &[String]) -> String {
    const SHOWN: usize = 20;
    let short = |key: &String| match key.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.clone(),
    };
    if recipients.is_empty() {
        "–".to_owned()
    } else {
        recipients.iter().map(short).collect::<Vec<_>>().join(", ")
    }
}
