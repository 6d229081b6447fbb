//! `unseed show`: explains a plan or a run, in words, as SQL, as a picture.

use super::{Address, Done, Env, legs, record, run_and_plan};
use crate::table::Table;
use crate::ui::{self, Tone, Ui};
use crate::wire::Target;
use crate::{graph, plan_file, wire};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unseed_core::fault::Fault;
use unseed_core::keeping::{Hold, Keeping, Kept, span_text};
use unseed_core::keys::WholePlan;
use unseed_core::plan::{Action, LegWork, Path as Way, Plan, RunIndex};
use unseed_core::run::Run;
use unseed_engine::plan::path_text;
use unseed_engine::report::{IndexState, RunReport};

/// Explain a plan or a run
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed show plan.json
  unseed show plan.json --sql                     the statements that a purge would run
  unseed show plan.json --graph closure.svg       what leaves because of what, as a picture
  unseed show r-19
  unseed show r-19 --change-record                who asked, who agreed, what left, where it is kept
  unseed show r-19 --change-record --format json")]
pub(crate) struct ShowArgs {
    /// A plan file, or a run as in `unseed runs`
    #[arg(value_name = "PLAN.json|RUN")]
    pub(super) what: String,
    #[command(flatten)]
    address: Address,
    /// Print the statements that a purge would run (connects to the store, changes nothing)
    #[arg(long)]
    sql: bool,
    /// Draw what leaves because of what
    #[arg(long, value_name = "FILE.svg")]
    graph: Option<PathBuf>,
    /// Print the change record of a run: Markdown, or JSON with `--format json`
    #[arg(long, conflicts_with_all = ["sql", "graph"])]
    change_record: bool,
}

pub(super) async fn run(env: &Env<'_>, args: &ShowArgs) -> Result<Done, Fault> {
    let (run, whole) = find(env, &args.what)?;
    if args.change_record {
        let run = run.ok_or_else(|| {
            Fault::usage(format!("`{}` is a plan, and only runs have a change record", args.what))
                .hint("name a run, as in `unseed runs`")
        })?;
        return record::tell(env, &run, &whole);
    }
    if let Some(path) = &args.graph {
        wire::write_file(path, graph::svg(whole.plan()).as_bytes())?;
        env.ui.note(&format!("picture written to {}", path.display()));
    }
    if args.sql {
        return sql(env, &whole, &args.address).await;
    }
    match run.filter(|_| args.graph.is_none()) {
        Some(run) => tell_run(env, &run)?,
        None if args.graph.is_some() && env.ui.is_table() => {}
        None if env.ui.is_table() => env.ui.text(&plan_text(env.ui, whole.plan())),
        None => env.ui.json(whole.plan()),
    }
    Ok(Done::Success)
}

/// A plan file where there is one, else a run.
fn find(env: &Env<'_>, what: &str) -> Result<(Option<Run>, WholePlan), Fault> {
    let looks_like_run = what.strip_prefix("r-").is_some_and(|n| n.chars().all(|c| c.is_ascii_digit()));
    if !looks_like_run || Path::new(what).exists() {
        return Ok((None, plan_file::read(Path::new(what))?));
    }
    let (run, whole) = run_and_plan(env, what)?;
    Ok((Some(run), whole))
}

fn tell_run(env: &Env<'_>, run: &Run) -> Result<(), Fault> {
    let report = RunReport::of(run)?;
    if env.ui.is_table() {
        let head = format!("run {} by {}: {}\n", run.id, run.actor, run.state.as_str());
        env.ui.text(&format!("{head}{}", run_text(env.ui, &report)));
    } else {
        env.ui.json(&report);
    }
    Ok(())
}

async fn sql(env: &Env<'_>, whole: &WholePlan, address: &Address) -> Result<Done, Fault> {
    let planned = whole.plan().stores.first().ok_or_else(|| Fault::usage("the plan names no store"))?;
    let target = env.wire.target_of_plan(planned, address.get())?;
    let statements = match whole.plan().has_legs() {
        false => explained(env, &target, whole).await?,
        true => of_legs(env, whole, address).await?,
    };
    if env.ui.is_table() {
        env.ui.text(&statements.join("\n"));
    } else {
        env.ui.json(&json!({"format": "unseed.sql/1", "plan": whole.plan().id, "statements": statements}));
    }
    Ok(Done::Success)
}

