//! The verbs: one file each, with its arguments and one function.
//!
//! To add one, write `VERB.rs` and add it to `Command` and `dispatch`.
//!
//! Invariants
//! - a verb returns what it has to say as a result or a fault; it never chooses an exit code by itself;
//! - a verb that changes a store asks whether it may (`permit`) and for consent (`consent`) first;
//! - a refusal is in the audit log (`log`).
//!
//! Not here: printing (`ui`), opening things (`wire`), the work itself (`engine`).

mod approvals;
mod approve;
mod archive;
mod audit;
mod choose;
mod classify;
mod completions;
mod consent;
mod demo;
mod due;
mod init;
mod inventory;
mod keys;
mod legs;
mod log;
#[doc(hidden)]
pub mod parsing;
mod permit;
mod plan;
mod purge;
mod record;
mod restore;
mod resume;
mod retention;
mod runs;
mod scan;
mod show;
mod verify;

use crate::ui::{Color, Format, Ui};
use crate::wire::{Options, Target, Wire};
use clap::{Args, Parser, Subcommand};
use log::Deed;
use std::path::PathBuf;
use std::process::ExitCode;
use unseed_core::config::Purging;
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::WholePlan;
use unseed_core::plan::PlanStore;
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::gauges::Gauges;
use unseed_core::port::state::StateDb;
use unseed_core::port::store::StoreWaits;
use unseed_core::run::Run;
use unseed_engine::context::{Context, Live, Patience};
use unseed_engine::interrupt::Interrupt;
use unseed_io::archive::FolderArchive;
use unseed_io::store::AnyStore;

/// Finds the test data in a production system, takes it out safely, proves it, and can put it back.
#[derive(Debug, Parser)]
#[command(name = "unseed", version, arg_required_else_help = false, subcommand_required = true)]
#[command(after_help = "Examples:
  unseed demo                                     see the whole way on a small database of its own
  unseed scan postgres://me@db.example/app        look for test data
  unseed plan postgres://me@db.example/app --findings -o plan.json
  unseed show plan.json                           read what would be removed, and why
  unseed approve plan.json                        sign it, where several people have to agree
  unseed purge plan.json                          archive it, remove it, prove it
  unseed verify r-1 && unseed runs                look again
  unseed restore r-1                              put it back

Exit codes: 0 success · 1 findings, or something remains · 2 wrong usage or configuration ·
3 refused for safety · 4 a store failed or the run stopped · 130 interrupted, resumable")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Arguments that every verb takes.
#[derive(Debug, Args)]
struct Global {
    /// Configuration file [default: unseed.toml, if there is one]
    #[arg(long, help_heading = "Global options", global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of state and archives, or the URL of a PostgreSQL database for the state [default: .unseed beside the
    /// configuration, or UNSEED_STATE]
    #[arg(long, help_heading = "Global options", global = true, value_name = "DIR|URL")]
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    state: Option<String>,
    /// How results are printed
    #[arg(long, help_heading = "Global options", global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// When colour is used
    #[arg(long, help_heading = "Global options", global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Print results and faults only, no progress and no notes
    #[arg(long, short, help_heading = "Global options", global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Init(init::InitArgs),
    Scan(scan::ScanArgs),
    Inventory(inventory::InventoryArgs),
    Classify(classify::ClassifyArgs),
    Plan(Box<plan::PlanArgs>),
    Show(show::ShowArgs),
    Approve(approve::ApproveArgs),
    Purge(purge::PurgeArgs),
    Resume(resume::ResumeArgs),
    Verify(verify::VerifyArgs),
    Restore(restore::RestoreArgs),
    Runs(runs::RunsArgs),
    Audit(audit::AuditArgs),
    Archive(archive::ArchiveArgs),
    Completions(completions::CompletionsArgs),
}

/// How a verb ended without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Success,
    /// The result says that something is there that must not be.
    Findings,
    /// The result says what went wrong.
    Told(Category),
}

/// What a verb works with.
pub(crate) struct Env<'a> {
    pub(crate) wire: Wire,
    pub(crate) ui: &'a Ui,
    pub(crate) interrupt: &'a Interrupt,
}

impl Cli {
    /// The printer that the arguments ask for.
    pub(crate) fn ui(&self) -> Ui {
        Ui::new(self.global.format, self.global.color, self.global.quiet)
    }

