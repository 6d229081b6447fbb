//! Settles what a crash left: commits that were cut off, segments that nothing claims.
//!
//! Invariants
//! - the outcome of a commit is never guessed: the store is asked;
//! - afterwards every batch is committed, restored or discarded.

use crate::positions::select;
use crate::session::Session;
use unseed_core::fault::Fault;
use unseed_core::port::store::{Outcome, Removed};
use unseed_core::run::{BatchRecord, BatchState};

/// Settles all batches of a run.
pub(crate) async fn all(session: &mut Session<'_, '_>) -> Result<(), Fault> {
    for batch in session.batches.clone() {
        match batch.state {
            BatchState::Committed | BatchState::Discarded | BatchState::Restored => {}
            BatchState::Archived => discard(session, batch)?,
            BatchState::Committing => match outcome(session, &batch).await? {
                Outcome::Committed => {
                    let object = format!("{}/{}", session.run, batch.number);
                    session.put_batch(&BatchRecord { state: BatchState::Committed, ..batch })?;
                    session.audit("purge.batch", &object, "committed")?;
                }
                Outcome::RolledBack => discard(session, batch)?,
                Outcome::Pending => return Err(pending(session, &batch)),
            },
        }
    }
    Ok(())
}

async fn outcome(session: &mut Session<'_, '_>, batch: &BatchRecord) -> Result<Outcome, Fault> {
    let roots = select(&session.roots, &batch.roots);
    let patience = session.cx.patience;
    for attempt in 1..=patience.settle_attempts_max {
        let outcome = session.cx.store.settle(&session.work, &batch.token, &roots).await?;
        if outcome != Outcome::Pending {
            return Ok(outcome);
        }
        patience.pause(attempt).await;
    }
    Ok(Outcome::Pending)
}

fn discard(session: &mut Session<'_, '_>, batch: BatchRecord) -> Result<(), Fault> {
    let object = format!("{}/{}", session.run, batch.number);
    session.cx.archive.discard(&session.run, batch.number)?;
    session.put_batch(&BatchRecord { state: BatchState::Discarded, removed: Removed::default(), ..batch })?;
    session.audit("purge.batch", &object, "rolled back")
}

fn pending(session: &Session<'_, '_>, batch: &BatchRecord) -> Fault {
    let message = format!("the store is still busy with batch {} of run `{}`", batch.number, session.run);
    Fault::store(message)
        .state("nothing further was changed")
        .hint(format!("end its old connection or wait, then run `unseed resume {}`", session.run))
}
