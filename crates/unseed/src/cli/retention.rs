//! `unseed archive list|hold|release|expire`: which archives there are, how long they stay, and removing them.
//!
//! Not here: what may be removed (`core::keeping`), removing it (`engine::retention`).

use super::archive::existing;
use super::consent::{self, Act, Consent};
use super::{Done, Env, log, run_and_plan};
use crate::table::Table;
use crate::ui;
use clap::Args;
use serde_json::{Value, json};
use unseed_core::approve::statement::seconds_of_clock;
use unseed_core::fault::{Category, Fault};
use unseed_core::keeping::{Standing, span_text};
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::state::StateDb;
use unseed_core::run::{Run, RunState};
use unseed_engine::retention::{Buried, Keeper, Looked};
use unseed_io::archive::FolderArchive;

/// List archives: age, size, to whom they are encrypted, how long they are kept
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed archive list
  unseed archive list --format json | jq '.archives[] | select(.standing == \"over\")'")]
pub(super) struct ListArgs {}

/// Keep an archive until the hold is released, whatever its time
#[derive(Debug, Args)]
#[command(after_help = "Example:
  unseed archive hold r-19 --reason 'case 4711, until legal says otherwise'")]
pub(super) struct HoldArgs {
    /// The run, as in `unseed runs`
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    /// Why; it stands in the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Release an archive that is held
#[derive(Debug, Args)]
#[command(after_help = "Example:
  unseed archive release r-19")]
pub(super) struct ReleaseArgs {
    /// The run, as in `unseed runs`
    #[arg(value_name = "RUN")]
    pub(super) run: String,
}

/// Remove the rows of archives whose time is over; without arguments, say which those are
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed archive expire                           changes nothing
  unseed archive expire --due                     for cron
  unseed archive expire r-19 --confirm r-19

How long archives are kept says `keep` in `[archive]` of the configuration. Rows that are removed are gone for good;
manifests, plan and hashes stay.")]
pub(super) struct ExpireArgs {
    /// One run, as in `unseed runs`; also one whose quarantine is over and could not be ended
    #[arg(value_name = "RUN", conflicts_with = "due")]
    pub(super) run: Option<String>,
    /// Remove all whose time is over
    #[arg(long)]
    pub(super) due: bool,
    /// Go ahead without asking: the id of the run
    #[arg(long, value_name = "RUN", requires = "run")]
    confirm: Option<String>,
}

/// Who keeps the archives of this state folder.
pub(super) fn keeper<'a>(
    env: &'a Env<'_>,
    state: &'a mut dyn StateDb,
    archive: &'a mut dyn ArchiveStore,
) -> Keeper<'a> {
    Keeper {
        state,
        archive,
        clock: &env.wire.clock,
        actor: &env.wire.actor,
        holder: &env.wire.holder,
        keep_s: env.wire.config.archive.keep_s,
    }
}

/// An archive as it is listed.
struct Entry {
    run: Run,
    looked: Looked,
    files: u64,
    bytes: u64,
}

/// Every run that has or had an archive, newest first.
fn entries(env: &Env<'_>) -> Result<Vec<Entry>, Fault> {
    let Some(mut state) = env.wire.existing_state()? else { return Ok(Vec::new()) };
    let mut archive: FolderArchive = env.wire.archive("");
    let mut entries = Vec::new();
    for run in state.runs()? {
        let (files, bytes) = archive.size(&run.id)?;
        let looked = keeper(env, &mut state, &mut archive).look(&run)?;
        if looked.standing != Standing::Empty {
            entries.push(Entry { run, looked, files, bytes });
        }
    }
    Ok(entries)
}

pub(super) fn list(env: &Env<'_>, _args: &ListArgs) -> Result<Done, Fault> {
    let entries = entries(env)?;
    let known: Vec<String> = match env.wire.existing_state()? {
        Some(mut state) => state.runs()?.into_iter().map(|run| run.id).collect(),
        None => Vec::new(),
    };
    let mut strangers = env.wire.archive("").folders();
    strangers.retain(|name| !known.contains(name));
    if !env.ui.is_table() {
        let lines: Vec<Value> = entries.iter().map(|entry| line(env, entry)).collect();
        env.ui.json(&json!({"format": "unseed.archives/1", "archives": lines, "unknown": strangers}));
        return Ok(Done::Success);
    }
    if entries.is_empty() {
        env.ui.text("no run has an archive");
    } else {
        let headings = ["run", "state", "age", "files", "bytes", "encrypted", ""];
        let mut table = Table::new(&headings).right(&[3, 4]);
        for entry in &entries {
            table.row(&[
                entry.run.id.clone(),
                entry.run.state.as_str().to_owned(),
                age_s(env, &entry.run).map_or_else(|| "?".to_owned(), age),
                ui::count(entry.files),
                ui::count(entry.bytes),
                if entry.looked.report.recipients.is_empty() { "no" } else { "yes" }.to_owned(),
                words(&entry.looked),
            ]);
        }
        env.ui.text(&table.to_string());
    }
    for name in strangers {
        env.ui.note(&format!(
            "warning: archive folder `{name}` belongs to no run that the state database knows"
        ));
    }
    Ok(Done::Success)
}

