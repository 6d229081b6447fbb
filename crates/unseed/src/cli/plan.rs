//! `unseed plan`: chooses roots, computes what leaves with them, writes it down.

use super::{Done, Env, choose, legs, scan, show};
use crate::plan_file;
use crate::wire::Target;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use unseed_core::fault::Fault;
use unseed_core::keeping;
use unseed_core::keys::WholePlan;
use unseed_core::plan::{BuildIndexes, Path as Way};
use unseed_core::policy::Policy;
use unseed_engine::plan::{Choice, Request};
use unseed_engine::scan::Wanted;
use unseed_io::store::AnyStore;

/// Choose roots and write down everything that leaves with them
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  unseed plan app.db --findings -o plan.json
  unseed plan app.db --findings=scan.json -o plan.json
  unseed plan --where \"tenants: name LIKE 'Test%'\" --protect 'tenants.id=1,2' -o plan.json
  unseed plan --ids tenants=ids.txt -o plan.json
  unseed plan --findings --build-indexes never -o plan.json
  unseed plan app.db --findings --quarantine 30d  rows can be put back for 30 days, then they are gone for good

Nothing is changed in the store. A plan is used once, by `unseed purge`.")]
pub(crate) struct PlanArgs {
    /// Store: a URL, the path of a SQLite file, env:NAME, or a name of the configuration
    pub(crate) url: Option<String>,
    /// Where to write the plan
    #[arg(long, short, value_name = "FILE", default_value = "plan.json")]
    pub(crate) output: PathBuf,
    /// Roots: all findings with verdict `test`, of a new scan or of a report
    #[arg(long, value_name = "SCAN.json", num_args = 0..=1, require_equals = true)]
    pub(crate) findings: Option<Option<PathBuf>>,
    /// Roots: the rows of a table for which an SQL predicate holds
    #[arg(long = "where", value_name = "TABLE: PREDICATE")]
    pub(crate) predicates: Vec<String>,
    /// Roots: keys from a file, one a line, composite keys with tabs; `-` is standard input
    #[arg(long, value_name = "TABLE=FILE")]
    pub(crate) ids: Vec<String>,
    /// Rows that must never go, beside those of the configuration: `TABLE.COLUMN=value,…` or `TABLE: PREDICATE`
    #[arg(long, value_name = "ROWS")]
    pub(crate) protect: Vec<String>,
    /// A link that no constraint declares: `FROM -> TO [delete|detach|keep]`
    #[arg(long, value_name = "LINK")]
    pub(crate) reference: Vec<String>,
    /// A table that triggers may change beyond the plan; such rows are archived too
    #[arg(long, value_name = "TABLE")]
    pub(crate) allow_effect: Vec<String>,
    /// How rows are removed
    #[arg(long, value_enum, default_value_t = WayChoice::Auto)]
    pub(crate) path: WayChoice,
    /// Whether indexes on foreign keys are built for the time of the run and dropped afterwards (PostgreSQL)
    #[arg(long, value_enum, default_value_t = IndexChoice::Auto, value_name = "WHEN")]
    pub(crate) build_indexes: IndexChoice,
    /// Rows of one batch, about [default: 180000; 40000 where the server checks references]
    #[arg(long, value_name = "N")]
    pub(crate) batch_rows: Option<u64>,
    /// Only this store, without those that the configuration derives from it
    #[arg(long)]
    pub(crate) alone: bool,
    /// Refuse a plan that removes more rows
    #[arg(long, value_name = "N")]
    pub(crate) max_rows: Option<u64>,
    /// Refuse a plan that removes a larger share of a table that roots are chosen from, 0 to 1
    #[arg(long, value_name = "SHARE")]
    pub(crate) max_share: Option<f64>,
    /// How long rows can be put back after the purge before they are gone for good: 12h, 30d, 2w
    #[arg(long, value_name = "TIME")]
    pub(crate) quarantine: Option<String>,
}

/// `--path`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WayChoice {
    /// The faster one that the role may use
    #[default]
    Auto,
    /// Skip the store's checks; the same is proven by sets before each commit
    Fast,
    /// Let the store check every row
    Checked,
    /// Empty the tables and put back the few rows that stay; locks out everybody meanwhile, no trigger fires (PostgreSQL)
    Rewrite,
}

/// `--build-indexes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum IndexChoice {
    /// Where that saves more than a second
    #[default]
    Auto,
    /// On every foreign key without one under which rows leave
    Always,
    /// On none
    Never,
}

pub(super) async fn run(env: &Env<'_>, args: &PlanArgs) -> Result<Done, Fault> {
    let target = env.wire.target(args.url.as_deref())?;
    let (whole, path) = make(env, args, &target).await?;
    if env.ui.is_table() {
        env.ui.text(&show::plan_text(env.ui, whole.plan()));
        let shown = path.display();
        env.ui.note(&format!("plan written to {shown}; nothing was changed"));
        let then = if env.wire.config.approval.required > 0 { "approve" } else { "purge" };
        env.ui.note(&format!("next: `unseed show {shown} --sql`, then `unseed {then} {shown}`"));
    } else {
        env.ui.json(whole.plan());
    }
    Ok(Done::Success)
}

