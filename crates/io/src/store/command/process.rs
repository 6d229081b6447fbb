//! One call of a command: lines of JSON in, lines of JSON out.
//!
//! Invariants
//! - a program and its arguments are passed as a list, never through a shell;
//! - a call ends: by itself, by its time-out, or because it says more than [`LINE_BYTES_MAX`] in one line; what it
//!   started in its process group ends with it;
//! - an answer counts only with exit code 0 and a last line that repeats how many lines there were;
//! - what is kept of its complaints is bounded, and passwords in addresses are masked.
//!
//! Not here: what the lines mean (`super`), the log file (`log`).

use super::log::{Entry, Log};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use unseed_core::address;
use unseed_core::fault::Fault;

/// Bytes of one line of an answer.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of complaints that are kept.
const STDERR_BYTES_MAX: u64 = 64 * 1024;
/// Characters of the last complaint that a fault repeats.
const SAID_CHARS_MAX: usize = 200;
/// Variables that are ours alone.
const OWN_VARIABLES: [&str; 3] = ["UNSEED_IDENTITY", "UNSEED_STATE", "UNSEED_ACTOR"];

/// What is done with each line of an answer but the last.
pub(super) type OnLine<'a> = dyn FnMut(&Value, &str) -> Result<(), Fault> + Send + 'a;

/// A program to call.
pub(super) struct Call<'a> {
    pub(super) store: &'a str,
    pub(super) action: &'static str,
    pub(super) argv: &'a [String],
    /// Folder that it runs in; paths of programs are relative to it.
    pub(super) folder: &'a Path,
    pub(super) timeout: Duration,
    /// Everything that it reads.
    pub(super) input: Vec<u8>,
}

