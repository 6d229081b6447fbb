//! Hooks: commands that a person wants run around a purge or a restore.
//!
//! They come from the configuration and are copied into the plan, so that its digest covers them: what approvers saw
//! is what runs. A command is a list of arguments; no shell ever reads it.
//!
//! Not here: running them (`port::hook`), when they run (`engine::hooks`).

use crate::fault::{Category, Fault};
use crate::plan::Plan;
use serde::{Deserialize, Serialize};
use std::fmt;

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// Before anything is changed; if it fails, nothing will be.
    Before,
    /// When everything is done.
    After,
    /// When it ended early.
    OnStop,
}

impl At {
    /// The word in configurations and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::OnStop => "on_stop",
        }
    }
}

/// Around what a hook runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Purge,
    Restore,
}

impl Phase {
    /// The word in configurations and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Purge => "purge",
            Self::Restore => "restore",
        }
    }
}

/// One hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Lower-case letters, digits and dashes; its log is called so.
    pub name: String,
    pub at: At,
    pub of: Phase,
    /// The program and its arguments.
    pub command: Vec<String>,
    pub timeout_ms: u64,
    /// A `before` hook that runs again when a run goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_resume: bool,
    /// Names of variables of our environment that it is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
}

impl fmt::Display for Hook {
    /// `before purge: pause-import: systemctl stop importer (at most 30 s)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        let (at, of) = (self.at.as_str().replace('_', " "), self.of.as_str());
        let again = if self.on_resume { ", again on resume" } else { "" };
        let limit = crate::throttle::spelled(self.timeout_ms);
        write!(f, "{at} {of}: {}: {} (at most {limit}{again})", self.name, words.join(" "))?;
        if self.environment.is_empty() { Ok(()) } else { write!(f, " with {}", self.environment.join(", ")) }
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("{word:?}") }
}

/// Refuses a plan whose hooks are not those of the configuration: one of the two was edited since.
///
/// # Errors
/// `Stale` with the hooks that differ.
pub fn unchanged(configured: &[Hook], plan: &Plan) -> Result<(), Fault> {
    let planned = &plan.policy.hooks;
    if planned == configured {
        return Ok(());
    }
    let message = format!("the hooks of the configuration are not those of plan `{}`", plan.id);
    let mut fault = Fault::new(Category::Stale, message)
        .hint("make a new plan with `unseed plan`, or use the configuration that the plan was made with");
    for hook in planned.iter().filter(|hook| !configured.contains(hook)) {
        fault = fault.detail(format!("only in the plan: {hook}"));
    }
    for hook in configured.iter().filter(|hook| !planned.contains(hook)) {
        fault = fault.detail(format!("only in the configuration: {hook}"));
    }
    if fault.details.is_empty() {
        fault = fault.detail("their order differs");
    }
    Err(fault)
}

/// What became of a hook, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookFigures {
    pub name: String,
    pub at: At,
    pub of: Phase,
    pub started_at: String,
    pub took_ms: u64,
    /// Its exit code; none when it was ended by a signal or could not be started.
    pub exit_code: Option<i32>,
    /// `succeeded`, or why not.
    pub outcome: String,
    /// Where its output is.
    pub log: String,
}

impl HookFigures {
    /// Whether it did what it should.
    pub fn succeeded(&self) -> bool {
        self.exit_code == Some(0)
    }
}
