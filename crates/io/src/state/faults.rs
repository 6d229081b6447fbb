//! What can be wrong with the state database, told in three parts.
//!
//! Not here: finding out (`sqlite`).

use super::lease::Holder;
use super::migrations::MigrationError;
use std::path::Path;
use unseed_core::fault::{Category, Fault};
use unseed_core::run::{Run, RunState};

/// A folder or file that cannot be written.
pub(super) fn unusable(path: &Path, why: &str) -> Fault {
    Fault::new(Category::Archive, format!("state folder: `{}` cannot be used: {why}", path.display()))
        .hint("make the folder writable, or choose another one with `--state DIR`")
}

/// A statement that failed, or a file that is no state database.
pub(super) fn broken(path: &Path, error: &MigrationError) -> Fault {
    let full = matches!(error, MigrationError::Sqlite(rusqlite::Error::SqliteFailure(failure, _))
        if failure.code == rusqlite::ErrorCode::DiskFull);
    if is_damaged(error) {
        return Fault::new(Category::Archive, format!("state database `{}` is damaged: {error}", path.display()))
            .state("this command changed nothing; the archive beside it holds every row that was removed")
            .hint("keep the folder, bring `state.db` back from a copy or from what `sqlite3 state.db .recover` finds, then run the command again");
    }
    let hint = if full {
        "free some disk space, then run the command again; a stopped run goes on with `unseed resume RUN`"
    } else {
        "check that the file can be written and was not damaged, or choose another folder with `--state DIR`"
    };
    Fault::new(Category::Archive, format!("state database `{}` failed: {error}", path.display()))
        .state("the state database was not changed; no batch is committed without its entry there")
        .hint(hint)
}

/// Whether the file, or an entry in it, is not what was written.
fn is_damaged(error: &MigrationError) -> bool {
    use rusqlite::{Error, ErrorCode};
    match error {
        MigrationError::Sqlite(Error::SqliteFailure(failure, _)) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        MigrationError::Sqlite(error) => matches!(error, Error::FromSqlConversionFailure(..)),
        MigrationError::Newer { .. } => false,
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

/// A run that a living process works on.
pub(super) fn held_by(run: &str, other: &Holder) -> Fault {
    Fault::refused(format!("run `{run}` is being worked on by `{}` (process {})", other.holder, other.pid))
        .state("this command changed nothing; the run goes on")
        .hint(format!("wait until it is done, or stop process {} and run `unseed resume {run}`", other.pid))
}

/// A lease that this process lost.
pub(super) fn taken_over(run: &str) -> Fault {
    Fault::refused(format!("another process took over run `{run}`"))
        .state("this process changed nothing more; the run goes on elsewhere")
        .hint(format!("run `unseed show {run}` to see how far it is"))
}
