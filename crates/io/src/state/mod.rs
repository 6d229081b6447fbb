//! The state database: where runs, batches, the journal, leases and the audit log are kept.
//!
//! [`sqlite`] keeps it in one file, for one machine. A shared database for several workers is another file
//! here that implements the same port.
//!
//! Not here: what the states mean (`core::run`), archives (`archive`).

pub mod anchor;
mod faults;
mod governance;
mod lease;
mod migrations;
pub mod sqlite;

pub use sqlite::SqliteState;

/// Name of the state database within the state folder.
pub const FILE: &str = "state.db";

/// Makes a folder that only its owner can look into, and those above it.
///
/// # Errors
/// What the system says.
pub fn private_folder(path: &std::path::Path) -> std::io::Result<()> {
    crate::durable::create_folder(path)
}
