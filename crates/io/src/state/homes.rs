//! Places for state databases of both kinds, for tests.

use super::State;
use std::path::PathBuf;
use unseed_testkit::server::{Database, Postgres, sqlite};

/// A folder, and a database of a server where the state is kept on one.
pub(super) struct Home {
    pub(super) folder: tempfile::TempDir,
    pub(super) database: Option<Database<'static>>,
}

/// Does the same with a file and with a server.
pub(super) fn each(check: impl Fn(&Home)) {
    check(&Home::file());
    check(&Home::server());
}

impl Home {
    pub(super) fn file() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), database: None }
    }

    pub(super) fn server() -> Self {
        let database = Postgres::shared().and_then(|server| server.database("state")).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), database: Some(database) }
    }

    /// The state folder, if the state is kept in a file.
    pub(super) fn state_folder(&self) -> PathBuf {
        self.folder.path().join("deep/.unseed")
    }

    pub(super) fn open(&self) -> State {
        self.try_open().unwrap()
    }

    pub(super) fn try_open(&self) -> Result<State, unseed_core::fault::Fault> {
        match &self.database {
            None => State::open(&self.state_folder()),
            Some(database) => State::connect(&database.url(), &|_| None),
        }
    }

    /// The answer of the database's own client.
    pub(super) fn ask(&self, sql: &str) -> Result<String, String> {
        let said = match &self.database {
            None => sqlite::run(&self.state_folder().join("state.db"), &format!(".timeout 10000\n{sql};")),
            Some(database) => database.psql(&format!("SET search_path = unseed; {sql};")),
        };
        said.map(|text| text.trim_end().to_owned()).map_err(|error| error.to_string())
    }

    /// What somebody does to the audit log who may change its tables and knows how it works.
    pub(super) fn tamper(&self, sql: &str) {
        let open = match &self.database {
            None => "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_shortened",
            Some(_) => "ALTER TABLE audit DISABLE TRIGGER ALL",
        };
        self.ask(&format!("{open}; {sql}")).unwrap();
    }

    /// The whole state is gone.
    pub(super) fn remove(&self) {
        match &self.database {
            None => std::fs::remove_dir_all(self.state_folder()).unwrap(),
            Some(_) => drop(self.ask("DROP SCHEMA unseed CASCADE").unwrap()),
        }
    }
}