/// What builds an index for the time of the run.
fn index_sql(name: &str, index: &RunIndex) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = index.columns.iter().map(|name| quoted(name)).collect();
    let (table, columns) =
        (format!("{}.{}", quoted(&index.namespace), quoted(&index.table)), columns.join(", "));
    format!("CREATE INDEX CONCURRENTLY {} ON {table} ({columns})", quoted(name))
}

async fn explained(env: &Env<'_>, target: &Target, whole: &WholePlan) -> Result<Vec<String>, Fault> {
    let mut store = env.wire.open(target).await?;
    let opened = unseed_engine::work::open(store.store(), whole.plan()).await?;
    let indexes = whole.plan().indexes.iter().enumerate();
    let mut statements: Vec<String> =
        indexes.map(|(n, index)| index_sql(&whole.plan().index_name(n), index)).collect();
    statements.extend(store.store().explain(&opened.work));
    Ok(statements)
}

/// The statements of every leg, each below a line with the name of its store.
async fn of_legs(env: &Env<'_>, whole: &WholePlan, address: &Address) -> Result<Vec<String>, Fault> {
    let plan = whole.plan();
    let mut all = Vec::new();
    for leg in &plan.legs {
        all.push(format!("-- store {}", leg.store));
        match (&leg.work, whole.leg(&leg.store), plan.store(&leg.store)) {
            (LegWork::Entries(entries), _, _) => all.extend(entries.says.clone()),
            (LegWork::Rows(_), Some(single), Some(store)) => {
                let first = plan.stores.first().is_some_and(|first| first.store == leg.store);
                let target = env.wire.target_of_plan(store, address.get().filter(|_| first))?;
                all.extend(explained(env, &target, &single).await?);
            }
            (LegWork::Rows(_), _, _) => {}
        }
    }
    Ok(all)
}

/// `removes 7,300 rows of 12 tables and detaches 3 rows, because of 1,826 roots`.
pub(super) fn in_one_line(plan: &Plan) -> String {
    let tables = plan.steps.iter().filter(|step| step.action == Action::Delete).count();
    let detached = match plan.rows_detached() {
        0 => String::new(),
        rows => format!(" and detaches {}", ui::rows(rows)),
    };
    let quarantine = plan.policy.keeping.quarantine_s.map(span_text);
    let quarantine = quarantine.map(|time| format!(", with a quarantine of {time}")).unwrap_or_default();
    let word = if tables == 1 { "table" } else { "tables" };
    let roots = if plan.root_count() == 1 { "root" } else { "roots" };
    let entries = match plan.entries_cleared() {
        0 => String::new(),
        entries => format!(" and {} entries of other stores", ui::count(entries)),
    };
    format!(
        "removes {} of {tables} {word}{detached}{entries}, because of {} {roots}{quarantine}",
        ui::rows(plan.rows_deleted()),
        ui::count(plan.root_count())
    )
}

/// How long rows can be put back, where a plan says that it ends.
pub(super) fn keeping_text(keeping: Keeping) -> Option<String> {
    let quarantine_s = keeping.quarantine_s?;
    let archive_s = keeping.archive_s.filter(|archive_s| *archive_s > quarantine_s);
    let since = if archive_s.is_some() { ", as long as archives are kept" } else { "" };
    let time = span_text(archive_s.unwrap_or(quarantine_s));
    Some(format!("they can be put back for {time}{since}, then `unseed purge --due` removes them for good"))
}

