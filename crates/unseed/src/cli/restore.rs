//! `unseed restore`: puts archived rows back, all or those of one root.

use super::consent::{self, Act, Consent};
use super::keys::UnlockArgs;
use super::legs::{self, Archives};
use super::{Address, Done, Env, Opened, permit, run_and_plan};
use crate::table::Table;
use crate::ui;
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;
use unseed_core::approve::ConfirmedRun;
use unseed_core::approve::statement::Act as Agreed;
use unseed_core::fault::Fault;
use unseed_core::hook::HookFigures;
use unseed_core::permit::Change;
use unseed_core::plan::Plan;
use unseed_core::port::store::Restored;
use unseed_engine::restore::Scope;

/// Put archived rows back; where rows are in the way, list them and change nothing
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed restore r-19
  unseed restore r-19 --root 4711                 one root with what left because of it
  unseed restore r-19 --root tenants=4711         where a plan has roots in several tables
  unseed restore r-19 --confirm r-19              for scripts
  unseed restore r-19 --identity key.txt          of an encrypted archive
  unseed restore r-19 --skip-hooks                where a hook of the plan cannot work any more

Exits with 1 and changes nothing when rows are in the way; they are listed.")]
pub(crate) struct RestoreArgs {
    /// The run, as in `unseed runs`
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    #[command(flatten)]
    address: Address,
    /// Only this root: its key, or TABLE=KEY; values of composite keys are separated by commas
    #[arg(long, value_name = "KEY")]
    root: Option<String>,
    /// Run none of the plan's hooks
    #[arg(long)]
    skip_hooks: bool,
    #[command(flatten)]
    unlock: UnlockArgs,
    #[command(flatten)]
    consent: Consent,
}

pub(super) async fn run(env: &Env<'_>, args: &RestoreArgs) -> Result<Done, Fault> {
    let (run, whole) = run_and_plan(env, &args.run)?;
    permit::check(env, whole.plan(), &args.address, Change::Restore)?;
    if whole.plan().has_legs() && args.root.is_some() {
        return Err(Fault::usage("one root of a run over several stores cannot be put back alone")
            .hint(format!("put everything back with `unseed restore {}`", run.id)));
    }
    let scope = args.root.as_deref().map_or(Ok(Scope::Everything), |text| scope(whole.plan(), text))?;
    let what = match &scope {
        Scope::Everything => "all rows of".to_owned(),
        Scope::Root { table, key } => format!("{table} {} and what left because of it from", key.join(",")),
    };
    let summary = format!("this puts back {what} run {}", run.id);
    let mut command = format!("unseed restore {}", run.id);
    if let Some(root) = &args.root {
        command.push_str(&format!(" --root {root}"));
    }
    let act = Act { verb: "restore", object: "run", id: &args.run, summary: &summary, command: &command };
    let agreed = Agreed::Restore { run: args.run.clone() };
    let confirmed = consent::to_run(env, (run, whole), agreed, &args.consent, &act)?;
    let wanted =
        Wanted { scope: &scope, address: &args.address, unlock: &args.unlock, skip_hooks: args.skip_hooks };
    let (restored, failed) = execute(env, &confirmed, &wanted).await?;
    tell(env, &args.run, &scope, (&restored, &failed))
}

/// What to restore, and with which keys.
pub(super) struct Wanted<'a> {
    pub(super) scope: &'a Scope,
    pub(super) address: &'a Address,
    pub(super) unlock: &'a UnlockArgs,
    pub(super) skip_hooks: bool,
}

/// Restores what was agreed to; returns the hooks that failed afterwards as well.
pub(super) async fn execute(
    env: &Env<'_>,
    confirmed: &ConfirmedRun,
    wanted: &Wanted<'_>,
) -> Result<(Restored, Vec<HookFigures>), Fault> {
    let plan = confirmed.whole().plan();
    if plan.has_legs() {
        let archives = Archives::Unlocked(wanted.unlock);
        let opened = legs::Opened::for_plan(env, plan, wanted.address, &archives).await?;
        return opened.without_hooks(wanted.skip_hooks).restore(confirmed).await;
    }
    let archive = wanted.unlock.archive(env, confirmed.whole())?;
    let opened = Opened::for_plan(env, confirmed.whole(), wanted.address).await?.with_archive(archive);
    let mut opened = opened.without_hooks(wanted.skip_hooks);
    let mut cx = opened.context();
    let restored = unseed_engine::restore::execute(&mut cx, confirmed, wanted.scope).await?;
    Ok((restored, cx.live.failed_hooks))
}

fn tell(
    env: &Env<'_>,
    run: &str,
    scope: &Scope,
    (restored, failed): (&Restored, &[HookFigures]),
) -> Result<Done, Fault> {
    let fault = unseed_engine::restore::fault(run, &restored.conflicts);
    let hooks = unseed_engine::hooks::fault(run, &format!("run `{run}` is restored"), failed);
    if !env.ui.is_table() {
        env.ui.json(&json!({
            "format": "unseed.restore/1", "run": run, "restored": fault.is_none(),
            "inserted": restored.inserted, "reattached": restored.reattached, "conflicts": restored.conflicts,
            "failed_hooks": failed,
        }));
        return Ok(if fault.is_some() || hooks.is_some() { Done::Findings } else { Done::Success });
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    env.ui.text(&text(run, scope, restored));
    hooks.map_or(Ok(Done::Success), Err)
}

/// What was put back, in words.
pub(super) fn text(run: &str, scope: &Scope, restored: &Restored) -> String {
    let tables: BTreeSet<&String> = restored.inserted.keys().chain(restored.reattached.keys()).collect();
    let mut table = Table::new(&["table", "rows put back", "references set again"]).right(&[1, 2]);
    let figure =
        |rows: Option<&u64>| rows.copied().filter(|rows| *rows > 0).map_or_else(String::new, ui::count);
    for name in tables {
        table.row(&[
            name.clone(),
            figure(restored.inserted.get(name)),
            figure(restored.reattached.get(name)),
        ]);
    }
    let total: u64 = restored.inserted.values().sum();
    let what = match scope {
        Scope::Everything => format!("run {run}"),
        Scope::Root { table, key } => format!("{table} {} of run {run}", key.join(",")),
    };
    format!("{what} is restored: {} put back\n\n{table}", ui::rows(total))
}

/// A root as typed: its key, or its table and key.
fn scope(plan: &Plan, text: &str) -> Result<Scope, Fault> {
    let split = |key: &str, columns: usize| -> Vec<String> {
        if columns > 1 {
            key.split([',', '\t']).map(|part| part.trim().to_owned()).collect()
        } else {
            vec![key.to_owned()]
        }
    };
    let same_table = |typed: &str, full: &str| full == typed || full.rsplit('.').next() == Some(typed);
    if let Some((table, key)) = text.split_once('=')
        && let Some(roots) = plan.roots.iter().find(|roots| same_table(table.trim(), &roots.table))
    {
        return Ok(Scope::Root { table: roots.table.clone(), key: split(key, roots.columns.len()) });
    }
    match plan.roots.as_slice() {
        [only] => Ok(Scope::Root { table: only.table.clone(), key: split(text, only.columns.len()) }),
        several => {
            let names: Vec<&str> = several.iter().map(|roots| roots.table.as_str()).collect();
            Err(Fault::usage(format!("the plan has roots in several tables: {}", names.join(", ")))
                .hint(format!("write `--root {}={text}`", names.first().copied().unwrap_or("TABLE"))))
        }
    }
}
