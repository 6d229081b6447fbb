//! io

pub mod archive;
pub mod command;
mod durable;
pub mod sample;
pub mod scratch;
pub mod sign;
pub mod state;
pub mod store;
