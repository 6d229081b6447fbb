//! `unseed purge`: archives, removes and proves what a plan says.

use super::consent::{self, Act, Consent};
use super::keys::SealArgs;
use super::legs::{self, Archives};
use super::{Address, Done, Env, Opened, due, permit, show};
use crate::plan_file;
use clap::Args;
use std::path::PathBuf;
use unseed_core::approve::ConfirmedPlan;
use unseed_core::fault::{Category, Fault};
use unseed_core::hook::{At, HookFigures, Phase};
use unseed_core::keeping::{self, Keeping};
use unseed_core::keys::WholePlan;
use unseed_core::permit::Change;
use unseed_core::plan::Plan;
use unseed_core::port::state::StateDb;
use unseed_engine::hooks;
use unseed_engine::report::RunReport;
use unseed_io::archive::FolderArchive;

/// Archive, remove and prove what a plan says
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed purge plan.json                          asks for the plan's short id
  unseed purge plan.json --confirm 7f3a90bc       for scripts
  unseed purge plan.json --url env:DATABASE_URL
  unseed purge plan.json --approval kim.json      where approvals are asked for; those beside the plan are found
  unseed purge plan.json --recipient age1…        the archive opens with that private key alone
  unseed purge plan.json --quarantine 30d         rows leave now, and are gone for good in 30 days
  unseed purge --due                              ends every quarantine whose time is over; for cron

Every batch is archived durably before it is removed, and removed as a whole or not at all.
Ctrl-C stops after the batch; `unseed resume RUN` goes on, `unseed restore RUN` puts the rows back.")]
pub(crate) struct PurgeArgs {
    /// The plan
    #[arg(value_name = "PLAN.json", required_unless_present = "due")]
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) address: Address,
    #[command(flatten)]
    pub(crate) seal: SealArgs,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// Until this time is over, `unseed restore` puts the rows back; then `unseed purge --due` removes them for good:
    /// 12h, 30d, 2w
    #[arg(long, value_name = "TIME", conflicts_with = "due")]
    pub(crate) quarantine: Option<String>,
    /// Remove for good what was in quarantine long enough, after looking again; what is not due is left alone
    #[arg(long, conflicts_with_all = ["plan", "recipients", "files", "confirm"])]
    pub(crate) due: bool,
}

impl PurgeArgs {
    /// The plan as it was named.
    pub(super) fn shown(&self) -> String {
        self.plan.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }
}

pub(super) async fn run(env: &Env<'_>, args: &PurgeArgs) -> Result<Done, Fault> {
    let Some(path) = &args.plan else { return due::run(env, &args.address).await };
    let whole = plan_file::read(path)?;
    unused(env, whole.plan())?;
    permit::check(env, whole.plan(), &args.address, Change::Remove)?;
    let archive = args.seal.archive(env, &whole)?;
    let quarantine_s =
        args.quarantine.as_ref().map(|text| keeping::span(text, "`--quarantine`")).transpose()?;
    let command = format!("unseed purge {}", path.display());
    let summary = summary(whole.plan(), quarantine_s);
    let act = Act {
        verb: "purge",
        object: "plan",
        id: &whole.plan().id.clone(),
        summary: &summary,
        command: &command,
    };
    let mut confirmed = consent::to_purge(env, whole.clone(), path, &args.consent, &act)?;
    if let Some(quarantine_s) = quarantine_s {
        confirmed = confirmed.quarantined(quarantine_s)?;
    }
    let report = if confirmed.plan().has_legs() {
        let archives = Archives::Sealed(&args.seal);
        let mut opened = legs::Opened::for_removal(env, confirmed.plan(), &args.address, &archives).await?;
        keep_plan(env, confirmed.whole())?;
        opened.purge(&confirmed).await?
    } else {
        execute(env, confirmed, archive, &args.address).await?
    };
    tell(env, &report)
}

/// Purges what was agreed to, into these archives.
pub(super) async fn execute(
    env: &Env<'_>,
    confirmed: ConfirmedPlan,
    archive: FolderArchive,
    address: &Address,
) -> Result<RunReport, Fault> {
    let mut opened = Opened::for_removal(env, confirmed.whole(), address).await?.with_archive(archive);
    keep_plan(env, confirmed.whole())?;
    unseed_engine::purge::execute(&mut opened.context(), confirmed).await
}

/// Keeps the plan with the state, so that the run can be resumed and restored without the plan's file.
fn keep_plan(env: &Env<'_>, whole: &WholePlan) -> Result<(), Fault> {
    let path = env.wire.plan_copy(&whole.plan().digest);
    let folder = path.parent().unwrap_or(&env.wire.state_folder);
    unseed_io::state::private_folder(folder).map_err(|error| {
        let message = format!("state folder `{}` cannot be written: {error}", folder.display());
        Fault::new(Category::Archive, message)
            .hint("make the folder writable, or choose another one with `--state DIR`")
    })?;
    plan_file::write(&path, whole).map_err(|fault| {
        fault
            .state("nothing was changed")
            .hint("make the folder writable, or choose another one with `--state DIR`")
    })
}

/// Says before anybody is asked that a plan was used; the state database refuses it again when it is purged.
fn unused(env: &Env<'_>, plan: &Plan) -> Result<(), Fault> {
    let Some(mut state) = env.wire.existing_state()? else { return Ok(()) };
    match state.run_of_plan(&plan.digest)? {
        None => Ok(()),
        Some(run) => {
            let message = format!("plan `{}` was already used by run `{}`", plan.id, run.id);
            Err(Fault::refused(message)
                .state(format!("nothing was changed; run `{}` is {}", run.id, run.state.as_str()))
                .hint(format!("see `unseed show {}`, or make a new plan", run.id)))
        }
    }
}

fn summary(plan: &Plan, quarantine_s: Option<u64>) -> String {
    let mut lines = vec![format!("plan {} {}", plan.id, show::in_one_line(plan))];
    lines.extend(plan.indexes.iter().map(|index| format!("  builds an index for the run: {}", index.on())));
    lines.extend(plan.policy.hooks.iter().map(|hook| format!("  hook {hook}")));
    lines.extend(plan.warnings.iter().map(|w| format!("  warning: {}: {}", w.table, w.says)));
    let keeping =
        Keeping { quarantine_s: quarantine_s.or(plan.policy.keeping.quarantine_s), ..plan.policy.keeping };
    lines.push(match show::keeping_text(keeping) {
        Some(text) => format!("rows are archived before they are removed; {text}"),
        None => "rows are archived before they are removed, and can be put back".to_owned(),
    });
    lines.join("\n")
}

/// Prints the report of a purge.
///
/// # Errors
/// What hooks failed to do after everything was done.
pub(super) fn tell(env: &Env<'_>, report: &RunReport) -> Result<Done, Fault> {
    let is_failed =
        |hook: &&HookFigures| hook.at == At::After && hook.of == Phase::Purge && !hook.succeeded();
    let failed: Vec<HookFigures> = report.hooks.iter().filter(is_failed).cloned().collect();
    let fault = hooks::fault(&report.run, &format!("run `{}` is done", report.run), &failed);
    if !env.ui.is_table() {
        env.ui.json(report);
        return Ok(if fault.is_some() { Done::Findings } else { Done::Success });
    }
    env.ui.text(&show::run_text(env.ui, report));
    let run = &report.run;
    let until = report.kept.quarantine.as_ref().map(|quarantine| format!(" until {}", quarantine.until));
    let until = until.unwrap_or_default();
    env.ui.note(&format!("next: `unseed verify {run}`; `unseed restore {run}` puts the rows back{until}"));
    fault.map_or(Ok(Done::Success), Err)
}
