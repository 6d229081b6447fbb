//! Cases in MariaDB: one server, one database after the other.

use super::compare::Content;
use super::journey::Server;
use std::path::Path as FilePath;
use std::process::Command;
use unseed_core::plan::Path;
use unseed_testkit::random::{self, Case};
use unseed_testkit::server::{Mariadb, MariadbDatabase};

/// A MariaDB server with a database for a case.
pub(super) struct Bench {
    server: &'static Mariadb,
    database: MariadbDatabase<'static>,
    path: Path,
}

impl Bench {
    pub(super) fn new(path: Path) -> Self {
        let server = Mariadb::shared().unwrap();
        Self { server, database: server.database("property").unwrap(), path }
    }
}

impl Server for Bench {
    fn kind(&self) -> &'static str {
        "mariadb"
    }

    fn namespace(&self) -> String {
        self.database.name().to_owned()
    }

    fn case(&self, seed: u64) -> Case {
        random::case(seed).for_mariadb()
    }

    fn script(&self, case: &Case) -> String {
        let roots: String = case.root_keys().iter().map(|root| format!("-- root {root:?}\n")).collect();
        format!("{}{roots}", case.mariadb_sql())
    }

    fn load(&mut self, case: &Case) -> Result<(), String> {
        self.database = self.server.database("property").map_err(|error| error.to_string())?;
        self.database.sql(&case.mariadb_sql()).map(drop).map_err(|error| error.to_string())
    }

    fn url(&self) -> String {
        self.database.url()
    }

    fn path(&self) -> Option<Path> {
        Some(self.path)
    }

    fn roots(&self, case: &Case) -> Vec<(String, Vec<String>, Vec<Vec<String>>)> {
        case.root_keys()
    }

    fn content(&self, case: &Case) -> Result<Content, String> {
        let printed = self.database.sql(&case.mariadb_content_sql()).map_err(|error| error.to_string())?;
        let mut whole: Vec<String> = printed.lines().map(str::to_owned).collect();
        whole.sort();
        Ok(Content { rows: case.read_mariadb_content(&printed), whole })
    }

    fn restore_by_hand(&self, folder: &FilePath) -> Result<(), String> {
        let mut shell = Command::new("sh");
        shell.args(["restore.sh", "mariadb", "--no-defaults", "--user=root"]).current_dir(folder);
        shell.arg(format!("--socket={}", self.server.socket().display())).arg(self.database.name());
        super::journey::output_of(&mut shell)
    }
}
