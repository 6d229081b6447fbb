//! `cargo xtask test`: installs servers and schemas, then runs every test of the workspace.

use crate::process::{self, cargo};
use crate::{install, schemas};
use anyhow::Result;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    install::servers()?;
    schemas::run(&[])?;
    process::run(cargo().args(["test", "--workspace"]).args(arguments))
}
