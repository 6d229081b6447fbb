//! SQLite files in a temporary folder, and the `sqlite3` client to fill and ask them.

use super::{ServerError, command};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// One database file, removed with its folder when the value is dropped.
#[derive(Debug)]
pub struct SqliteFile {
    folder: TempDir,
}

impl SqliteFile {
    /// A place for a new database: the file appears with the first statement.
    pub fn create() -> Result<Self, ServerError> {
        let folder = tempfile::Builder::new().prefix("unseed-sqlite-").tempdir();
        Ok(Self { folder: folder.map_err(|error| ServerError::file(std::env::temp_dir(), &error))? })
    }

    /// The database file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    /// The folder around the file, for things a test puts next to it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    /// Runs SQL and dot commands through the client; rows come back as `a|b` lines.
    pub fn run(&self, sql: &str) -> Result<String, ServerError> {
        run(&self.path(), sql)
    }

    /// Runs a script file through the client.
    pub fn load(&self, script: &Path) -> Result<String, ServerError> {
        load(&self.path(), script)
    }
}

/// Runs SQL and dot commands on any database file; the first error ends it.
pub fn run(database: &Path, sql: &str) -> Result<String, ServerError> {
    let folder = tempfile::tempdir().map_err(|error| ServerError::file(std::env::temp_dir(), &error))?;
    let script = folder.path().join("script.sql");
    std::fs::write(&script, sql).map_err(|error| ServerError::file(&script, &error))?;
    load(database, &script)
}

/// Runs a script file on any database file, as `sqlite3 database < script` would; the first error ends it.
pub fn load(database: &Path, script: &Path) -> Result<String, ServerError> {
    let input = File::open(script).map_err(|error| ServerError::file(script, &error))?;
    let mut client = Command::new("sqlite3");
    client.args(["-batch", "-bail"]).arg(database).stdin(Stdio::from(input));
    command::run(&mut client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_fills_and_asks_a_file() {
        let file = SqliteFile::create().unwrap();
        file.run("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y');").unwrap();
        assert_eq!(file.run("SELECT * FROM t ORDER BY a").unwrap(), "1|x\n2|y\n");
    }

    #[test]
    fn a_wrong_statement_is_an_error_with_the_clients_words() {
        let file = SqliteFile::create().unwrap();
        let error = file.run("SELECT * FROM nowhere").unwrap_err();
        assert!(error.to_string().contains("no such table: nowhere"), "{error}");
    }
}
