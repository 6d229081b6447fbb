//! Store adapters: one folder per kind of store, and what SQL stores share.
//!
//! To add a store, write `NAME/mod.rs` with a type that implements `core::port::store::Store` and add one
//! line to [`open`]. A derived store implements `core::port::derived::DerivedStore`, see `redis`.

mod command;
mod mysql;
mod postgres;
mod redis;
pub mod scratch;
mod sql;
mod sqlite;

#[doc(hidden)]
pub use postgres::parsing as postgres_parsing;
#[doc(hidden)]
pub use redis::parsing as redis_parsing;

pub use redis::RedisSettings;

pub(crate) use postgres::connection as postgres_connection;

use std::path::Path;
use unseed_core::config::{KeySettings, StoreConfig};
use unseed_core::fault::Fault;
use unseed_core::port::derived::DerivedStore;
use unseed_core::port::gauges::Gauges;
use unseed_core::port::scan::ScanSource;
use unseed_core::port::store::Store;
use unseed_core::throttle::Throttle;

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

/// Whatever the throttle has measured, on a connection of its own that is opened with the first look; nothing where
/// nothing has to be measured.
///
/// # Errors
/// A usage fault when the throttle asks for what this kind of store cannot tell.
pub fn gauges(url: &str, lookup: Lookup<'_>, throttle: &Throttle) -> Result<Option<Box<dyn Gauges>>, Fault> {
    let asked = throttle.measured();
    if asked.is_empty() {
        return Ok(None);
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Some(Box::new(postgres::gauges(url, lookup, throttle)?)));
    }
    let keys: Vec<String> = asked.iter().map(|key| format!("`throttle.{key}`")).collect();
    let message = format!("{} cannot be measured on this kind of store", keys.join(", "));
    Err(Fault::usage(message).hint("take it out; `rows_per_second` and `window` work on every store"))
}

/// Opens a store whose entries follow from rows elsewhere. A server connects when it is inspected; commands run in
/// `folder`.
///
/// # Errors
/// A usage fault when it is of no known kind, or a pattern or the address cannot be used. It does not carry a password.
pub fn open_derived(
    name: &str,
    config: &StoreConfig,
    folder: &Path,
    lookup: Lookup<'_>,
) -> Result<Box<dyn DerivedStore>, Fault> {
    if let Some(commands) = &config.commands {
        return Ok(Box::new(command::CommandStore::new(name, commands.clone(), folder.to_path_buf())));
    }
    if is_redis(&config.url) {
        let KeySettings { orphans, pause_ms, portable } = config.settings;
        let keys = config.keys.clone();
        let settings = RedisSettings { keys, orphans, pause_ms, portable, ..RedisSettings::default() };
        return redis(&config.url, settings, lookup);
    }
    let kind = config.url.split(':').next().unwrap_or_default();
    Err(Fault::usage(format!("store `{name}` has `keys`, but stores of kind `{kind}` hold none"))
        .hint("remove `keys`, or give the address of a Redis or Valkey server"))
}

/// Whether an address leads to a Redis or Valkey server.
pub fn is_redis(url: &str) -> bool {
    redis::is_ours(url)
}

/// A Redis or Valkey server as a derived store; it connects when it is inspected.
///
/// # Errors
/// A usage fault when a pattern or the address cannot be used. It does not carry a password.
pub fn redis(url: &str, settings: RedisSettings, lookup: Lookup<'_>) -> Result<Box<dyn DerivedStore>, Fault> {
    Ok(Box::new(redis::Redis::new(url, settings, lookup)?))
}
