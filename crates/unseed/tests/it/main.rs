//! The real binary on real files: wiring, exit codes, the three parts of every fault, stable JSON.
//!
//! Not here: what the engine decides (its own tests), PostgreSQL (tests with a server).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod applications;
mod approvals;
mod archives;
mod demo;
mod detection;
mod faults;
mod keeping;
mod lab;
mod live;
mod outputs;
mod property;
mod reliability;
mod roundtrip;
mod semantics_mariadb;
mod semantics_postgres;
mod semantics_redis;
mod semantics_sqlite;
mod state;
mod stores;
mod support;
mod workloads;
