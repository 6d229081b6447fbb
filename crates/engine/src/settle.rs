//! Settles what a crash left: commits that were cut off, segments that nothing claims.
//!
//! Invariants
//! - the outcome of a commit is never guessed: the store is asked;
//! - afterwards every batch is committed, restored or discarded;
//! - no segment is removed whose roots are gone from the store: the journal may have lost its last entries.

use crate::positions::select;
use crate::session::Session;
use unseed_core::fault::Fault;
use unseed_core::plan::RootSet;
use unseed_core::port::store::{Outcome, Removed};
use unseed_core::run::{BatchRecord, BatchState};

/// Settles all batches of a run.
pub(crate) async fn all(session: &mut Session<'_, '_>) -> Result<(), Fault> {
    for batch in session.batches.clone() {
        match batch.state {
            BatchState::Committed | BatchState::Discarded | BatchState::Restored => {}
            BatchState::Begun | BatchState::Archived => discard(session, batch).await?,
            BatchState::Committing => match outcome(session, &batch).await? {
                Outcome::Committed => {
                    let object = format!("{}/{}", session.run, batch.number);
                    session.audit("purge.batch", &object, "committed")?;
                    session.put_batch(&BatchRecord { state: BatchState::Committed, ..batch })?;
                }
                Outcome::RolledBack => discard(session, batch).await?,
                Outcome::Pending => return Err(pending(session, &batch)),
            },
        }
    }
    Ok(())
}

async fn outcome(session: &mut Session<'_, '_>, batch: &BatchRecord) -> Result<Outcome, Fault> {
    let roots = select(&session.roots, &batch.roots);
    ask(session, &batch.token, &roots).await
}

/// Asks for the outcome of a commit until it is known or patience ends.
async fn ask(session: &mut Session<'_, '_>, token: &str, roots: &[RootSet]) -> Result<Outcome, Fault> {
    let patience = session.cx.patience;
    for attempt in 1..=patience.settle_attempts_max {
        let outcome = session.cx.store.settle(&session.work, token, roots).await?;
        if outcome != Outcome::Pending {
            return Ok(outcome);
        }
        patience.pause(attempt).await;
    }
    Ok(Outcome::Pending)
}

/// Waits until the commit of an earlier restore has ended one way or the other; then its rows tell which.
pub(crate) async fn restore_ended(
    session: &mut Session<'_, '_>,
    token: &str,
    roots: &[RootSet],
) -> Result<(), Fault> {
    match ask(session, token, roots).await {
        Ok(Outcome::Pending) => Err(Fault::store(format!(
            "the store is still busy with the earlier restore of run `{}`",
            session.run
        ))
        .state("nothing further was changed")
        .hint(format!("end its old connection or wait, then run `unseed restore {}` again", session.run))),
        // A store that has forgotten so old a commit is not busy with it.
        Ok(Outcome::Committed | Outcome::RolledBack) | Err(_) => Ok(()),
    }
}

async fn discard(session: &mut Session<'_, '_>, batch: BatchRecord) -> Result<(), Fault> {
    let object = format!("{}/{}", session.run, batch.number);
    if roots_are_there(session, &batch).await? {
        session.audit("purge.batch", &object, "rolled back")?;
        session.cx.archive.discard(&session.run, batch.number)?;
    } else {
        session.audit("purge.batch", &object, "rolled back; segment kept, its roots are gone")?;
    }
    session.put_batch(&BatchRecord { state: BatchState::Discarded, removed: Removed::default(), ..batch })
}

/// Rows of a batch that was never committed are still in the store, and so are its roots. If they are not, then
/// somebody else removed them, or the journal is older than the store; then the segment may be their only copy.
async fn roots_are_there(session: &mut Session<'_, '_>, batch: &BatchRecord) -> Result<bool, Fault> {
    let roots = select(&session.roots, &batch.roots);
    let expected: usize = roots.iter().map(|set| set.rows.len()).sum();
    let present = session.cx.store.present(&session.work.schema, &roots).await?;
    Ok(usize::try_from(present) == Ok(expected))
}

fn pending(session: &Session<'_, '_>, batch: &BatchRecord) -> Fault {
    let message = format!("the store is still busy with batch {} of run `{}`", batch.number, session.run);
    Fault::store(message)
        .state("nothing further was changed")
        .hint(format!("end its old connection or wait, then run `unseed resume {}`", session.run))
}
