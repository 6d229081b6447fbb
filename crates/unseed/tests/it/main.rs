//! The real binary on real files: wiring, exit codes, the three parts of every fault, stable JSON.
//!
//! Not here: what the engine decides (its own tests), PostgreSQL (tests with a server).

mod demo;
mod faults;
mod outputs;
mod roundtrip;
mod support;
