//! `cargo xtask test`: installs servers and schemas, then runs every test of the workspace.
//!
//! Tests run beside each other, on machines that may be busy. One that fails there is run once more, alone: if it then
//! passes, it is named as unstable, with what it said the first time above. Several such tests are a failure.

use crate::fuzz::Beside;
use crate::process::{self, cargo, is_ci, say};
use crate::{install, schemas};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// Seconds of a processor for which each parser is fed with damaged inputs beside the tests.
const FUZZ_CI_S: u64 = 60;
const FUZZ_S: u64 = 5;
/// More tests than these do not fail because the machine is busy.
const UNSTABLE_MAX: usize = 2;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    install::servers()?;
    schemas::run(&[])?;
    if !arguments.is_empty() {
        return process::run(cargo_test().args(arguments));
    }
    // Tests wait a good part of their time, for servers and disks.
    let fuzz = Beside::begin(if is_ci() { FUZZ_CI_S } else { FUZZ_S })?;
    let heard = listen(cargo_test().arg("--no-fail-fast"))?;
    fuzz.finish()?;
    if heard.failed.is_empty() {
        return Ok(());
    }
    let names = heard.failed.join(", ");
    if heard.failed.len() > UNSTABLE_MAX {
        bail!("{} tests failed: {names}", heard.failed.len());
    }
    say(&format!("failed beside other tests: {names}; once more, alone"));
    let again = listen(cargo_test().args(["--", "--test-threads=1", "--exact"]).args(&heard.failed))?;
    ensure!(again.failed.is_empty() && again.passed >= heard.failed.len(), "failed alone as well: {names}");
    say(&format!("UNSTABLE: {names} passed alone, after a failure beside others that is printed above"));
    Ok(())
}

fn cargo_test() -> Command {
    let mut command = cargo();
    command.args(["test", "--workspace"]);
    command
}

/// What the harnesses of the test programs said.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    failed: Vec<String>,
    passed: usize,
    /// Programs that began, less those that came to their end.
    unfinished: i32,
}

impl Heard {
    fn line(&mut self, line: &str) {
        if line.starts_with("running ") {
            self.unfinished += 1;
        } else if line.starts_with("test result: ") {
            self.unfinished -= 1;
        } else if let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        {
            match outcome {
                "FAILED" => self.failed.push(name.to_owned()),
                "ok" => self.passed += 1,
                _ => {}
            }
        }
    }
}

/// Runs tests and passes on what they print.
///
/// # Errors
/// When they failed and no single test is the reason.
fn listen(command: &mut Command) -> Result<Heard> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("{command:?} did not start"))?;
    let output = child.stdout.take().context("the output of the tests is not there")?;
    let mut heard = Heard::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("the output of the tests broke off")?;
        let line = String::from_utf8_lossy(&line);
        say(&line);
        heard.line(&line);
    }
    let status = child.wait()?;
    ensure!(heard.unfinished == 0, "a test program ended before its tests ({status})");
    ensure!(
        status.success() || !heard.failed.is_empty(),
        "{command:?} failed ({status}), and no test says why"
    );
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::Heard;

    #[test]
    fn a_failed_test_is_told_from_others() {
        let said = "running 3 tests\ntest live::hooks::a_hook ... FAILED\ntest live::b ... ok\ntest c ... ignored\n\
             test result: FAILED. 1 passed; 1 failed\n\nrunning 1 test\ntest d has been running for over 60 seconds";
        let mut heard = Heard::default();
        said.lines().for_each(|line| heard.line(line));
        assert_eq!(heard, Heard { failed: vec!["live::hooks::a_hook".into()], passed: 1, unfinished: 1 });
    }
}
