//! The change record of a run: who asked for it, who agreed, who did it, what left, where it is kept.
//!
//! Everything in it is read from what was kept anyway; it can be made at any time, and again.
//!
//! Not here: keeping those things (`engine`, `io::state`).

use super::{Done, Env};
use crate::ui;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use unseed_core::fault::{Category, Fault};
use unseed_core::keeping::Kept;
use unseed_core::keys::WholePlan;
use unseed_core::port::state::{AuditEntry, GovernanceDb};
use unseed_core::rows::Rows;
use unseed_core::run::{Consent, Run};
use unseed_engine::report::{RestoreFigures, RunReport, TableFigures, Verification};
use unseed_io::archive::artefacts;

/// The value of `format`.
const FORMAT: &str = "unseed.change-record/1";
/// Keys of one table that the Markdown shows.
const KEYS_SHOWN_MAX: usize = 100;

/// A change record.
#[derive(Debug, Serialize)]
struct Record {
    format: &'static str,
    run: String,
    state: &'static str,
    started_at: String,
    finished_at: Option<String>,
    requester: String,
    operator: String,
    plan: String,
    plan_digest: String,
    /// How many people had to agree.
    approvals_required: u32,
    approvers: Vec<Approver>,
    tickets: Vec<String>,
    stores: Vec<Place>,
    targets: Vec<Target>,
    removed: BTreeMap<String, TableFigures>,
    verification: Option<Verification>,
    restores: Vec<RestoreFigures>,
    /// How long the rows can be put back, who holds them, since when they are gone.
    #[serde(skip_serializing_if = "Kept::is_empty")]
    kept: Kept,
    artefacts: Vec<Artefact>,
    log: Vec<AuditEntry>,
}

#[derive(Debug, Serialize)]
struct Approver {
    name: String,
    approval: String,
    fingerprint: String,
    comment: String,
    ticket: String,
    signed_at: String,
    expires_at: String,
}

#[derive(Debug, Serialize)]
struct Place {
    store: String,
    kind: String,
    address: String,
}

#[derive(Debug, Serialize)]
struct Target {
    table: String,
    columns: Vec<String>,
    count: u64,
    chosen_by: String,
    #[serde(serialize_with = "lists")]
    keys: Rows,
}

fn lists<S: Serializer>(keys: &Rows, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(keys)
}

#[derive(Debug, Serialize)]
struct Artefact {
    file: PathBuf,
    owner: String,
    written_at: String,
    bytes: u64,
    hash: String,
}

/// Prints the change record of a run.
///
/// # Errors
/// An archive fault when what it is made of cannot be read.
pub(super) fn tell(env: &Env<'_>, run: &Run, whole: &WholePlan) -> Result<Done, Fault> {
    let record = gather(env, run, whole)?;
    if env.ui.is_table() {
        env.ui.text(&markdown(&record));
    } else {
        env.ui.json(&record);
    }
    Ok(Done::Success)
}

fn gather(env: &Env<'_>, run: &Run, whole: &WholePlan) -> Result<Record, Fault> {
    let (plan, report) = (whole.plan(), RunReport::of(run)?);
    let (approvals_required, approvers) = approvers(&run.consent);
    let mut tickets: Vec<String> =
        approvers.iter().map(|a| a.ticket.clone()).filter(|ticket| !ticket.is_empty()).collect();
    tickets.sort();
    tickets.dedup();
    let places = plan.stores.iter().map(|s| Place {
        store: s.store.clone(),
        kind: s.kind.clone(),
        address: s.url.clone(),
    });
    let targets = whole.targets().map(|(roots, rows)| Target {
        table: roots.table.clone(),
        columns: roots.columns.clone(),
        count: roots.count,
        chosen_by: roots.chosen_by.clone(),
        keys: rows.iter().map(|row| row.key).collect(),
    });
    let touched = |figures: &TableFigures| figures.deleted > 0 || figures.detached > 0;
    Ok(Record {
        format: FORMAT,
        run: run.id.clone(),
        state: run.state.as_str(),
        started_at: run.started_at.clone(),
        finished_at: run.finished_at.clone(),
        requester: plan.created_by.clone(),
        operator: run.actor.clone(),
        plan: plan.id.clone(),
        plan_digest: plan.digest.clone(),
        approvals_required,
        approvers,
        tickets,
        stores: places.collect(),
        targets: targets.collect(),
        removed: tables(&report).filter(|(_, f)| touched(f)).collect(),
        artefacts: files(env, run, &report)?,
        verification: report.verification,
        restores: report.restores,
        kept: report.kept,
        log: log(env, run)?,
    })
}

/// The figures of all tables; those of several stores are told with the store.
fn tables(report: &RunReport) -> impl Iterator<Item = (String, TableFigures)> {
    let own = report.tables.iter().map(|(name, figures)| (name.clone(), *figures));
    let of_legs = report.legs.iter().flat_map(|leg| {
        let tables = leg.report.iter().flat_map(|report| &report.tables);
        tables.map(|(name, figures)| (format!("{}: {name}", leg.store), *figures))
    });
    own.chain(of_legs)
}

fn approvers(consent: &Consent) -> (u32, Vec<Approver>) {
    let Consent::Signed { required, approvals } = consent else { return (0, Vec::new()) };
    let approver = |counted: &unseed_core::approve::verdict::Counted| Approver {
        name: counted.approver.clone(),
        approval: counted.id.clone(),
        fingerprint: counted.fingerprint.clone(),
        comment: counted.comment.clone(),
        ticket: counted.ticket.clone(),
        signed_at: counted.signed_at.clone(),
        expires_at: counted.expires_at.clone(),
    };
    (*required, approvals.iter().map(approver).collect())
}