/// Makes a plan and writes it.
pub(super) async fn make(
    env: &Env<'_>,
    args: &PlanArgs,
    target: &Target,
) -> Result<(WholePlan, PathBuf), Fault> {
    let policy = policy(env, args)?;
    let mut choices = named_choices(args)?;
    let mut store = env.wire.open(target).await?;
    choices.extend(found_choices(env, args, &policy, store.as_mut(), &target.name).await?);
    let request = Request {
        store: &target.name,
        url: &target.address,
        choices,
        policy: &policy,
        path: match args.path {
            WayChoice::Auto => None,
            WayChoice::Fast => Some(Way::Fast),
            WayChoice::Checked => Some(Way::Checked),
            WayChoice::Rewrite => Some(Way::Rewrite),
        },
        batch_rows_max: args.batch_rows,
        build_indexes: match args.build_indexes {
            IndexChoice::Auto => BuildIndexes::Auto,
            IndexChoice::Always => BuildIndexes::Always,
            IndexChoice::Never => BuildIndexes::Never,
        },
        created_by: &env.wire.actor,
    };
    let followers = if args.alone { Ok(Vec::new()) } else { legs::followers(env, &target.name).await };
    let made = match followers {
        Ok(none) if none.is_empty() => {
            unseed_engine::plan::make(store.store(), &env.wire.clock, env.ui.progress(), &request).await
        }
        Ok(followers) => legs::plan(env, store.as_mut(), request, followers).await,
        Err(fault) => Err(fault),
    };
    let whole = made.map_err(no_plan_saved)?;
    writable(&args.output)?;
    plan_file::write(&args.output, &whole)?;
    Ok((whole, args.output.clone()))
}

fn no_plan_saved(fault: Fault) -> Fault {
    if fault.state == "nothing was changed" {
        fault.state("no plan was saved, and nothing was changed")
    } else {
        fault
    }
}

/// A folder in the place of the plan would otherwise be told in the words of the system.
fn writable(path: &Path) -> Result<(), Fault> {
    if path.is_dir() {
        return Err(Fault::usage(format!("`{}` is a folder", path.display()))
            .state("no plan was saved, and nothing was changed")
            .hint("name a file with `-o FILE`"));
    }
    Ok(())
}

fn policy(env: &Env<'_>, args: &PlanArgs) -> Result<Policy, Fault> {
    let mut policy = env.wire.config.policy();
    for text in &args.protect {
        policy.protect.push(choose::protection(text)?);
    }
    for text in &args.reference {
        policy.references.push(choose::reference(text)?);
    }
    policy.allow_effects.extend(args.allow_effect.iter().cloned());
    if let Some(max_rows) = args.max_rows {
        policy.limits.max_rows = max_rows;
    }
    if let Some(text) = &args.quarantine {
        policy.keeping.quarantine_s = Some(keeping::span(text, "`--quarantine`")?);
    }
    if let Some(share) = args.max_share {
        if !(0.0..=1.0).contains(&share) {
            return Err(Fault::usage(format!("`--max-share {share}` does not lie between 0 and 1"))
                .hint("write for example `--max-share 0.9`"));
        }
        policy.limits.max_share_of_table = share;
    }
    Ok(policy)
}

fn named_choices(args: &PlanArgs) -> Result<Vec<Choice>, Fault> {
    if args.findings.is_none() && args.predicates.is_empty() && args.ids.is_empty() {
        return Err(Fault::usage("no roots were chosen")
            .hint("add `--findings`, `--where 'TABLE: PREDICATE'` or `--ids TABLE=FILE`"));
    }
    let mut choices = Vec::new();
    for text in &args.predicates {
        choices.push(choose::by_predicate(text)?);
    }
    for text in &args.ids {
        choices.push(choose::by_ids(text)?);
    }
    Ok(choices)
}

async fn found_choices(
    env: &Env<'_>,
    args: &PlanArgs,
    policy: &Policy,
    store: &mut dyn AnyStore,
    name: &str,
) -> Result<Vec<Choice>, Fault> {
    let found = match &args.findings {
        None => return Ok(Vec::new()),
        Some(Some(path)) => choose::by_report_file(path)?,
        Some(None) => {
            let scanned = scan::scan(env, store, name, (Wanted::Findings, policy)).await?;
            choose::by_findings(scanned.findings)?
        }
    };
    if found.is_empty() && args.predicates.is_empty() && args.ids.is_empty() {
        return Err(Fault::usage("the scan found no row with verdict `test`, so there is nothing to plan")
            .hint("choose rows yourself with `--where 'TABLE: PREDICATE'` or `--ids TABLE=FILE`"));
    }
    Ok(found)
}
