//! `unseed resume`: goes on with a run that stopped.

use super::consent::{self, Act, Consent};
use super::keys::UnlockArgs;
use super::legs::{self, Archives};
use super::{Address, Done, Env, Opened, permit, purge, run_and_plan};
use clap::Args;
use unseed_core::approve::statement::Act as Agreed;
use unseed_core::fault::Fault;
use unseed_core::permit::Change;

/// Go on with a run that stopped
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed resume r-19
  unseed resume r-19 --confirm r-19")]
pub(crate) struct ResumeArgs {
    /// The run, as in `unseed runs`
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    #[command(flatten)]
    address: Address,
    /// A run over several stores may have to read back by which values their entries are found.
    #[command(flatten)]
    unlock: UnlockArgs,
    #[command(flatten)]
    consent: Consent,
}

pub(super) async fn run(env: &Env<'_>, args: &ResumeArgs) -> Result<Done, Fault> {
    let (run, whole) = run_and_plan(env, &args.run)?;
    permit::check(env, whole.plan(), &args.address, Change::Remove)?;
    let summary = format!("run {} of plan {} is {}", run.id, run.plan, run.state.as_str());
    let command = format!("unseed resume {}", run.id);
    let act = Act { verb: "resume", object: "run", id: &args.run, summary: &summary, command: &command };
    let confirmed = consent::to_run(env, (run, whole), Agreed::Purge, &args.consent, &act)?;
    let report = if confirmed.whole().plan().has_legs() {
        let archives = Archives::Unlocked(&args.unlock);
        let plan = confirmed.whole().plan();
        let mut opened = legs::Opened::for_removal(env, plan, &args.address, &archives).await?;
        opened.resume(&confirmed).await?
    } else {
        let mut opened = Opened::for_removal(env, confirmed.whole(), &args.address).await?;
        unseed_engine::resume::execute(&mut opened.context(), &confirmed).await?
    };
    purge::tell(env, &report)
}
