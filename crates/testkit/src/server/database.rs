//! One test's database on a server that other tests use too.

use super::{Postgres, ServerError};
use std::path::Path;

/// An empty database, dropped with the handle.
#[derive(Debug)]
pub struct Database<'server> {
    pub(super) server: &'server Postgres,
    pub(super) name: String,
}

impl Database<'_> {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn server(&self) -> &Postgres {
        self.server
    }

    /// Connection URL of the superuser.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Connection URL of another role.
    pub fn url_as(&self, role: &str, password: Option<&str>) -> String {
        self.server.url_as(role, password, &self.name)
    }

    /// Runs SQL through `psql`; rows come back as `a|b` lines.
    pub fn psql(&self, sql: &str) -> Result<String, ServerError> {
        self.server.psql(&self.name, sql)
    }

    /// Runs a script through `psql` with variables.
    pub fn psql_file(&self, script: &Path, variables: &[(&str, &str)]) -> Result<String, ServerError> {
        self.server.psql_file(&self.name, script, variables)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // The server may have been killed by the test; its folder goes in any case.
        drop(
            self.server.psql("postgres", &format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name)),
        );
    }
}
