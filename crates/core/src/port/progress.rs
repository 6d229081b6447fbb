//! How a long job tells what it is doing.
//!
//! Implementations must be cheap and never fail; the engine calls them from its hot paths.

/// Receives progress. `done` and `total` count the unit that `stage` names (rows, tables, batches).
pub trait Progress: Send + Sync {
    /// A stage moved on; `total` is `None` when it is not known.
    fn update(&self, stage: &str, done: u64, total: Option<u64>);

    /// Something worth a line of its own, such as the one reason for a pause.
    fn note(&self, text: &str);

    /// Nothing moves on, for this reason; called again and again while that lasts.
    fn waiting(&self, reason: &str) {
        let _ = reason;
    }
}

/// Progress that nobody looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _stage: &str, _done: u64, _total: Option<u64>) {}

    fn note(&self, _text: &str) {}
}