fn age_s(env: &Env<'_>, run: &Run) -> Option<u64> {
    let ended_s = seconds_of_clock(run.finished_at.as_deref().unwrap_or(&run.started_at))?;
    u64::try_from(env.wire.now_s() - ended_s).ok()
}

/// Whole days, or hours of the first.
fn age(seconds: u64) -> String {
    match seconds {
        0..3_600 => "less than 1 hour".to_owned(),
        3_600..86_400 => span_text(seconds / 3_600 * 3_600),
        _ => span_text(seconds / 86_400 * 86_400),
    }
}

fn words(looked: &Looked) -> String {
    if looked.begun.is_some() {
        return "being removed; `unseed archive expire RUN` finishes it".to_owned();
    }
    match &looked.standing {
        Standing::Unfinished => "kept, the run is not over".to_owned(),
        Standing::Empty => "empty".to_owned(),
        Standing::Expired(expired) => format!("expired at {}", expired.at),
        Standing::Held(hold) => format!("held by {}: {}", hold.by, hold.reason),
        Standing::Quarantined { until } => format!("in quarantine until {until}"),
        Standing::Due { since } => format!("quarantine over since {since}"),
        Standing::Kept { until: Some(until) } => format!("kept until {until}"),
        Standing::Kept { until: None } => "kept".to_owned(),
        Standing::Over { since } => format!("over since {since}"),
    }
}

fn line(env: &Env<'_>, entry: &Entry) -> Value {
    let Entry { run, looked, files, bytes } = entry;
    let (word, at) = match &looked.standing {
        _ if looked.begun.is_some() => ("expiring", None),
        Standing::Unfinished => ("unfinished", None),
        Standing::Empty => ("empty", None),
        Standing::Expired(expired) => ("expired", Some(&expired.at)),
        Standing::Held(_) => ("held", None),
        Standing::Quarantined { until } => ("quarantined", Some(until)),
        Standing::Due { since } => ("due", Some(since)),
        Standing::Kept { until } => ("kept", until.as_ref()),
        Standing::Over { since } => ("over", Some(since)),
    };
    json!({
        "run": run.id, "state": run.state, "age_s": age_s(env, run), "files": files, "bytes": bytes,
        "recipients": looked.report.recipients, "standing": word, "at": at, "held": looked.report.kept.hold,
    })
}

pub(super) fn hold(env: &Env<'_>, args: &HoldArgs) -> Result<Done, Fault> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().any(char::is_control) {
        return Err(Fault::usage("`--reason` is empty or holds a line break").hint("say why in one line"));
    }
    change_hold(env, &args.run, Some(reason))
}

pub(super) fn release(env: &Env<'_>, args: &ReleaseArgs) -> Result<Done, Fault> {
    change_hold(env, &args.run, None)
}

fn change_hold(env: &Env<'_>, run: &str, reason: Option<&str>) -> Result<Done, Fault> {
    let (mut state, mut archive) = (existing(env)?, env.wire.archive(""));
    keeper(env, &mut state, &mut archive).hold(run, reason)?;
    if env.ui.is_table() {
        let what = if reason.is_some() { "held until it is released" } else { "released" };
        env.ui.text(&format!("the archive of run {run} is {what}"));
    } else {
        env.ui.json(&json!({"format": "unseed.hold/1", "run": run, "held": reason}));
    }
    Ok(Done::Success)
}

