//! `cargo xtask fuzz`: damaged inputs for everything that reads bytes from outside (`fuzz/`).

use crate::process::{self, cargo};
use anyhow::Result;

/// How long, and what.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// How long each parser is fed; they share the cores of the machine
    #[arg(long, default_value_t = 8)]
    pub seconds: u64,
    /// The seed that an earlier run printed [default: another one each time]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only these parsers
    pub targets: Vec<String>,
}

pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "-p", "unseed-fuzz", "--", "--seconds", &args.seconds.to_string()]);
    if let Some(seed) = args.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    process::run(command.args(&args.targets))
}
