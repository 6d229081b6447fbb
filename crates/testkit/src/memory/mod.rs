//! A store, a state database and an archive over plain vectors: the reference for the real ones.
//!
//! [`MemStore`] runs the same closure program as the SQL stores, by the letter and without any cleverness,
//! so that a difference between them is a finding. Its rows outlive a connection in a [`MemDb`], as those of
//! a server do, and an open transaction is lost when the connection is.
//!
//! Invariants
//! - nothing a transaction did is in the [`MemDb`] before its commit;
//! - what a real store would reject (null in a NOT NULL column, a failing check, a dangling reference) is an
//!   error here too.
//!
//! Not here: triggers and rules; those are the business of real servers.

mod archives;
mod closing;
mod conflicts;
mod database;
mod expression;
mod fault_files;
mod faults;
mod recorded;
mod removal;
mod restoring;
mod rows;
mod state;
mod store;

pub use archives::MemArchive;
pub use database::{Database, MemDb, Router, Row};
pub use fault_files::{FaultArchive, FaultState};
pub use faults::{FaultStore, Fuse, Moment};
pub use state::MemState;
pub use store::MemStore;
pub(crate) use store::first_violation;

use std::sync::atomic::{AtomicU64, Ordering};
use unseed_core::port::clock::Clock;

/// A clock that moves on by one millisecond whenever it is asked.
#[derive(Debug, Default)]
pub struct TickingClock {
    ticks: AtomicU64,
}

impl Clock for TickingClock {
    fn now(&self) -> String {
        let ms = self.ticks.fetch_add(1, Ordering::SeqCst);
        format!("2026-01-01T00:{:02}:{:02}.{:03}Z", ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }

    fn monotonic_ms(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }
}

pub(crate) fn length<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).expect("a length fits 64 bits")
}
