//! `unseed archive`: what is kept of the rows that left, and whether it is whole.
//!
//! Not here: looking at files (`io::archive`), comparing with the journal (`engine::check`).

use super::keys::UnlockArgs;
use super::{Done, Env, run_and_plan};
use crate::table::Table;
use crate::ui::{self, Tone};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::Path;
use unseed_core::archive::Problem;
use unseed_core::fault::{Category, Fault};
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::state::StateDb;
use unseed_engine::check::{self, ArchiveCheck};
use unseed_io::archive::FolderArchive;
use unseed_io::state::SqliteState;
use unseed_io::store::scratch::Rehearsed;

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
  unseed archive check r-19 --restore-into postgres://me@localhost/scratch
  unseed archive check --all --format json | jq '.archives[] | select(.ok | not)'

Needs no connection to the store. Exits with 1 when something is wrong, and lists all of it.")]
struct CheckArgs {
    /// The run, as in `unseed runs`
    #[arg(value_name = "RUN", required_unless_present = "all")]
    run: Option<String>,
    /// Every run that has an archive
    #[arg(long, conflicts_with = "run")]
    all: bool,
    #[command(flatten)]
    unlock: UnlockArgs,
    /// Also load the rows into a scratch database and compare: `sqlite` for a temporary file, or the URL of an empty
    /// PostgreSQL database
    #[arg(long, value_name = "URL", conflicts_with = "all")]
    restore_into: Option<String>,
}

pub(super) async fn run(env: &Env<'_>, args: &ArchiveArgs) -> Result<Done, Fault> {
    match &args.command {
        ArchiveCommand::Check(args) => check(env, args).await,
    }
}

async fn check(env: &Env<'_>, args: &CheckArgs) -> Result<Done, Fault> {
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
    let mut rehearsed = None;
    if let (Some(url), Some(first)) = (&args.restore_into, checks.first_mut().filter(|c| c.is_clean())) {
        rehearsed = Some(rehearse(env, (&mut state, &mut archive), first, url).await?);
    }
    let fault = check::fault(&checks);
    if !env.ui.is_table() {
        let ok = fault.is_none();
        let archives: Vec<Value> = checks.iter().map(line).collect();
        let mut document = json!({"format": "unseed.archive-check/1", "ok": ok, "archives": archives});
        if let Some(rehearsed) = rehearsed {
            document["restored"] = json!(rehearsed);
        }
        env.ui.json(&document);
        return Ok(if ok { Done::Success } else { Done::Findings });
    }
    env.ui.text(&text(env, &checks));
    if let Some(rehearsed) = rehearsed {
        let rows = rehearsed.iter().map(|section| section.restored).sum();
        let good = rehearsed.iter().filter(|section| section.is_good()).count();
        env.ui.text(&format!(
            "restored into the scratch database: {}, {good} of {} sections byte for byte as archived",
            ui::rows(rows),
            rehearsed.len()
        ));
    }
    fault.map_or(Ok(Done::Success), Err)
}

/// Loads the rows into a scratch database; sections that differ become problems of the check.
async fn rehearse(
    env: &Env<'_>,
    (state, archive): (&mut SqliteState, &mut FolderArchive),
    check: &mut ArchiveCheck,
    url: &str,
) -> Result<Vec<Rehearsed>, Fault> {
    let (_, whole) = run_and_plan(env, &check.run)?;
    let kind = whole.plan().stores.first().map_or("", |store| store.kind.as_str());
    let fits = match kind {
        "sqlite" => url == "sqlite",
        "postgresql" => url != "sqlite",
        _ => false,
    };
    if !fits {
        return Err(Fault::usage(format!("the archive of run `{}` is of {kind}", check.run)).hint(
            "give `sqlite` for archives of SQLite, and the URL of an empty PostgreSQL database for those of PostgreSQL; others cannot be loaded yet",
        ));
    }
    let path = Path::new(&check.archive).join("schema.json");
    let schema = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let schema = schema.ok_or_else(|| {
        Fault::new(Category::Archive, format!("archive file `{}` is missing or damaged", path.display()))
            .hint("bring the file back from a copy of the archive folder, then check again")
    })?;
    let batches = check::hashes(&check::claimed(state, &check.run)?);
    let mut source = archive.open(&check.run, &batches)?;
    env.ui.progress().note("restoring into the scratch database");
    let rehearsed = env.wire.rehearse(url, &schema, source.as_mut()).await?;
    for section in rehearsed.iter().filter(|section| !section.is_good()) {
        let what = match &section.refused {
            Some(why) => format!("cannot be restored: {why}"),
            None => format!("comes back otherwise: {} of {} rows", section.restored, section.archived),
        };
        let file = format!("batch-{:04}, {}", section.batch, section.table);
        check.survey.problems.push(Problem { file, what });
    }
    Ok(rehearsed)
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
