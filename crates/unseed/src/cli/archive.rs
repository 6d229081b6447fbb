//! `unseed archive`: what is kept of the rows that left, and whether it is whole.
//!
//! Not here: looking at files (`io::archive`), comparing with the journal (`engine::check`).

use super::keys::UnlockArgs;
use super::{Done, Env, retention, run_and_plan};
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
use unseed_engine::legs::{leg_id, leg_state};
use unseed_engine::report::RunReport;
use unseed_io::archive::FolderArchive;
use unseed_io::state::State;
use unseed_io::store::scratch::Rehearsed;

/// List, check and keep the archives of this state folder, or remove those whose time is over
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed archive list
  unseed archive check r-19
  unseed archive check --all --identity key.txt
  unseed archive hold r-19 --reason 'case 4711'
  unseed archive expire --due                     for cron")]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    command: ArchiveCommand,
}

#[derive(Debug, Subcommand)]
enum ArchiveCommand {
    List(retention::ListArgs),
    Check(CheckArgs),
    Hold(retention::HoldArgs),
    Release(retention::ReleaseArgs),
    Expire(retention::ExpireArgs),
}

impl ArchiveArgs {
    /// The run that it is about.
    pub(super) fn object(&self) -> String {
        let run = match &self.command {
            ArchiveCommand::List(_) => None,
            ArchiveCommand::Check(args) => args.run.as_ref(),
            ArchiveCommand::Hold(args) => Some(&args.run),
            ArchiveCommand::Release(args) => Some(&args.run),
            ArchiveCommand::Expire(args) => args.run.as_ref(),
        };
        run.cloned().unwrap_or_default()
    }

    /// Whether it changes archives or how long they are kept.
    pub(super) fn changes(&self) -> bool {
        match &self.command {
            ArchiveCommand::List(_) | ArchiveCommand::Check(_) => false,
            ArchiveCommand::Hold(_) | ArchiveCommand::Release(_) => true,
            // With `--due` it signs what it did itself, since it is asked often and seldom has something to do.
            ArchiveCommand::Expire(args) => args.run.is_some(),
        }
    }
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
        ArchiveCommand::List(args) => retention::list(env, args),
        ArchiveCommand::Check(args) => check(env, args).await,
        ArchiveCommand::Hold(args) => retention::hold(env, args),
        ArchiveCommand::Release(args) => retention::release(env, args),
        ArchiveCommand::Expire(args) => retention::expire(env, args),
    }
}

async fn check(env: &Env<'_>, args: &CheckArgs) -> Result<Done, Fault> {
    let mut state = existing(env)?;
    let mut archive = args.unlock.any_archive(env)?;
    let runs = match &args.run {
        Some(run) => vec![state.run(run)?.id],
        None => with_archive(&mut state, &mut archive)?,
    };
    let mut checks = Vec::new();
    for run in &runs {
        env.ui.progress().note(&format!("checking the archive of run {run}"));
        checks.extend(one(&mut state, &mut archive, run)?);
    }
    let mut rehearsed = None;
    if let (Some(_), Some(expired)) =
        (&args.restore_into, checks.iter().find_map(|c| c.survey.expired.as_ref()))
    {
        return Err(Fault::refused(format!("the archive of run `{}` expired at {}", runs[0], expired.at))
            .hint("check it without `--restore-into`, which compares its manifests"));
    }
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

/// Checks the archive of a run; of one over several stores the archive of each.
fn one(state: &mut State, archive: &mut FolderArchive, run: &str) -> Result<Vec<ArchiveCheck>, Fault> {
    let report = RunReport::of(&state.run(run)?)?;
    if report.legs.is_empty() {
        return Ok(vec![check::execute(state, archive, run)?]);
    }
    if let Some(subjects) = &report.subjects {
        // The values that entries are found by; what is wrong with them is a fault of its own.
        archive.check(run, &[(1, subjects.hash.clone())])?;
    }
    let mut checks = Vec::new();
    for (position, leg) in report.legs.iter().enumerate().filter(|(_, leg)| leg.state.is_some()) {
        let id = leg_id(run, &leg.store);
        checks.push(check::execute(&mut leg_state(state, run, position, &leg.store), archive, &id)?);
    }
    Ok(checks)
}

/// Loads the rows into a scratch database; sections that differ become problems of the check.
async fn rehearse(
    env: &Env<'_>,
    (state, archive): (&mut State, &mut FolderArchive),
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

pub(super) fn existing(env: &Env<'_>) -> Result<State, Fault> {
    env.wire.existing_state()?.ok_or_else(|| {
        Fault::usage(format!("there are no runs in `{}`", env.wire.state_address()))
            .hint("name the right state with `--state DIR` or `--state URL`")
    })
}

/// Runs of which rows left, or that left segments.
fn with_archive(state: &mut State, archive: &mut FolderArchive) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    for run in state.runs()? {
        if !check::claimed(state, &run.id)?.is_empty() || !archive.unclaimed(&run.id, &[])?.is_empty() {
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
        let (word, tone) = match &survey.expired {
            _ if !check.is_clean() => ("not ok".to_owned(), Tone::Bad),
            Some(expired) => (format!("expired at {}", expired.at), Tone::Plain),
            None => ("ok".to_owned(), Tone::Good),
        };
        table.row(&[
            check.run.clone(),
            ui::count(check.batches),
            ui::count(survey.files),
            ui::count(survey.bytes),
            ui::count(survey.rows),
            keys(&survey.recipients),
            if inside(check) { "all" } else { "no" }.to_owned(),
            env.ui.painted(&word, tone),
        ]);
    }
    let unread = checks.iter().any(|check| !inside(check) && check.is_clean());
    let note =
        if unread { "\nrows were not read without the private key: give `--identity FILE`\n" } else { "" };
    let mut text = format!("{table}{note}");
    for (run, warning) in checks.iter().flat_map(|c| c.survey.warnings.iter().map(move |w| (&c.run, w))) {
        let word = env.ui.painted("warning", Tone::Warning);
        text.push_str(&format!("\n{word} {run}/{} {}", warning.file, warning.what));
    }
    text
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
