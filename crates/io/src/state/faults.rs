//! What can be wrong with the state database, told in three parts.
//!
//! Not here: finding out (`database`, `lease`).

use super::database::Place;
use super::lease::Holder;
use super::session::{Kind, Trouble};
use std::path::Path;
use unseed_core::fault::{Category, Fault};
use unseed_core::run::{Run, RunState};

/// A folder or file that cannot be written.
pub(super) fn unusable(path: &Path, why: &str) -> Fault {
    Fault::new(Category::Archive, format!("state folder: `{}` cannot be used: {why}", path.display()))
        .hint("make the folder writable, or choose another one with `--state DIR`")
}

impl Trouble {
    /// What a person is told.
    pub(super) fn fault(self, place: &Place) -> Fault {
        let failed = |what: String| {
            Fault::new(Category::Archive, format!("state database `{place}` {what}"))
                .state("the state database was not changed; no batch is committed without its entry there")
        };
        let on_server = matches!(place, Place::Server(_));
        match self {
            Self::Fault(fault) => fault,
            Self::Full(error) => failed(format!("failed: {error}"))
                .hint("free some disk space, then run the command again; a stopped run goes on with `unseed resume RUN`"),
            Self::Lost(error) => failed(format!("cannot be reached: {error}"))
                .hint("see that the server runs and can be reached, then run the command again; a stopped run goes on with `unseed resume RUN`"),
            Self::Damaged(error) => failed(format!("is damaged: {error}"))
                .state("this command changed nothing; the archive holds every row that was removed")
                .hint(if on_server {
                    "keep the archives, bring the schema `unseed` back from a copy, then run the command again"
                } else {
                    "keep the folder, bring `state.db` back from a copy or from what `sqlite3 state.db .recover` finds, then run the command again"
                }),
            Self::Newer { found, known } => failed(format!(
                "failed: it was written by a later version of unseed (format {found}, known up to {known})"
            ))
            .hint("use that version, or choose another state with `--state`"),
            Self::Failed(error) => failed(format!("failed: {error}")).hint(if on_server {
                "see that the role may use the schema `unseed`, or create it; a stopped run goes on with `unseed resume RUN`"
            } else {
                "check that the file can be written and was not damaged, or choose another folder with `--state DIR`"
            }),
        }
    }
}

/// An id that no run has.
pub(super) fn no_such_run(id: &str) -> Fault {
    Fault::usage(format!("no such run `{id}`")).hint("run `unseed runs` to see which runs there are")
}

/// A plan that another run used up.
pub(super) fn used(run: &Run) -> Fault {
    let next = match run.state {
        RunState::Running | RunState::Stopped => {
            format!("run `unseed resume {}` to finish it", run.id)
        }
        RunState::Done
        | RunState::Verified
        | RunState::Restored
        | RunState::Failed
        | RunState::Quarantined => {
            format!("run `unseed show {}` to see what it did, or `unseed plan` to make a new plan", run.id)
        }
    };
    Fault::refused(format!("plan `{}` was used by run `{}`, and a plan is used once", run.plan, run.id))
        .state(format!("nothing was changed; run `{}` is {}", run.id, run.state.as_str()))
        .hint(next)
}

/// An id that another process took between the question for a free one and its use.
pub(super) fn taken(id: &str) -> Fault {
    Fault::refused(format!("another process began run `{id}` at the same time"))
        .state("nothing was changed, and the plan is not used up")
        .hint("run the command again")
}

/// A run that a living process works on.
pub(super) fn held_by(run: &str, other: &Holder, kind: Kind) -> Fault {
    let stop = format!("stop process {} and run `unseed resume {run}`", other.pid);
    let hint = match kind {
        Kind::Sqlite => format!("wait until it is done, or {stop}"),
        Kind::Postgres => format!(
            "wait until it is done, or {stop}; of a process that is gone the lease ends in {} s",
            other.left_ms / 1000 + 1
        ),
    };
    Fault::refused(format!("run `{run}` is being worked on by `{}` (process {})", other.holder, other.pid))
        .state("this command changed nothing; the run goes on")
        .hint(hint)
}

/// A lease that this process lost.
pub(super) fn taken_over(run: &str) -> Fault {
    Fault::refused(format!("another process took over run `{run}`"))
        .state("this process changed nothing more; the run goes on elsewhere")
        .hint(format!("run `unseed show {run}` to see how far it is"))
}
