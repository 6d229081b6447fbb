//! Runs the commands of hooks: no shell, little environment, bounded output, and an end for all they started.
//!
//! Invariants
//! - a command is given what a hook names and where to find programs, nothing else of our environment;
//! - at its time limit, when it is cancelled, and when we end at once, its whole process group ends;
//! - its output is kept up to a limit, readable by its owner alone; reading goes on, so that it never waits for us.
//!
//! Not here: which hooks there are and when they run (`engine::hooks`).

use crate::durable;
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use unseed_core::fault::{Category, Fault};
use unseed_core::hook::Hook;
use unseed_core::port::hook::{About, Commands, Ended};

/// Bytes of a command's output that are kept.
const LOG_BYTES_MAX: usize = 1024 * 1024;
/// What every command gets of our environment, where it is set.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];
/// How long a command may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// Pause between two looks whether somebody wants it to end.
const TICK: Duration = Duration::from_millis(50);

/// Process groups that are at work.
static AT_WORK: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Looks up a variable of the environment.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Commands with logs below one folder.
pub struct HookCommands {
    folder: PathBuf,
    variables: Variables,
}

impl HookCommands {
    /// Logs go to `folder/RUN/`.
    pub fn new(folder: impl Into<PathBuf>, variables: Variables) -> Self {
        Self { folder: folder.into(), variables }
    }

    fn command(&self, hook: &Hook, about: &About<'_>) -> Option<Command> {
        let (program, arguments) = hook.command.split_first()?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        let named = hook.environment.iter().map(String::as_str);
        for name in INHERITED.into_iter().chain(named) {
            if let Some(value) = (self.variables)(name) {
                command.env(name, value);
            }
        }
        command
            .env("UNSEED_RUN", about.run)
            .env("UNSEED_PLAN", about.plan)
            .env("UNSEED_STORES", about.stores.join(" "))
            .env("UNSEED_STATE_OF_RUN", about.state)
            .env("UNSEED_HOOK", &hook.name)
            .env("UNSEED_PHASE", hook.of.as_str())
            .env("UNSEED_AT", hook.at.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        Some(command)
    }

    /// A new file; a hook that runs again does not replace its first log.
    fn log(&self, hook: &Hook, run: &str) -> Result<(File, PathBuf), Fault> {
        let folder = self.folder.join(run);
        let failed = |error: &std::io::Error| {
            let message = format!("the log of hook `{}` cannot be written: {error}", hook.name);
            Fault::new(Category::Archive, message).hint("make room, or make the state folder writable")
        };
        durable::create_folder(&folder).map_err(|error| failed(&error))?;
        let stem = format!("{}-{}-{}", hook.of.as_str(), hook.at.as_str(), hook.name);
        let mut number = 1;
        loop {
            let name = if number == 1 { format!("{stem}.log") } else { format!("{stem}-{number}.log") };
            let path = folder.join(name);
            match new_file(&path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(failed(&error)),
            }
        }
    }
}

fn new_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[async_trait]
impl Commands for HookCommands {
    async fn run(
        &mut self,
        hook: &Hook,
        about: &About<'_>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Ended, String), Fault> {
        let (file, path) = self.log(hook, about.run)?;
        let shown = path.display().to_string();
        let Some(mut command) = self.command(hook, about) else {
            return Ok((Ended::NotStarted("it has no command".to_owned()), shown));
        };
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                return Ok((Ended::NotStarted(format!("`{}`: {error}", hook.command[0])), shown));
            }
        };
        let group = Group::of(&child);
        let log = Arc::new(Mutex::new(Log { file, room: LOG_BYTES_MAX }));
        let out = child.stdout.take().map(|pipe| tokio::spawn(keep(pipe, Arc::clone(&log))));
        let err = child.stderr.take().map(|pipe| tokio::spawn(keep(pipe, log)));
        let limit = Instant::now() + Duration::from_millis(hook.timeout_ms);
        let ended = watch(&mut child, &group, limit, cancelled).await;
        for mut reader in [out, err].into_iter().flatten() {
            // What it left running in the background may keep the pipe open; that is not waited for.
            if timeout(GRACE, &mut reader).await.is_err() {
                reader.abort();
            }
        }
        Ok((ended, shown))
    }
}

/// Waits for the end of a command, whoever brings it about.
async fn watch(
    child: &mut Child,
    group: &Group,
    limit: Instant,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Ended {
    let forced = loop {
        match timeout(TICK, child.wait()).await {
            Ok(Ok(status)) => return status.code().map_or(Ended::Killed, Ended::Exited),
            Ok(Err(error)) => return Ended::NotStarted(error.to_string()),
            Err(_) if cancelled() => break Ended::Cancelled,
            Err(_) if Instant::now() >= limit => break Ended::TimedOut,
            Err(_) => {}
        }
    };
    group.ask_to_end();
    // The command may end before what it started.
    drop(timeout(GRACE, child.wait()).await);
    let begun = Instant::now();
    while group.lives() && begun.elapsed() < GRACE {
        sleep(TICK).await;
    }
    group.end();
    drop(child.wait().await);
    forced
}

/// The processes of one command.
struct Group(Option<i32>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        }
        Self(id)
    }

    fn ask_to_end(&self) {
        self.0.into_iter().for_each(|id| signal(id, Ending::Asked));
    }

    fn end(&self) {
        self.0.into_iter().for_each(|id| signal(id, Ending::Forced));
    }

    #[cfg(unix)]
    fn lives(&self) -> bool {
        let id = self.0.and_then(rustix::process::Pid::from_raw);
        id.is_some_and(|id| rustix::process::test_kill_process_group(id).is_ok())
    }

    #[cfg(not(unix))]
    fn lives(&self) -> bool {
        false
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
    }
}

/// Ends every command that is at work, at once; for a process that is about to end itself.
pub fn end_all() {
    let groups = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).clone();
    groups.into_iter().for_each(|id| signal(id, Ending::Forced));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Asked,
    Forced,
}

#[cfg(unix)]
fn signal(id: i32, ending: Ending) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let signal = match ending {
        Ending::Asked => Signal::TERM,
        Ending::Forced => Signal::KILL,
    };
    if let Some(id) = Pid::from_raw(id) {
        // A group whose processes have all ended is what is wanted.
        kill_process_group(id, signal).unwrap_or_default();
    }
}

#[cfg(not(unix))]
fn signal(_: i32, _: Ending) {}

struct Log {
    file: File,
    room: usize,
}

impl Log {
    fn add(&mut self, bytes: &[u8]) {
        if self.room == 0 {
            return;
        }
        let kept = &bytes[..bytes.len().min(self.room)];
        self.room -= kept.len();
        // A full disk costs the log, not the hook.
        drop(self.file.write_all(kept));
        if self.room == 0 {
            drop(self.file.write_all(b"\n[the rest was not kept]\n"));
        }
    }
}

async fn keep(mut pipe: impl AsyncRead + Unpin, log: Arc<Mutex<Log>>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = pipe.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        log.lock().unwrap_or_else(PoisonError::into_inner).add(&buffer[..read]);
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
