//! `unseed completions`: completion scripts for shells.

use super::{Cli, Done, Env};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:
  unseed completions bash > ~/.local/share/bash-completion/completions/unseed")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(env: &Env<'_>, args: &CompletionsArgs) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "unseed", &mut script);
    env.ui.text(&String::from_utf8_lossy(&script));
    Done::Success
}
