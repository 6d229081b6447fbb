//! `cargo xtask crash`: the long run of the crash harness, whose figures stand in docs/reliability.md.

use crate::process::{self, cargo};
use anyhow::Result;

/// How long it runs.
#[derive(Debug, clap::Args)]
pub(crate) struct CrashArgs {
    /// Purges of each scene, each killed at up to three random instants
    #[arg(long, default_value_t = 100)]
    instants: u64,
    /// The first seed; a failure prints its own
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(args: &CrashArgs) -> Result<()> {
    let mut test = cargo();
    test.args(["test", "-p", "unseed", "--test", "it", "--", "reliability::crash", "stores::prego"]);
    test.env("UNSEED_CASES", args.instants.to_string()).env("UNSEED_SEED", args.seed.to_string());
    process::run(test.env("UNSEED_STEPS", "1"))
}