    /// Whether the command removes rows batch by batch, so that it pays to wait for the end of one.
    pub(crate) fn removes_batches(&self) -> bool {
        match &self.command {
            Command::Purge(_) | Command::Resume(_) => true,
            Command::Demo(_)
            | Command::Init(_)
            | Command::Scan(_)
            | Command::Inventory(_)
            | Command::Classify(_)
            | Command::Plan(_)
            | Command::Show(_)
            | Command::Approve(_)
            | Command::Verify(_)
            | Command::Restore(_)
            | Command::Runs(_)
            | Command::Audit(_)
            | Command::Archive(_)
            | Command::Completions(_) => false,
        }
    }
}

/// Runs a parsed command to its exit code.
pub(crate) async fn execute(cli: Cli, ui: &Ui, interrupt: &Interrupt) -> ExitCode {
    let options = Options { config: cli.global.config, state: cli.global.state };
    let result = match Wire::new(&options) {
        Ok(wire) => logged(cli.command, &Env { wire, ui, interrupt }).await,
        Err(fault) => Err(fault),
    };
    match result {
        Ok(Done::Success) => ExitCode::SUCCESS,
        Ok(Done::Findings) => ExitCode::from(Category::Findings.exit_code()),
        Ok(Done::Told(category)) => ExitCode::from(category.exit_code()),
        Err(fault) => {
            ui.fault(&fault);
            ExitCode::from(fault.category.exit_code())
        }
    }
}

/// Runs a command; what it was refused is logged, and what it did is signed where a key for that is configured.
async fn logged(command: Command, env: &Env<'_>) -> Result<Done, Fault> {
    let deed = command.deed();
    match dispatch(command, env).await {
        Err(fault) => Err(log::refusal(env, &deed, fault)),
        Ok(done) => log::sign(env, &deed).map(|()| done),
    }
}

impl Command {
    /// What the command is about, for the audit log.
    fn deed(&self) -> Deed {
        let (verb, object, changes) = match self {
            // Which logs what it is refused itself, and signs what it did, since it is asked every minute.
            Self::Purge(args) if args.due => {
                return Deed { verb: "purge", object: "--due".to_owned(), changes: false, logs_itself: true };
            }
            Self::Purge(args) => ("purge", args.shown(), true),
            Self::Resume(args) => ("resume", args.run.clone(), true),
            Self::Restore(args) => ("restore", args.run.clone(), true),
            Self::Approve(args) => ("approve", args.what.clone(), true),
            Self::Verify(args) => ("verify", args.run.clone(), false),
            Self::Plan(args) => ("plan", args.output.display().to_string(), false),
            Self::Show(args) => ("show", args.what.clone(), false),
            Self::Scan(_) => ("scan", String::new(), false),
            Self::Inventory(_) => ("inventory", String::new(), false),
            Self::Audit(_) => ("audit", String::new(), false),
            Self::Archive(args) => ("archive", args.object(), args.changes()),
            Self::Demo(_) | Self::Init(_) | Self::Classify(_) | Self::Runs(_) | Self::Completions(_) => {
                ("", String::new(), false)
            }
        };
        Deed { verb, object, changes, logs_itself: false }
    }
}

async fn dispatch(command: Command, env: &Env<'_>) -> Result<Done, Fault> {
    match command {
        Command::Demo(args) => demo::run(env, &args).await,
        Command::Init(args) => init::run(env, &args).await,
        Command::Scan(args) => scan::run(env, &args).await,
        Command::Inventory(args) => inventory::run(env, &args).await,
        Command::Classify(args) => classify::run(env, &args),
        Command::Plan(args) => plan::run(env, &args).await,
        Command::Show(args) => show::run(env, &args).await,
        Command::Approve(args) => approve::run(env, &args),
        Command::Purge(args) => purge::run(env, &args).await,
        Command::Resume(args) => resume::run(env, &args).await,
        Command::Verify(args) => verify::run(env, &args).await,
        Command::Restore(args) => restore::run(env, &args).await,
        Command::Runs(args) => runs::run(env, &args),
        Command::Audit(args) => audit::run(env, &args),
        Command::Archive(args) => archive::run(env, &args).await,
        Command::Completions(args) => Ok(completions::run(env, &args)),
    }
}

/// Where the store of a plan or run is, if not where the plan says.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Address {
    /// Store to connect to, if the plan's address lost its password or is a variable: a URL or env:NAME
    #[arg(value_name = "URL")]
    positional: Option<String>,
    /// The same as an option
    #[arg(long = "url", value_name = "URL", conflicts_with = "positional")]
    option: Option<String>,
}

impl Address {
    pub(crate) fn get(&self) -> Option<&str> {
        self.option.as_deref().or(self.positional.as_deref())
    }
}