/// A plan in words.
pub(super) fn plan_text(ui: &Ui, plan: &Plan) -> String {
    let mut text = format!("plan {} {}\n", ui.painted(&plan.id, Tone::Strong), in_one_line(plan));
    for store in &plan.stores {
        text.push_str(&format!(
            "store {}: {} {} at {}\n",
            store.store, store.kind, store.server_version, store.url
        ));
    }
    let way = match plan.path {
        Way::Fast => "fast",
        Way::Checked => "checked",
        Way::Rewrite => "rewrite",
    };
    text.push_str(&format!("path {way}: {}\n", plan.path_reason));
    if let Some(keeping) = keeping_text(plan.policy.keeping) {
        text.push_str(&format!("quarantine: rows leave when purged; {keeping}\n"));
    }
    text.push_str(&format!("made by {} at {}\n\nroots\n", plan.created_by, plan.created_at));
    for roots in &plan.roots {
        let line = format!("  {}: {}, chosen by {}\n", roots.table, ui::rows(roots.count), roots.chosen_by);
        text.push_str(&line);
    }
    text.push_str(&order(plan));
    text.push_str(&format!("\n{}", steps(plan)));
    for index in &plan.indexes {
        let saves = ui::duration(index.saves_s.saturating_mul(1_000));
        text.push_str(&format!("\nbuilds an index for the run: {}, which saves about {saves}", index.on()));
    }
    for hook in &plan.policy.hooks {
        text.push_str(&format!("\nhook {hook}"));
    }
    if !plan.indexes.is_empty() || !plan.policy.hooks.is_empty() {
        text.push('\n');
    }
    text.push_str(&warnings(ui, plan));
    if !plan.warnings.is_empty() {
        text.push('\n');
    }
    for conflict in &plan.conflicts {
        text.push_str(&format!("\n{} {}\n", ui.painted("conflict", Tone::Bad), path_text(conflict)));
    }
    text
}

/// Warnings of one kind that are shown before the rest is only counted.
const WARNINGS_SHOWN_MAX: usize = 4;

/// A line per warning; of a kind that many tables have, the first few.
fn warnings(ui: &Ui, plan: &Plan) -> String {
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    let mut text = String::new();
    for warning in &plan.warnings {
        let count = shown.entry(&warning.id).or_default();
        *count += 1;
        if *count <= WARNINGS_SHOWN_MAX {
            let word = ui.painted("warning", Tone::Warning);
            let cost =
                warning.estimate_s.map_or_else(String::new, |s| format!(" (about {} s)", ui::count(s)));
            text.push_str(&format!("\n{word} {}: {}{cost}", warning.table, warning.says));
        }
    }
    for (id, count) in shown.into_iter().filter(|(_, count)| *count > WARNINGS_SHOWN_MAX) {
        let more = count - WARNINGS_SHOWN_MAX;
        text.push_str(&format!("\n        and {more} more of the kind `{id}`, all in the plan's file"));
    }
    text
}

/// In which order the stores are worked on.
fn order(plan: &Plan) -> String {
    let names: Vec<&str> = plan.legs.iter().map(|leg| leg.store.as_str()).collect();
    if names.is_empty() { String::new() } else { format!("\norder of the stores: {}\n", names.join(" → ")) }
}

fn steps(plan: &Plan) -> Table {
    let mut table = Table::new(&["", "table", "rows", "of", "because of"]).right(&[0, 2, 3]);
    for (index, step) in plan.steps.iter().enumerate() {
        let why = match step.action {
            Action::Delete if step.via.is_empty() => "chosen".to_owned(),
            Action::Delete => shortened(&step.via),
            Action::Detach => format!("sets {} to null: {}", step.columns.join(", "), shortened(&step.via)),
            Action::Clear => "found by the values of rows that leave".to_owned(),
        };
        let number = (index + 1).to_string();
        let name =
            if plan.has_legs() { format!("{}: {}", step.store, step.table) } else { step.table.clone() };
        table.row(&[number, name, ui::count(step.rows), ui::count(step.of), why]);
    }
    table
}

/// Two references and how many more.
fn shortened(via: &str) -> String {
    let parts: Vec<&str> = via.split("; ").collect();
    match parts.as_slice() {
        [first, second, _, ..] => format!("{first}; {second}; and {} more", parts.len() - 2),
        few => few.join("; "),
    }
}