pub(super) fn expire(env: &Env<'_>, args: &ExpireArgs) -> Result<Done, Fault> {
    if let Some(run) = &args.run {
        return expire_one(env, run, args);
    }
    let over = |entry: &Entry| {
        let quarantined = entry.run.state == RunState::Quarantined;
        matches!(entry.looked.standing, Standing::Over { .. })
            || (entry.looked.begun.is_some() && !quarantined)
    };
    let entries: Vec<Entry> = entries(env)?.into_iter().filter(over).collect();
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    let mut removed = false;
    let mut table = Table::new(&["run", "files", "bytes", ""]).right(&[1, 2]);
    for entry in &entries {
        let mut size = Buried { files: entry.files, bytes: entry.bytes };
        let mut outcome = words(&entry.looked);
        if args.due {
            match bury(env, &entry.run.id, &why(env, &entry.looked)) {
                Ok(buried) => {
                    (size, outcome) = (buried, "removed".to_owned());
                    removed = true;
                }
                Err(fault) => {
                    outcome = format!("stays: {}", fault.message);
                    faults.push(fault);
                }
            }
        }
        let Buried { files, bytes } = size;
        lines.push(json!({"run": entry.run.id, "files": files, "bytes": bytes, "outcome": outcome}));
        table.row(&[entry.run.id.clone(), ui::count(files), ui::count(bytes), outcome]);
    }
    let signed = log::sign_work(env, "archive expire", removed);
    if !env.ui.is_table() {
        signed?;
        env.ui.json(&json!({"format": "unseed.expire/1", "removed": args.due, "archives": lines}));
        let worst = faults.iter().map(|fault| fault.category).max_by_key(|c| c.exit_code());
        return Ok(worst.map_or(Done::Success, Done::Told));
    }
    if entries.is_empty() {
        env.ui.text("no archive is over its time");
    } else {
        env.ui.text(&table.to_string());
    }
    if !args.due && !entries.is_empty() {
        env.ui.note("nothing was removed; `unseed archive expire --due` removes the rows of these for good");
    }
    signed?;
    faults.into_iter().next().map_or(Ok(Done::Success), Err)
}

fn why(env: &Env<'_>, looked: &Looked) -> String {
    match (&looked.standing, env.wire.config.archive.keep_s) {
        (Standing::Over { since }, Some(keep_s)) => {
            format!("archives are kept for {}, it was over since {since}", span_text(keep_s))
        }
        _ => "removing it was begun before".to_owned(),
    }
}

fn bury(env: &Env<'_>, run: &str, why: &str) -> Result<Buried, Fault> {
    let (mut state, mut archive) = (existing(env)?, env.wire.archive(""));
    keeper(env, &mut state, &mut archive).expire(run, why, false)
}

/// Removes one archive, by the word of a person; also one whose quarantine could not be ended by itself.
fn expire_one(env: &Env<'_>, id: &str, args: &ExpireArgs) -> Result<Done, Fault> {
    let (mut state, mut archive) = (existing(env)?, env.wire.archive(""));
    let run = state.run(id)?;
    let looked = keeper(env, &mut state, &mut archive).look(&run)?;
    let due = matches!(looked.standing, Standing::Due { .. });
    if due {
        // What approvers agreed to ends there too, unless they took it back.
        let (run, whole) = run_and_plan(env, id)?;
        consent::to_end(env, run, whole)?;
    }
    let over = due || looked.begun.is_some() || matches!(looked.standing, Standing::Over { .. });
    if over {
        let summary =
            format!("this removes the archived rows of run {id} for good; they cannot be put back then");
        let command = format!("unseed archive expire {id}");
        let act = Act { verb: "expire", object: "run", id, summary: &summary, command: &command };
        let given = Consent { confirm: args.confirm.clone(), approval: Vec::new() };
        let typed = consent::obtain(env, &given, &act)?;
        if typed.trim() != id {
            return Err(Fault::new(
                Category::Refused,
                format!("`{}` is not the id of this run", typed.trim()),
            )
            .hint(format!("to go on, confirm with `--confirm {id}`")));
        }
    }
    let why = if due {
        format!("its quarantine was over, and {} ended it by hand", env.wire.actor)
    } else {
        why(env, &looked)
    };
    let buried = keeper(env, &mut state, &mut archive).expire(id, &why, due)?;
    let Buried { files, bytes } = buried;
    if env.ui.is_table() {
        let (files, bytes) = (ui::counted(files, "file"), ui::count(bytes));
        env.ui.text(&format!("the archived rows of run {id} are removed for good: {files}, {bytes} bytes"));
    } else {
        let line = json!({"run": id, "files": files, "bytes": bytes, "outcome": "removed"});
        env.ui.json(&json!({"format": "unseed.expire/1", "removed": true, "archives": [line]}));
    }
    Ok(Done::Success)
}
