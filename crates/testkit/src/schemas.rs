//! Schemas of real, public applications: which there must be and where they lie.
//!
//! `cargo xtask schemas` installs the applications and writes their tables as plain SQL under `target/schemas`;
//! `cargo xtask test` does it first. Nothing of theirs is in this repository.
//!
//! Invariant: a schema that should be there and is not is an error, on every machine. A test that loops over
//! them can therefore not shrink in silence.

use crate::server::{Database, MariadbDatabase, ServerError, SqliteFile};
use std::path::{Path, PathBuf};

/// Kind of database a schema is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    Postgres,
    Mariadb,
    Sqlite,
}

impl Engine {
    fn suffix(self) -> &'static str {
        match self {
            Self::Postgres => "pg",
            Self::Mariadb => "mariadb",
            Self::Sqlite => "sqlite",
        }
    }
}

const POSTGRES: &[Engine] = &[Engine::Postgres];
const BOTH: &[Engine] = &[Engine::Postgres, Engine::Sqlite];
const ALL: &[Engine] = &[Engine::Postgres, Engine::Mariadb, Engine::Sqlite];

/// Every application and the engines it is made for.
pub const EXPECTED: [(&str, &[Engine]); 9] = [
    ("django", BOTH),
    ("galaxy", BOTH),
    ("indico", POSTGRES),
    ("keystone", POSTGRES),
    ("ledgersmb", POSTGRES),
    ("neutron", BOTH),
    ("synapse", BOTH),
    ("tryton", POSTGRES),
    ("zabbix", ALL),
];

/// The tables of one application, for one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSchema {
    pub name: &'static str,
    pub engine: Engine,
    pub path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "`{path}` is missing\n  no test was run on the schema of `{name}`\n  hint: run `cargo xtask schemas`"
)]
pub struct MissingSchema {
    name: &'static str,
    path: PathBuf,
}

impl AppSchema {
    /// Creates the tables in an empty PostgreSQL database.
    pub fn load_postgres(&self, database: &Database<'_>) -> Result<(), ServerError> {
        assert_eq!(self.engine, Engine::Postgres, "`{}` is not for PostgreSQL", self.path.display());
        database.psql_file(&self.path, &[]).map(drop)
    }

    /// Creates the tables in an empty MariaDB database, with the rows that the application is delivered with.
    pub fn load_mariadb(&self, database: &MariadbDatabase<'_>) -> Result<(), ServerError> {
        assert_eq!(self.engine, Engine::Mariadb, "`{}` is not for MariaDB", self.path.display());
        database.server().sql_file(database.name(), &self.path).map(drop)
    }

    /// Creates the tables in an empty SQLite file.
    pub fn load_sqlite(&self, file: &SqliteFile) -> Result<(), ServerError> {
        assert_eq!(self.engine, Engine::Sqlite, "`{}` is not for SQLite", self.path.display());
        file.load(&self.path).map(drop)
    }
}

/// Where the schemas lie: always in the workspace's own `target`, so that they are made once.
pub fn folder() -> PathBuf {
    crate::workspace_root().join("target/schemas")
}

/// The file for one application and engine.
pub fn file(folder: &Path, name: &str, engine: Engine) -> PathBuf {
    folder.join(format!("{name}.{}.sql", engine.suffix()))
}

/// All schemas for one engine, in the order of their names.
pub fn all(engine: Engine) -> Result<Vec<AppSchema>, MissingSchema> {
    let folder = folder();
    let wanted = EXPECTED.into_iter().filter(|(_, engines)| engines.contains(&engine));
    wanted.map(|(name, _)| found(&folder, name, engine)).collect()
}

/// The schema of one application.
pub fn one(name: &str, engine: Engine) -> Result<AppSchema, MissingSchema> {
    let known = EXPECTED.into_iter().find(|(known, engines)| *known == name && engines.contains(&engine));
    let (name, _) = known.expect("callers name an application of `EXPECTED`");
    found(&folder(), name, engine)
}

fn found(folder: &Path, name: &'static str, engine: Engine) -> Result<AppSchema, MissingSchema> {
    let path = file(folder, name, engine);
    if path.is_file() { Ok(AppSchema { name, engine, path }) } else { Err(MissingSchema { name, path }) }
}
