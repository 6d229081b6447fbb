//! `cargo xtask fuzz`: damaged inputs for everything that reads bytes from outside (`fuzz/`).

use crate::process::{self, cargo};
use anyhow::{Context as _, Result, bail};
use std::process::{Child, Command, Stdio};

/// How long, and what.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// Seconds of a processor for each parser; they share the cores of the machine
    #[arg(long, default_value_t = 8)]
    pub seconds: u64,
    /// Seconds after which no parser gets another turn, on a machine that has little time to spare
    #[arg(long)]
    pub within: Option<u64>,
    /// The seed that an earlier run printed [default: another one each time]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only these parsers
    pub targets: Vec<String>,
}

pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    process::run(&mut fed(cargo(), args))
}

fn fed(mut cargo: Command, args: &FuzzArgs) -> Command {
    cargo.args(["run", "--quiet", "-p", "unseed-fuzz", "--", "--seconds", &args.seconds.to_string()]);
    if let Some(within) = args.within {
        cargo.args(["--within", &within.to_string()]);
    }
    if let Some(seed) = args.seed {
        cargo.args(["--seed", &seed.to_string()]);
    }
    cargo.args(&args.targets);
    cargo
}

/// Seconds that a run beside something else may take: enough for a minute for each parser, even where little is left.
const BESIDE_MAX_S: u64 = 1_100;

/// Every parser is fed while something else runs, at the lowest priority, with what that leaves of the cores.
pub(crate) struct Beside(Child);

impl Beside {
    /// Builds first, so that nothing waits for the build of the other.
    pub(crate) fn begin(seconds: u64) -> Result<Self> {
        process::run(cargo().args(["build", "--quiet", "-p", "unseed-fuzz"]))?;
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"]).arg(cargo().get_program()).current_dir(process::root());
        let mut command =
            fed(nice, &FuzzArgs { seconds, within: Some(BESIDE_MAX_S), seed: None, targets: Vec::new() });
        let child =
            command.stdin(Stdio::null()).spawn().with_context(|| format!("{command:?} did not start"))?;
        Ok(Self(child))
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Result<()> {
        let status = self.0.wait().context("the fuzz run cannot be waited for")?;
        if !status.success() {
            bail!("a parser broke under damaged inputs, see above ({status})");
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Ended already, unless what it ran beside has failed.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}
