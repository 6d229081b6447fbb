//! Digests of protected rows, on the connection that does everything else or beside it on one of their own.
//!
//! Beside, they take one transaction whose id is known, so that nobody takes it for one of somebody else who wrote.
//!
//! Not here: which rows are protected, and how they are hashed (`sql::fingerprint`).

use super::connect::{Target, connect};
use super::session::PgSession;
use super::{LOCK_WAIT, Postgres};
use crate::store::sql::{Session, SqlError, fingerprint, number};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;
use unseed_core::fault::Fault;
use unseed_core::port::store::{Fingerprint, Fingerprinter, StoreWaits, Work};

/// The protected rows, and how many they are, once they have been looked for.
pub(super) type Known = Option<(fingerprint::Found, u64)>;

/// The protected rows are looked for once; what is hashed later are the same rows, unless one of them
/// is gone or was rewritten, which is looked into again.
pub(super) async fn digests(
    session: &mut dyn Session,
    work: &Work,
    known: &mut Known,
) -> Result<Vec<Fingerprint>, SqlError> {
    if let Some((found, rows)) = known.take() {
        let digests = fingerprint::digests(session, work, &found).await?;
        if digests.iter().map(|f| f.rows).sum::<u64>() == rows {
            *known = Some((found, rows));
            return Ok(digests);
        }
        fingerprint::forget(session, &found).await?;
    }
    let found = fingerprint::find(session, work).await?;
    let digests = fingerprint::digests(session, work, &found).await?;
    *known = Some((found, digests.iter().map(|f| f.rows).sum()));
    Ok(digests)
}

fn failed(error: SqlError) -> Fault {
    error.fault("hashing protected rows")
}

/// The connection for digests, and how many statements were sent on it.
#[derive(Default)]
pub(super) enum Beside {
    #[default]
    Unasked,
    Refused,
    Open(Arc<Mutex<Digester>>, Arc<AtomicU64>),
}

impl Beside {
    /// Statements of digests that were taken so far.
    pub(super) fn statements(&self) -> u64 {
        match self {
            Self::Open(_, statements) => statements.load(Ordering::Relaxed),
            Self::Unasked | Self::Refused => 0,
        }
    }

    /// Forgets which rows are protected, without which they are looked for again.
    pub(super) async fn forget(&self) -> Result<(), SqlError> {
        let Self::Open(digester, _) = self else { return Ok(()) };
        let mut digester = digester.lock().await;
        let Digester { session, known } = &mut *digester;
        match known.take() {
            Some((found, _)) => fingerprint::forget(session, &found).await,
            None => Ok(()),
        }
    }

    async fn open(target: &Target, waits: Option<StoreWaits>) -> Self {
        let Ok(connected) = connect(target).await else { return Self::Refused };
        let waiting = waits.map(|waits| {
            waits.lock_ms_max.map_or(LOCK_WAIT.to_owned(), |ms| format!("SET lock_timeout = {ms}"))
        });
        if let Some(waiting) = waiting
            && connected.client.batch_execute(&waiting).await.is_err()
        {
            return Self::Refused;
        }
        let digester = Digester { session: PgSession::new(connected.client), known: None };
        Self::Open(Arc::new(Mutex::new(digester)), Arc::default())
    }
}

pub(super) struct Digester {
    session: PgSession,
    known: Known,
}

impl Digester {
    /// Begins the transaction; returns its id.
    async fn begin(&mut self) -> Result<u64, SqlError> {
        self.session.run("BEGIN").await?;
        let rows = self.session.rows("SELECT pg_current_xact_id()::text").await?;
        Ok(rows.first().map_or(0, |row| number(row, 0)))
    }
}

/// Takes the digests of one work.
struct PgFingerprinter {
    digester: Arc<Mutex<Digester>>,
    statements: Arc<AtomicU64>,
    work: Work,
}

#[async_trait]
impl Fingerprinter for PgFingerprinter {
    async fn take(&mut self) -> Result<Vec<Fingerprint>, Fault> {
        let mut digester = self.digester.lock().await;
        let Digester { session, known } = &mut *digester;
        let digests = digests(session, &self.work, known).await;
        // A transaction that failed takes the sets along that it made.
        let end = if digests.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = session.run(end).await;
        if digests.is_err() {
            *known = None;
        }
        self.statements.store(session.statements().total, Ordering::Relaxed);
        let digests = digests.map_err(failed)?;
        ended.map_err(failed)?;
        Ok(digests)
    }
}

impl Postgres {
    /// See [`unseed_core::port::store::Store::fingerprint`].
    pub(super) async fn digest_protected(&mut self, work: &Work) -> Result<Vec<Fingerprint>, Fault> {
        digests(&mut self.session, work, &mut self.protected).await.map_err(failed)
    }

    /// See [`unseed_core::port::store::Store::fingerprint_beside`].
    pub(super) async fn digest_beside(&mut self, work: &Work) -> Option<Box<dyn Fingerprinter>> {
        if matches!(self.beside, Beside::Unasked) {
            self.beside = Beside::open(&self.target, self.waits).await;
        }
        let Beside::Open(digester, statements) = &self.beside else { return None };
        let (digester, statements) = (Arc::clone(digester), Arc::clone(statements));
        // Digests that are still being taken have the connection.
        let begun = match digester.try_lock() {
            Ok(mut digester) => digester.begin().await,
            Err(_) => return None,
        };
        match begun {
            Ok(transaction) => self.taking = transaction,
            Err(_) => {
                self.beside = Beside::Refused;
                return None;
            }
        }
        Some(Box::new(PgFingerprinter { digester, statements, work: work.clone() }))
    }
}
