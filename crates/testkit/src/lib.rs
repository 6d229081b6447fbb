//! What tests of every crate share: private servers, contaminated databases and schemas of real applications.
//!
//! Code map
//! - `server`: PostgreSQL and Redis servers that live as long as the test process, and SQLite files; they are spoken to
//!   with their own command-line clients, so no driver is needed here and a test can prove that a client alone is enough;
//! - `workloads`: loads the contaminated databases of the folder `workloads/`;
//! - `schemas`: where the schemas of public applications lie, and which ones there must be;
//! - `memory`: a store, a state database and an archive over vectors, and ports that fail at a chosen call;
//! - `random`: random schemas with rows, as SQL and in memory; `oracle` says what a purge must do to them;
//! - `corpus`: records of which it is known whether they are test data, and how well they are told apart;
//! - `populate`: fills the tables of any schema with rows that fit;
//! - `zoo`: writes one very large schema with every shape of table, key and trigger.
//!
//! Invariants
//! - nothing outlives the test process: servers stop and folders go, even after SIGKILL;
//! - nothing is skipped: what is missing is an error that names the command which installs it.
//!
//! Not here: anything that the product ships.

// `memory` (the reference store) joins this list.
pub mod corpus;
pub mod memory;
pub mod oracle;
pub mod populate;
pub mod random;
pub mod schemas;
pub mod server;
pub mod workloads;
pub mod zoo;

/// The root folder of this repository.
pub(crate) fn workspace_root() -> std::path::PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the crate lies in crates/testkit").to_owned()
}
