//! A purge beside others who use the database: it waits, tries again, tells who is in the way, runs hooks around
//! itself, and cleans up after itself.
//!
//! Everything here is real: servers, a replica that streams, sessions that hold locks, processes that are killed.

mod hooks;
mod indexes;
mod retries;
mod throttle;

pub(crate) use throttle::{assert_nothing_is_held, window};

use crate::lab::Lab;
use crate::support::Answer;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long anything may take on a slow machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// 60 tenants with five users each; `{serial}`-free, so that both kinds of databases take it.
const TENANTS: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY, name text);
    CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants (id));
    CREATE INDEX users_tenant ON users (tenant_id);
    CREATE TABLE numbers AS WITH RECURSIVE n (g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < 300) SELECT g FROM n;
    INSERT INTO tenants SELECT g, 'Tenant ' || g FROM numbers WHERE g <= 60;
    INSERT INTO users SELECT g, 1 + g % 60 FROM numbers;";

/// All places that a hook can have.
pub(crate) const PLACES: [&str; 6] =
    ["before purge", "after purge", "on_stop purge", "before restore", "after restore", "on_stop restore"];

/// One hook; its command is a script that is written to this file.
pub(crate) fn hook(file: &Path, (name, place): (&str, &str), script: &str, more: &str) -> String {
    std::fs::write(file, format!("#!/bin/bash\n{script}\n")).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (at, of) = place.split_once(' ').unwrap();
    format!(
        "[[hooks]]\nname = \"{name}\"\nat = \"{at}\"\nof = \"{of}\"\ncommand = [\"{}\", \"an argument\"]\n{more}\n",
        file.display()
    )
}

/// The lines of a file, none if there is no such file.
pub(crate) fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Plans to remove all tenants but the first, a tenant a batch.
#[track_caller]
fn plan(lab: &Lab<'_>) -> String {
    lab.plan("tenants: id > 1", &["--batch-rows", "6"]);
    lab.plan_id()
}

fn configure(lab: &Lab<'_>, text: &str) {
    std::fs::write(lab.path("unseed.toml"), text).unwrap();
}

/// A command that runs while the test goes on.
pub(crate) struct Running {
    child: Child,
    said: PathBuf,
    out: PathBuf,
}

impl Running {
    fn start(lab: &Lab<'_>, arguments: &[&str]) -> Self {
        Self::of(lab.command(arguments), &lab.path(""))
    }

    /// A command of the binary; what it says is kept in this folder.
    pub(crate) fn of(mut command: Command, folder: &Path) -> Self {
        let (said, out) = (folder.join("said.txt"), folder.join("out.txt"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&said).unwrap());
        Self { child: command.spawn().unwrap(), said, out }
    }

    fn purge(lab: &Lab<'_>) -> Self {
        let id = lab.plan_id();
        Self::start(lab, &["purge", "plan.json", "--confirm", &id])
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) {
        self.until(text, |stderr| stderr.contains(text));
    }

    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&str) -> bool) {
        let begun = Instant::now();
        while !holds(&self.stderr()) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended as {ended:?} before {what}: {}", self.stderr());
            assert!(begun.elapsed() < LONG, "never {what}: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// As a power cut would.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    #[track_caller]
    pub(crate) fn end(mut self) -> Answer {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < LONG, "never ends: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        };
        let stdout = std::fs::read_to_string(&self.out).unwrap();
        Answer { code: status.code(), stdout, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The report of a run.
#[track_caller]
fn report(lab: &Lab<'_>, run: &str) -> serde_json::Value {
    lab.json(0, &["show", run])
}
