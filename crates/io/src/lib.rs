//! io

pub mod archive;
mod durable;
pub mod sample;
pub mod scratch;
pub mod sign;
pub mod state;
pub mod store;
