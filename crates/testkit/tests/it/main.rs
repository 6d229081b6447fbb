//! Tests of the test kit itself: its servers, its workloads and its big schema, on real servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]
#![allow(clippy::print_stdout, reason = "sizes are worth reading when a test fails")]

mod random;
mod schemas;
mod servers;
mod workloads;
mod zoo;
