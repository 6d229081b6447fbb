//! The wish of a person to stop: asked between batches, never inside one.

use std::sync::atomic::{AtomicBool, Ordering};

/// Set once, by a signal handler for instance; a run stops after the batch it is in.
#[derive(Debug, Default)]
pub struct Interrupt {
    requested: AtomicBool,
}

impl Interrupt {
    /// No wish yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop after its batch.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }
}
