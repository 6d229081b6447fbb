//! Private servers: started by the test that needs them, stopped with its process.
//!
//! One file per kind of server. A kind brings its own start and its own client; what they have in common is here:
//! the error, running a program to its end, and the watchdog that removes a server when the tests are gone.

pub mod mariadb;
pub mod postgres;
pub mod redis;
pub mod sqlite;

mod certificate;
mod command;
mod database;
mod locate;
mod settings;
mod watchdog;

pub use database::Database;
pub use locate::postgres_programs;
pub use mariadb::{Mariadb, MariadbDatabase, mariadb_is_installed};
pub use postgres::Postgres;
pub use redis::{Redis, RedisClient, RedisCluster, RedisOptions, Reply};
pub use settings::{Settings, Tls};
pub use sqlite::SqliteFile;

use std::path::PathBuf;

/// Why a server could not be started or asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServerError {
    #[error(
        "`{program}` is not installed\n  no test was run against it\n  hint: run `cargo xtask test`, it installs what the tests need"
    )]
    Missing { program: String },
    #[error("`{command}` failed ({status})\n{output}")]
    Failed { command: String, status: String, output: String },
    #[error("`{path}`: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("no certificate could be made: {0}")]
    Certificate(String),
}

impl ServerError {
    pub(crate) fn file(path: impl Into<PathBuf>, reason: &impl ToString) -> Self {
        Self::File { path: path.into(), reason: reason.to_string() }
    }
}
