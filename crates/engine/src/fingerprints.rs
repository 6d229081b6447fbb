//! Fingerprints of what is protected, taken while the store does other work, where it can.
//!
//! Not here: what is compared with them (`verify`).

use tokio::task::JoinHandle;
use unseed_core::fault::{Category, Fault};
use unseed_core::port::store::{Fingerprint, Store, Work};

/// Fingerprints that are being taken.
pub(crate) enum Taking {
    Taken(Vec<Fingerprint>),
    Beside(JoinHandle<Result<Vec<Fingerprint>, Fault>>),
}

impl Taking {
    /// Begins; until [`Taking::end`] nothing in the store may be changed.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn begin(store: &mut dyn Store, work: &Work) -> Result<Self, Fault> {
        match store.fingerprint_beside(work).await? {
            Some(mut taker) => Ok(Self::Beside(tokio::spawn(async move { taker.take().await }))),
            None => Ok(Self::Taken(store.fingerprint(work).await?)),
        }
    }

    /// Waits for them.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn end(self) -> Result<Vec<Fingerprint>, Fault> {
        match self {
            Self::Taken(fingerprints) => Ok(fingerprints),
            Self::Beside(task) => task.await.unwrap_or_else(|error| {
                Err(Fault::new(Category::Store, format!("the fingerprints ended early: {error}")))
            }),
        }
    }
}
