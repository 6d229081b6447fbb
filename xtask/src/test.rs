//! `cargo xtask test`: installs servers and schemas, then runs every test of the workspace.

use crate::fuzz::Beside;
use crate::process::{self, cargo, is_ci};
use crate::{install, schemas};
use anyhow::Result;

/// Seconds of a processor for which each parser is fed with damaged inputs beside the tests.
const FUZZ_CI_S: u64 = 60;
const FUZZ_S: u64 = 5;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    install::servers()?;
    schemas::run(&[])?;
    let mut tests = cargo();
    tests.args(["test", "--workspace"]).args(arguments);
    if !arguments.is_empty() {
        return process::run(&mut tests);
    }
    // Tests wait a good part of their time, for servers and disks.
    let fuzz = Beside::begin(if is_ci() { FUZZ_CI_S } else { FUZZ_S })?;
    process::run(&mut tests)?;
    fuzz.finish()
}
