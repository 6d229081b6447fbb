//! A small shell that stops a server and removes its folder once the test process is gone.
//!
//! Statics are never dropped, and a process that was killed drops nothing at all. The shell waits on a pipe whose
//! other end only the test process holds, so the kernel wakes it up however that process ends.

use super::{ServerError, command};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Once this process ends, or the value is dropped, runs `stop` and removes `folder`.
    pub(super) fn start(folder: &Path, stop: &Command) -> Result<Self, ServerError> {
        let mut command = Command::new("sh");
        command.args(["-c", "read -r _; \"$@\"; rm -rf \"$0\""]).arg(folder);
        command.arg(stop.get_program()).args(stop.get_args());
        // A group of its own: Ctrl-C in a terminal must not end the shell before the tests.
        command.process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = command.spawn().map_err(|error| command::not_started(&command, &error))?;
        Ok(Self { shell })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // A failed wait leaves the shell to finish alone, which it does.
        drop(self.shell.wait());
    }
}
