//! What the engine asks of whoever runs commands of a person.
//!
//! Invariants
//! - a command that does not end in time, or is cancelled, is ended together with everything it started;
//! - it is given what stands here, and nothing else of our environment but what the hook names.

use crate::fault::Fault;
use crate::hook::Hook;
use async_trait::async_trait;

/// What a command is told about the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About<'a> {
    pub run: &'a str,
    pub plan: &'a str,
    /// Names of the stores.
    pub stores: &'a [String],
    /// How the run ended so far: `running`, `done`, `stopped`, …
    pub state: &'a str,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    /// By a signal that was not ours.
    Killed,
    TimedOut,
    Cancelled,
    /// It could not be started; in words why.
    NotStarted(String),
}

/// Runs commands.
#[async_trait]
pub trait Commands: Send {
    /// Runs a hook to its end. `cancelled` is asked again and again; what the command says is in the returned log.
    ///
    /// # Errors
    /// An archive fault when the log cannot be written; then nothing was started.
    async fn run(
        &mut self,
        hook: &Hook,
        about: &About<'_>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Ended, String), Fault>;
}
