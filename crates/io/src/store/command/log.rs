//! The log of a store behind commands: one line of JSON when a call begins and one when it ends.
//!
//! Invariants
//! - a call that changes something is logged before it begins: without a log nothing is called;
//! - only its owner can read it; no line of input or output is in it, since those hold values of rows.
//!
//! Not here: calling (`process`).

use super::process::{Call, Said};
use crate::durable;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use unseed_core::fault::{Category, Fault};

/// Name of the log in the folder of a run's leg.
const FILE: &str = "commands.log";

/// Where calls are logged, if anywhere.
#[derive(Debug, Default)]
pub(super) struct Log {
    path: Option<PathBuf>,
}

/// One line.
#[derive(Debug, Serialize)]
pub(super) struct Entry<'a> {
    at: String,
    action: &'a str,
    event: &'a str,
    argv: &'a [String],
    sent_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stderr: &'a str,
}

impl<'a> Entry<'a> {
    pub(super) fn begin(call: &'a Call<'_>) -> Self {
        Self {
            at: format!("{:.3}", jiff::Timestamp::now()),
            action: call.action,
            event: "begins",
            argv: call.argv,
            sent_bytes: call.input.len(),
            lines: None,
            took_ms: None,
            failed: None,
            stderr: "",
        }
    }

    pub(super) fn end(call: &'a Call<'_>, said: &'a Said, took: Duration, fault: Option<&'a Fault>) -> Self {
        Self {
            event: "ended",
            lines: Some(said.lines),
            took_ms: Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            failed: fault.map(|fault| fault.message.as_str()),
            stderr: &said.complaints,
            ..Self::begin(call)
        }
    }
}

impl Log {
    /// A log in this folder.
    pub(super) fn within(folder: &str) -> Self {
        Self { path: Some(PathBuf::from(folder).join(FILE)) }
    }

    pub(super) fn write(&self, entry: &Entry<'_>) -> Result<(), Fault> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut line = serde_json::to_vec(entry).expect("plain data can always be JSON");
        line.push(b'\n');
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                durable::create_folder(folder)?;
            }
            durable::touch(path)?;
            let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
            file.write_all(&line)?;
            file.sync_all()
        };
        write().map_err(|error| {
            Fault::new(Category::Archive, format!("log `{}` cannot be written: {error}", path.display()))
                .hint("make the folder writable, then run the command again")
        })
    }
}