fn files(env: &Env<'_>, run: &Run, report: &RunReport) -> Result<Vec<Artefact>, Fault> {
    let copy = env.wire.plan_copy(&run.plan_digest);
    let mut folders = vec![PathBuf::from(&report.archive)];
    let legs = report.legs.iter().filter_map(|leg| leg.report.as_ref());
    folders.extend(legs.map(|leg| PathBuf::from(&leg.archive)));
    folders.extend(copy.parent().map(PathBuf::from));
    let mut found = Vec::new();
    for folder in folders {
        let files = artefacts(&folder).map_err(|error| {
            Fault::new(Category::Archive, format!("`{}` cannot be read: {error}", folder.display()))
                .hint("make the state folder readable, or name the right one with `--state DIR`")
        })?;
        found.extend(files.into_iter().map(|file| Artefact {
            file: file.path,
            owner: run.actor.clone(),
            written_at: file.written_at,
            bytes: file.bytes,
            hash: file.hash,
        }));
    }
    Ok(found)
}

/// What the audit log has about the run and its plan, without the single batches.
fn log(env: &Env<'_>, run: &Run) -> Result<Vec<AuditEntry>, Fault> {
    let mut found = Vec::new();
    if let Some(mut state) = env.wire.existing_state()? {
        state.audit_log(&mut |record| {
            if record.entry.object == run.id || record.entry.object == run.plan_digest {
                found.push(record.entry);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn markdown(record: &Record) -> String {
    let mut text = format!("# Change record of run {}\n\n", record.run);
    let finished = record.finished_at.as_deref().unwrap_or("not finished");
    let mut fact = |name: &str, value: &str| text.push_str(&format!("- **{name}**: {value}\n"));
    fact("Date", &format!("{} to {finished}", record.started_at));
    fact("State", record.state);
    fact("Requester", &record.requester);
    fact("Operator", &record.operator);
    fact("Approvals", &agreement(record));
    fact("Tickets", &or_none(&record.tickets.join(", ")));
    fact("Plan", &format!("{} (`{}`)", record.plan, record.plan_digest));
    for place in &record.stores {
        fact("Store", &format!("{}, {} at `{}`", place.store, place.kind, place.address));
    }
    text.push_str(&approvals(record));
    text.push_str("\n## Targets\n\n");
    for target in &record.targets {
        text.push_str(&targets(target));
    }
    text.push_str(
        "\n## Removed\n\n| table | before | removed | detached | after |\n|---|---:|---:|---:|---:|\n",
    );
    let figure = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), ui::count);
    for (table, f) in &record.removed {
        let (before, after) = (figure(f.before), figure(f.after));
        let (deleted, detached) = (ui::count(f.deleted), ui::count(f.detached));
        text.push_str(&format!("| {} | {before} | {deleted} | {detached} | {after} |\n", cell(table)));
    }
    text.push_str(&afterwards(record));
    text.push_str("\n## Artefacts\n\n| file | owner | written | bytes | hash |\n|---|---|---|---:|---|\n");
    for file in &record.artefacts {
        let (path, bytes) = (file.file.display().to_string(), ui::count(file.bytes));
        let line = format!(
            "| {} | {} | {} | {bytes} | `{}` |\n",
            cell(&path),
            cell(&file.owner),
            file.written_at,
            file.hash
        );
        text.push_str(&line);
    }
    text.push_str("\n## Log\n\n| at | actor | action | outcome |\n|---|---|---|---|\n");
    for entry in &record.log {
        let line =
            [&entry.at, &entry.actor, &entry.action, &entry.outcome].map(|text| cell(text)).join(" | ");
        text.push_str(&format!("| {line} |\n"));
    }
    text
}

fn agreement(record: &Record) -> String {
    match record.approvals_required {
        0 => "none were asked for; the operator confirmed by the id".to_owned(),
        required => format!("{} of {required} required", record.approvers.len()),
    }
}

fn approvals(record: &Record) -> String {
    if record.approvers.is_empty() {
        return String::new();
    }
    let mut text =
        "\n## Approvers\n\n| who | signed | until | key | comment | ticket |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for one in &record.approvers {
        let cells = [&one.name, &one.signed_at, &one.expires_at, &one.fingerprint, &one.comment, &one.ticket];
        text.push_str(&format!("| {} |\n", cells.map(|text| cell(text)).join(" | ")));
    }
    text
}

fn targets(target: &Target) -> String {
    let mut text =
        format!("{} of `{}`, chosen by {}:\n\n", ui::rows(target.count), target.table, target.chosen_by);
    let columns = target.columns.join(", ");
    for key in target.keys.iter().take(KEYS_SHOWN_MAX) {
        text.push_str(&format!("- {columns} = {}\n", cell(&key.join(", "))));
    }
    if target.keys.len() > KEYS_SHOWN_MAX {
        let more = target.keys.len() - KEYS_SHOWN_MAX;
        text.push_str(&format!("- and {more} more, in the plan among the artefacts\n"));
    }
    text.push('\n');
    text
}

fn afterwards(record: &Record) -> String {
    let mut text = "\n## Afterwards\n\n".to_owned();
    match &record.verification {
        None => text.push_str("- not verified\n"),
        Some(found) if found.is_clean() => {
            text.push_str(&format!("- verified at {}: nothing remains\n", found.at));
        }
        Some(found) => text.push_str(&format!("- verified at {}: something remains\n", found.at)),
    }
    for restore in record.restores.iter().filter(|restore| restore.committed) {
        text.push_str(&format!("- restored at {}: {}\n", restore.at, restore.scope));
    }
    text.push_str(&super::show::kept_text(&record.kept, "- "));
    text
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

/// Text that cannot end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
