//! What the numbers were measured on.

use super::ground::Ground;
use super::subject::Subject;
use anyhow::Result;

#[derive(Debug)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    memory: String,
    server: String,
    subject: String,
    /// Others that used the machine when the benchmark began, as a load average.
    load: String,
}

impl Machine {
    pub(super) fn look(ground: &Ground, subject: &Subject) -> Result<Self> {
        let version = ground.read_template("SHOW server_version")?;
        let version = version.split_whitespace().next().unwrap_or_default();
        Self::beside(&format!("PostgreSQL {version}"), &subject.version()?)
    }

    /// The machine as it is now; `server` and `subject` are names with versions.
    pub(super) fn beside(server: &str, subject: &str) -> Result<Self> {
        Ok(Self {
            processor: value("/proc/cpuinfo", "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism()?.get(),
            memory: value("/proc/meminfo", "MemTotal").and_then(|kib| gib(&kib)).unwrap_or_default(),
            server: server.to_owned(),
            subject: subject.to_owned(),
            load: load(),
        })
    }

    pub(super) fn in_words(&self) -> String {
        let Self { processor, cores, memory, server, subject, load } = self;
        format!(
            "{subject} and {server} on {cores} cores ({processor}), {memory} of memory; \
             load average {load} after loading"
        )
    }
}

/// The load average of the last minute.
pub(super) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The value of the first line `name : value`.
fn value(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn gib(kib: &str) -> Option<String> {
    let kib: u64 = kib.trim_end_matches(" kB").parse().ok()?;
    Some(format!("{} GiB", kib / (1024 * 1024)))
}
