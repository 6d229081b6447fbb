//! `cargo xtask test`: installs servers and schemas, then runs every test of the workspace.
//!
//! Tests run beside each other, on machines that may be busy. One that fails there is run once more, alone: if it then
//! passes, it is named as unstable, with what it said the first time above. Several such tests are a failure. Where
//! nothing is heard for a long time, a test hangs: everything is ended, and the tests that had begun last are named.

use crate::fuzz::Beside;
use crate::process::{self, cargo, is_ci, say};
use crate::{install, schemas};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Seconds of a processor for which each parser is fed with damaged inputs beside the tests.
const FUZZ_CI_S: u64 = 60;
const FUZZ_S: u64 = 5;
/// More tests than these do not fail because the machine is busy.
const UNSTABLE_MAX: usize = 2;
/// The longest tests take some minutes on a busy machine, and others end beside them.
const SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

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
    /// Tests that ran for more than a minute and were not heard of again.
    slow: Vec<String>,
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
            self.slow.retain(|slow| slow != name);
            match outcome {
                "FAILED" => self.failed.push(name.to_owned()),
                "ok" => self.passed += 1,
                _ => {}
            }
        } else if let Some((name, _)) =
            line.strip_prefix("test ").and_then(|rest| rest.split_once(" has been running for over "))
        {
            self.slow.push(name.to_owned());
        }
    }
}

/// Runs tests and passes on what they print.
///
/// # Errors
/// When they failed and no single test is the reason, or nothing was heard of them for [`SILENCE_MAX`].
fn listen(command: &mut Command) -> Result<Heard> {
    if is_ci() {
        // A person's Ctrl-C has to reach the tests, so elsewhere they stay in our group.
        command.process_group(0);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("{command:?} did not start"))?;
    let output = child.stdout.take().context("the output of the tests is not there")?;
    let (said, lines) = channel();
    let reader = std::thread::spawn(move || {
        // Nobody listens any more where the tests were ended.
        BufReader::new(output).split(b'\n').try_for_each(|line| said.send(line))
    });
    let mut heard = Heard::default();
    loop {
        let line = match lines.recv_timeout(SILENCE_MAX) {
            Ok(line) => line.context("the output of the tests broke off")?,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                end_all(&mut child)?;
                let slow = heard.slow.join(", ");
                bail!("nothing was heard of the tests for {SILENCE_MAX:?}; these ran for long: {slow}");
            }
        };
        let line = String::from_utf8_lossy(&line);
        say(&line);
        heard.line(&line);
    }
    drop(reader.join());
    let status = child.wait()?;
    ensure!(heard.unfinished == 0, "a test program ended before its tests ({status})");
    ensure!(
        status.success() || !heard.failed.is_empty(),
        "{command:?} failed ({status}), and no test says why"
    );
    Ok(heard)
}

/// Ends the tests, and in CI all that they have started: whoever waits for our output would wait for theirs too.
fn end_all(child: &mut Child) -> Result<()> {
    if is_ci() {
        process::run(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]))?;
    } else {
        child.kill()?;
    }
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Heard;

    #[test]
    fn a_failed_test_is_told_from_others() {
        let said = "running 3 tests\ntest live::hooks::a_hook ... FAILED\ntest live::b has been running for over 60 seconds\n\
             test live::b ... ok\ntest c ... ignored\ntest result: FAILED. 1 passed; 1 failed\n\nrunning 1 test\ntest d has been running for over 60 seconds";
        let mut heard = Heard::default();
        said.lines().for_each(|line| heard.line(line));
        let expected = Heard {
            failed: vec!["live::hooks::a_hook".into()],
            passed: 1,
            slow: vec!["d".into()],
            unfinished: 1,
        };
        assert_eq!(heard, expected);
    }
}
