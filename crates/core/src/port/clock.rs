//! Time, as the engine may know it.

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, as RFC 3339 text in UTC with milliseconds.
    fn now(&self) -> String;

    /// Milliseconds on a clock that never goes back; for durations.
    fn monotonic_ms(&self) -> u64;
}
