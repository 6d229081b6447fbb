//! What the engine asks of a store while others use it: how busy it is.
//!
//! Invariants
//! - a look changes nothing and holds nothing once it has returned;
//! - what cannot be known is an error, never a small number.

use crate::fault::Fault;
use crate::throttle::Readings;
use async_trait::async_trait;

/// Looks at a store over a connection of its own.
#[async_trait]
pub trait Gauges: Send {
    /// Reads everything that the throttle asks for. May be dropped at any moment; the next call begins anew.
    ///
    /// # Errors
    /// A store fault that says what could not be read, and why.
    async fn read(&mut self) -> Result<Readings, Fault>;
}
