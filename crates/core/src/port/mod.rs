//! Ports: the traits through which the engine speaks to the outside. Implementations live in `io` and in
//! the test kit; no driver's type ever appears here.

pub mod archive;
pub mod clock;
pub mod derived;
pub mod gauges;
pub mod hook;
pub mod progress;
pub mod scan;
pub mod sign;
pub mod state;
pub mod store;
