//! The state database: where runs, batches, the journal, leases and the audit log are kept.
//!
//! It is one file for one machine (`sqlite`), or a schema of a server that several machines share (`postgres`).
//! Both are asked with the same statements (`session`).
//!
//! Not here: what the states mean (`core::run`), archives (`archive`).

pub mod anchor;
mod database;
mod faults;
mod governance;
#[cfg(test)]
mod homes;
mod lease;
mod migrations;
mod postgres;
mod session;
mod sqlite;

pub use database::{LEASE_S_DEFAULT, State};

/// Name of the state database within the state folder.
pub const FILE: &str = "state.db";

/// Whether this is the address of a server, and not a folder.
pub fn is_server(address: &str) -> bool {
    address.starts_with("postgres://") || address.starts_with("postgresql://")
}

/// Makes a folder that only its owner can look into, and those above it.
///
/// # Errors
/// What the system says.
pub fn private_folder(path: &std::path::Path) -> std::io::Result<()> {
    crate::durable::create_folder(path)
}