/// What a run of the engine needs, opened.
pub(crate) struct Opened<'a> {
    env: &'a Env<'a>,
    store: Box<dyn AnyStore>,
    state: Box<dyn StateDb>,
    archive: Box<dyn ArchiveStore>,
    gauges: Option<Box<dyn Gauges>>,
    skip_hooks: bool,
}

impl<'a> Opened<'a> {
    /// Connects to the store of a plan, with the state and the archive beside it.
    pub(crate) async fn for_plan(
        env: &'a Env<'a>,
        whole: &WholePlan,
        address: &Address,
    ) -> Result<Self, Fault> {
        let planned = planned_store(whole)?;
        let target: Target = env.wire.target_of_plan(planned, address.get())?;
        let state = Box::new(env.wire.state()?);
        let archive = Box::new(env.wire.archive(&planned.kind));
        let store = env.wire.open(&target).await?;
        Ok(Self { env, store, state, archive, gauges: None, skip_hooks: false })
    }

    /// As [`Opened::for_plan`], to remove rows while others use the store.
    pub(crate) async fn for_removal(
        env: &'a Env<'a>,
        whole: &WholePlan,
        address: &Address,
    ) -> Result<Self, Fault> {
        let target = env.wire.target_of_plan(planned_store(whole)?, address.get())?;
        let gauges = env.wire.gauges(&target, &env.wire.config.throttle)?;
        Ok(Self { gauges, ..Self::for_plan(env, whole, address).await? })
    }

    /// Without the hooks of the plan.
    pub(crate) fn without_hooks(self, skip_hooks: bool) -> Self {
        Self { skip_hooks, ..self }
    }

    /// With archives that are written or read in another way.
    pub(crate) fn with_archive(self, archive: FolderArchive) -> Self {
        Self { archive: Box::new(archive), ..self }
    }

    /// The surroundings of a run.
    pub(crate) fn context(&mut self) -> Context<'_> {
        Context {
            store: self.store.store(),
            state: self.state.as_mut(),
            archive: self.archive.as_mut(),
            clock: &self.env.wire.clock,
            progress: self.env.ui.progress(),
            interrupt: self.env.interrupt,
            actor: &self.env.wire.actor,
            holder: &self.env.wire.holder,
            patience: patience(&self.env.wire.config.purge),
            live: Live {
                throttle: self.env.wire.config.throttle.clone(),
                gauges: self.gauges.take(),
                window: self.env.wire.config.purge.window.clone(),
                waits: waits(&self.env.wire.config.purge),
                commands: Some(Box::new(self.env.wire.commands())),
                skip_hooks: self.skip_hooks,
                ..Live::default()
            },
        }
    }
}

fn planned_store(whole: &WholePlan) -> Result<&PlanStore, Fault> {
    whole.plan().stores.first().ok_or_else(|| {
        Fault::usage(format!("plan `{}` names no store", whole.plan().id))
            .hint("make the plan again with `unseed plan`")
    })
}

fn waits(configured: &Purging) -> StoreWaits {
    StoreWaits { lock_ms_max: configured.lock_ms_max, statement_ms_max: configured.statement_ms_max }
}

fn patience(configured: &Purging) -> Patience {
    let default = Patience::default();
    Patience {
        attempts_max: configured.attempts_max.unwrap_or(default.attempts_max),
        wait_ms_first: configured.pause_ms_first.unwrap_or(default.wait_ms_first),
        wait_ms_max: configured.pause_ms_max.unwrap_or(default.wait_ms_max),
        ..default
    }
}

/// A run of the state database and the plan it executes.
pub(crate) fn run_and_plan(env: &Env<'_>, id: &str) -> Result<(Run, WholePlan), Fault> {
    let missing =
        || Fault::usage(format!("no such run `{id}`")).hint("run `unseed runs` to see which runs there are");
    if let Some((own, store)) = id.split_once('/') {
        return Err(Fault::usage(format!("`{id}` is what run `{own}` did in store `{store}`"))
            .hint(format!("name the whole run, `{own}`")));
    }
    let mut state = env.wire.existing_state()?.ok_or_else(missing)?;
    let run = state.run(id)?;
    let whole = crate::plan_file::read(&env.wire.plan_copy(&run.plan_digest)).map_err(|fault| {
        let message = format!("the plan of run `{id}` cannot be used: {}", fault.message);
        Fault::new(Category::Archive, message)
            .hint("bring the state folder back from a copy, or name the right one with `--state DIR`")
    })?;
    Ok((run, whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "`{}` has no example", command.get_name());
            assert!(command.get_about().is_some(), "`{}` says nothing about itself", command.get_name());
        }
    }
}
