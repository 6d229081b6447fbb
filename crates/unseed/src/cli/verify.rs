//! `unseed verify`: looks again after a purge.

use super::keys::UnlockArgs;
use super::legs::{self, Archives};
use super::{Address, Done, Env, Opened, run_and_plan};
use crate::table::Table;
use crate::ui::{self, Tone};
use clap::Args;
use serde_json::json;
use unseed_core::fault::Fault;
use unseed_core::keys::WholePlan;
use unseed_engine::report::{RunReport, Verification};

/// Look again after a purge: roots gone, no orphans, protected rows and archive as they were
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed verify r-19
  unseed verify r-19 --format json | jq .clean
  unseed verify r-19 --identity key.txt           reads every archived row as well

Exits with 0 only when nothing remains and everything is as it should be.")]
pub(crate) struct VerifyArgs {
    /// The run, as in `unseed runs`
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    #[command(flatten)]
    address: Address,
    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(super) async fn run(env: &Env<'_>, args: &VerifyArgs) -> Result<Done, Fault> {
    let (_, whole) = run_and_plan(env, &args.run)?;
    let report = execute(env, &args.run, &whole, (&args.address, &args.unlock)).await?;
    let fault = unseed_engine::verify::fault(&report);
    if !env.ui.is_table() {
        let clean = fault.is_none();
        let verification = report.verification.clone().unwrap_or_default();
        env.ui.json(&json!({
            "format": "unseed.verify/1", "run": report.run, "clean": clean, "verification": verification,
        }));
        return Ok(if clean { Done::Success } else { Done::Findings });
    }
    env.ui.text(&text(env, &report));
    fault.map_or(Ok(Done::Success), Err)
}

/// Verifies a run.
pub(super) async fn execute(
    env: &Env<'_>,
    run: &str,
    whole: &WholePlan,
    (address, unlock): (&Address, &UnlockArgs),
) -> Result<RunReport, Fault> {
    if whole.plan().has_legs() {
        let archives = Archives::Unlocked(unlock);
        let mut opened = legs::Opened::for_plan(env, whole.plan(), address, &archives).await?;
        return opened.verify(run, whole).await;
    }
    let archive = unlock.archive(env, whole)?;
    let mut opened = Opened::for_plan(env, whole, address).await?.with_archive(archive);
    unseed_engine::verify::execute(&mut opened.context(), run, whole).await
}

/// What was looked at, in words.
pub(super) fn text(env: &Env<'_>, report: &RunReport) -> String {
    let Some(found) = &report.verification else { return String::new() };
    let mut table = Table::new(&["checked", "found", ""]);
    let mut lines = lines(found).to_vec();
    if !report.legs.is_empty() {
        lines.insert(1, entries(found));
    }
    for (checked, result, good) in lines {
        let (word, tone) = if good { ("ok", Tone::Good) } else { ("not ok", Tone::Bad) };
        table.row(&[checked, result, env.ui.painted(word, tone)]);
    }
    format!("run {} after the purge\n\n{table}", report.run)
}

fn entries(found: &Verification) -> (String, String, bool) {
    let left: u64 = found.leftovers.values().sum();
    (
        format!("{} entries of other stores", ui::count(found.entries_checked)),
        format!("{} still there", ui::count(left)),
        left == 0,
    )
}

fn lines(found: &Verification) -> [(String, String, bool); 4] {
    let orphans: u64 = found.orphans.values().sum();
    [
        (
            ui::counted(found.roots_checked, "root"),
            format!("{} still there", ui::count(found.roots_present)),
            found.roots_present == 0,
        ),
        (
            ui::counted(found.references_checked, "reference"),
            ui::counted(orphans, "new orphan"),
            orphans == 0,
        ),
        (
            ui::counted(found.protected_rows, "protected row"),
            format!("{} changed", ui::counted(size(&found.protected_changed), "table")),
            found.protected_changed.is_empty(),
        ),
        (
            archive(found),
            format!("{} other than removed", ui::counted(size(&found.archive_differs), "table")),
            found.archive_differs.is_empty(),
        ),
    ]
}

fn archive(found: &Verification) -> String {
    match &found.archive_expired_at {
        Some(at) => format!("manifests of an archive that expired at {at}"),
        None => format!(
            "{}, {}",
            ui::counted(found.archive_parts, "archive file"),
            ui::counted(found.archive_bytes, "byte")
        ),
    }
}

fn size(list: &[String]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}
