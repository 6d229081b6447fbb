//! Store adapters: one folder per kind of store, and what SQL stores share.
//!
//! To add a store, write `NAME/mod.rs` with a type that implements `core::port::store::Store` and add one
//! line to [`open`].

mod mysql;
mod postgres;
pub mod scratch;
mod sql;
mod sqlite;

#[doc(hidden)]
pub use postgres::parsing as postgres_parsing;

use unseed_core::fault::Fault;
use unseed_core::port::scan::ScanSource;
use unseed_core::port::store::Store;

/// Looks up a variable of the environment; passed in, so that only the caller reads the real one.
pub type Lookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// A store that can be both scanned and purged.
pub trait AnyStore: Store + ScanSource {
    /// This store as what a plan or purge needs.
    fn store(&mut self) -> &mut dyn Store;
    /// This store as what a scan needs.
    fn source(&mut self) -> &mut dyn ScanSource;
}

impl<T: Store + ScanSource> AnyStore for T {
    fn store(&mut self) -> &mut dyn Store {
        self
    }

    fn source(&mut self) -> &mut dyn ScanSource {
        self
    }
}

/// Connects to the store behind a URL: `postgres://…`, `postgresql://…`, `mysql://…`, `mariadb://…`, `sqlite:PATH`, or the path of an
/// existing SQLite file.
///
/// # Errors
/// A usage fault when the URL is of no known kind, a store fault when the connection fails. Neither carries
/// a password.
pub async fn open(url: &str, lookup: Lookup<'_>) -> Result<Box<dyn AnyStore>, Fault> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Box::new(postgres::Postgres::connect(url, lookup).await?));
    }
    if url.starts_with("mysql://") || url.starts_with("mariadb://") {
        return Ok(Box::new(mysql::Mysql::connect(url, lookup).await?));
    }
    if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
        return Ok(Box::new(sqlite::Sqlite::open(path)?));
    }
    if !url.contains("://") && std::path::Path::new(url).is_file() {
        return Ok(Box::new(sqlite::Sqlite::open(url)?));
    }
    let kind = url.split("://").next().unwrap_or_default();
    let message = if url.contains("://") {
        format!("stores of kind `{kind}` are not supported")
    } else {
        format!("no such database file `{url}`")
    };
    Err(Fault::usage(message)
        .hint("use postgres://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE, sqlite:PATH, or the path of a SQLite file"))
}