impl Call<'_> {
    /// Runs it to its end; returns its last line.
    pub(super) async fn run(self, log: &Log, on_line: &mut OnLine<'_>) -> Result<Value, Fault> {
        let begun = Instant::now();
        log.write(&Entry::begin(&self))?;
        let mut said = Said::default();
        let result = self.to_the_end(&mut said, on_line).await;
        log.write(&Entry::end(&self, &said, begun.elapsed(), result.as_ref().err()))?;
        result
    }

    async fn to_the_end(&self, said: &mut Said, on_line: &mut OnLine<'_>) -> Result<Value, Fault> {
        let mut child = self.start()?;
        let group = child.id();
        let talked = tokio::time::timeout(self.timeout, self.talk(&mut child, said, on_line)).await;
        let result = match talked {
            Ok(result) => result,
            Err(_) => {
                let message = format!("{} did not end within {} s", self.name(), self.timeout.as_secs());
                Err(self.unknown(Fault::store(message)).hint(
                    "look what it is waiting for, or raise `timeout_s` of the store, then run the command again",
                ))
            }
        };
        if result.is_err() {
            end_group(group);
        }
        // It ended, or was ended above; waiting keeps no dead process behind.
        let waited = child.wait().await;
        waited.map_err(|error| Fault::store(format!("{} was lost: {error}", self.name())))?;
        result
    }

    fn start(&self) -> Result<Child, Fault> {
        let program = program(self.folder, &self.argv[0]);
        let mut command = Command::new(&program);
        command.args(&self.argv[1..]).current_dir(self.folder).kill_on_drop(true).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in OWN_VARIABLES {
            command.env_remove(name);
        }
        command.spawn().map_err(|error| {
            let message = format!(
                "the command `{}` of store `{}` cannot be started: {error}",
                self.argv[0], self.store
            );
            Fault::store(message).hint("check `commands` of the store, and that the program may be executed")
        })
    }

    async fn talk(
        &self,
        child: &mut Child,
        said: &mut Said,
        on_line: &mut OnLine<'_>,
    ) -> Result<Value, Fault> {
        let lost = || Fault::store(format!("{} has no pipes", self.name()));
        let stdin = child.stdin.take().ok_or_else(lost)?;
        let stdout = child.stdout.take().ok_or_else(lost)?;
        let stderr = child.stderr.take().ok_or_else(lost)?;
        let Said { lines, complaints } = said;
        let unheard = |error: std::io::Error| {
            self.unknown(Fault::store(format!("{} cannot be talked to: {error}", self.name())))
        };
        let sent = async { send(stdin, &self.input).await.map_err(unheard) };
        let heard = async { complain(stderr, complaints).await.map_err(unheard) };
        // The first that fails ends the call: a program whose answer is refused need not come to its end.
        let ((), last, ()) = tokio::try_join!(sent, self.read(stdout, lines, on_line), heard)?;
        let status = child
            .wait()
            .await
            .map_err(|error| self.unknown(Fault::store(format!("{} was lost: {error}", self.name()))))?;
        self.ended_well(status, complaints)?;
        self.complete(last, *lines)
    }

    fn ended_well(&self, status: ExitStatus, complaints: &str) -> Result<(), Fault> {
        if status.success() {
            return Ok(());
        }
        let how = match status.code() {
            Some(code) => format!("ended with code {code}"),
            None => "was killed".to_owned(),
        };
        let last = complaints.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let said: String = last.trim().chars().take(SAID_CHARS_MAX).collect();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Err(self
            .unknown(Fault::store(format!("{} {how}{said}", self.name())))
            .hint("look at its log, mend the cause, then run the command again"))
    }

    /// The last line, if it says that these are all lines.
    fn complete(&self, last: Option<Value>, lines: u64) -> Result<Value, Fault> {
        let complete = last.filter(|line| {
            line.get("done").and_then(Value::as_bool) == Some(true)
                && line.get("count").and_then(Value::as_u64) == Some(lines)
        });
        complete.ok_or_else(|| {
            let message = format!("the answer of {} is not complete: {lines} lines came", self.name());
            self.unknown(Fault::store(message))
                .hint("its last line has to be `{\"done\":true,\"count\":N}` with the number of lines before")
        })
    }

    async fn read(
        &self,
        stdout: ChildStdout,
        lines: &mut u64,
        on_line: &mut OnLine<'_>,
    ) -> Result<Option<Value>, Fault> {
        let mut reader = BufReader::new(stdout);
        let mut buffer = Vec::new();
        let mut last: Option<Value> = None;
        loop {
            buffer.clear();
            let read = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut buffer).await;
            let bytes =
                read.map_err(|error| Fault::store(format!("{} cannot be read: {error}", self.name())))?;
            if bytes == 0 {
                return Ok(last);
            }
            let text = std::str::from_utf8(&buffer).map(str::trim).unwrap_or("\u{fffd}");
            if text.is_empty() {
                continue;
            }
            let value: Option<Value> = serde_json::from_str(text).ok().filter(Value::is_object);
            let Some(value) = value.filter(|_| last.is_none()) else {
                let message =
                    format!("line {} of the answer of {} is no object of JSON", *lines + 1, self.name());
                return Err(self
                    .unknown(Fault::store(message))
                    .hint("see the guide on stores behind commands"));
            };
            if value.get("done").is_some() {
                last = Some(value);
            } else {
                *lines += 1;
                on_line(&value, text)?;
            }
        }
    }

    /// A call that may have changed something leaves that open.
    pub(super) fn unknown(&self, fault: Fault) -> Fault {
        match self.action {
            "remove" => {
                fault.state("which of its entries are gone is not known yet; all of them are archived")
            }
            "restore" => fault.state("which of its entries are back is not known yet"),
            _ => fault,
        }
    }

    fn name(&self) -> String {
        format!("command `{}` of store `{}`", self.action, self.store)
    }
}

/// What a program said.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) lines: u64,
    pub(super) complaints: String,
}

/// A program with a path is looked for in the folder of the configuration, any other one where the system does.
pub(super) fn program(folder: &Path, name: &str) -> PathBuf {
    if name.contains('/') { folder.join(name) } else { PathBuf::from(name) }
}

async fn send(mut stdin: ChildStdin, input: &[u8]) -> std::io::Result<()> {
    let sent = async {
        stdin.write_all(input).await?;
        stdin.shutdown().await
    };
    match sent.await {
        // A program need not read what it does not want to know.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Reads to the end, and keeps the beginning.
async fn complain(mut stderr: ChildStderr, kept: &mut String) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    (&mut stderr).take(STDERR_BYTES_MAX).read_to_end(&mut bytes).await?;
    *kept = masked(&String::from_utf8_lossy(&bytes));
    tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await.map(|_| ())
}

/// Masks passwords in addresses.
fn masked(text: &str) -> String {
    let word = |word: &str| if word.contains("://") { address::redacted(word) } else { word.to_owned() };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Ends a process and what it started in its group; what is gone already is fine.
fn end_group(group: Option<u32>) {
    let group = group.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    let killed = group.map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
    debug_assert!(killed.is_none_or(|killed| killed.is_ok() || killed == Err(rustix::io::Errno::SRCH)));
}