/// A run in words.
pub(super) fn run_text(ui: &Ui, report: &RunReport) -> String {
    if !report.legs.is_empty() {
        return legs::text(ui, report);
    }
    let detached = match report.rows.detached {
        0 => String::new(),
        rows => format!(", {} detached", ui::count(rows)),
    };
    let mut text = format!(
        "run {} removed {}{detached} in {} of {} batches\n\n",
        ui.painted(&report.run, Tone::Strong),
        ui::rows(report.rows.deleted),
        ui::count(report.batches.done),
        ui::count(report.batches.total),
    );
    let mut table = Table::new(&["table", "before", "removed", "detached", "after"]).right(&[1, 2, 3, 4]);
    let figure = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), ui::count);
    let touched = |f: &unseed_engine::report::TableFigures| f.deleted > 0 || f.detached > 0;
    for (name, figures) in report.tables.iter().filter(|(_, figures)| touched(figures)) {
        table.row(&[
            name.clone(),
            figure(figures.before),
            ui::count(figures.deleted),
            ui::count(figures.detached),
            figure(figures.after),
        ]);
    }
    text.push_str(&table.to_string());
    for (name, rows) in &report.inserted_by_triggers {
        text.push_str(&format!("\ntriggers inserted {} into {name}", ui::rows(*rows)));
    }
    for (name, rows) in &report.changed_by_triggers {
        text.push_str(&format!("\ntriggers changed {} of {name}, archived as well", ui::rows(*rows)));
    }
    text.push_str(&live_text(report, ""));
    let timings = &report.timings;
    text.push_str(&format!(
        "\nclosure {}, archive {}, removal {}; {} statements, longest transaction {}\narchive in {}\n",
        ui::duration(timings.close_ms),
        ui::duration(timings.archive_ms),
        ui::duration(timings.remove_ms),
        ui::count(report.statements.total),
        ui::duration(report.statements.longest_transaction_us / 1000),
        report.archive,
    ));
    text.push_str(&kept_text(&report.kept, ""));
    text
}

/// What a run did because of others: waits, hooks, indexes; each line names the store where there are several.
pub(super) fn live_text(report: &RunReport, place: &str) -> String {
    let mut text = String::new();
    for figures in report.waits.values() {
        let times = if figures.times == 1 { "once".to_owned() } else { format!("{} times", figures.times) };
        let took = ui::duration(figures.ms);
        text.push_str(&format!("\n{place}waited {took}, {times}, the last time because: {}", figures.last));
    }
    for hook in &report.hooks {
        let (at, of) = (hook.at.as_str().replace('_', " "), hook.of.as_str());
        let took = ui::duration(hook.took_ms);
        text.push_str(&format!(
            "\n{place}hook {} {at} {of} {} in {took}, output in {}",
            hook.name, hook.outcome, hook.log
        ));
    }
    for index in &report.indexes {
        let fate = match index.state {
            IndexState::Building | IndexState::Built => {
                "may still be there; `unseed resume` or a later purge drops it".to_owned()
            }
            IndexState::Skipped => format!("was not built: {}", index.says),
            IndexState::Dropped => "was built for the run and dropped".to_owned(),
        };
        text.push_str(&format!("\n{place}index {} on {} {fate}", index.name, index.on));
    }
    text
}

/// Until when rows can be put back, who holds them, since when they are gone: a line each.
pub(super) fn kept_text(kept: &Kept, begin: &str) -> String {
    let mut lines = Vec::new();
    match (&kept.expired, &kept.quarantine) {
        (Some(expired), _) => {
            lines.push(format!("rows are gone for good since {}: {}", expired.at, expired.why));
        }
        (None, Some(quarantine)) => {
            lines.push(format!("in quarantine until {}", quarantine.until));
            lines.extend(quarantine.refused.as_ref().map(|why| format!("not ended when it was due: {why}")));
        }
        (None, None) => {}
    }
    let held = |hold: &Hold| format!("archive held by {} since {}: {}", hold.by, hold.at, hold.reason);
    lines.extend(kept.hold.as_ref().map(held));
    lines.into_iter().map(|line| format!("{begin}{line}\n")).collect()
}
