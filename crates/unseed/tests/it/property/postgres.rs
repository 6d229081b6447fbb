//! Cases in PostgreSQL: one server, a few databases, each case in place of the one before.

use super::compare::Content;
use super::journey::Server;
use std::path::Path as FilePath;
use unseed_core::plan::Path;
use unseed_testkit::random::{self, Case};
use unseed_testkit::server::{Database, Postgres};

/// Cases after which a fresh database is taken, since each leaves its dead rows in the catalog.
const CASES_PER_DATABASE: u64 = 25;
/// A line between the two parts of what is read.
const DIVIDER: &str = "-- all columns --";

/// A PostgreSQL server with a database for cases.
pub(super) struct Bench {
    server: &'static Postgres,
    database: Database<'static>,
    path: Path,
    loaded: u64,
}

impl Bench {
    pub(super) fn new(path: Path) -> Self {
        let server = Postgres::shared().unwrap_or_else(|error| panic!("{error}"));
        let database = server.database("property").unwrap_or_else(|error| panic!("{error}"));
        Self { server, database, path, loaded: 0 }
    }
}

impl Server for Bench {
    fn case(&self, seed: u64) -> Case {
        random::case(seed)
    }

    fn load(&mut self, case: &Case) -> Result<(), String> {
        self.loaded += 1;
        let mut sql = "BEGIN;\n".to_owned();
        if self.loaded.is_multiple_of(CASES_PER_DATABASE) {
            self.database = self.server.database("property").map_err(|error| error.to_string())?;
        } else {
            sql.push_str(Case::postgres_drop_sql());
        }
        sql.push_str(&case.postgres_sql());
        sql.push_str("COMMIT;\n");
        self.database.psql(&sql).map(drop).map_err(|error| error.to_string())
    }

    fn url(&self) -> String {
        self.database.url()
    }

    fn path(&self) -> Option<Path> {
        Some(self.path)
    }

    fn roots(&self, case: &Case) -> Vec<(String, Vec<String>, Vec<Vec<String>>)> {
        case.postgres_root_keys()
    }

    fn content(&self, case: &Case) -> Result<Content, String> {
        let sql = format!("{}\\echo {DIVIDER}\n{}", case.postgres_content_sql(), case.postgres_whole_sql());
        let printed = self.database.psql(&sql).map_err(|error| error.to_string())?;
        let (rows, whole) = printed.split_once(DIVIDER).ok_or("psql printed no divider")?;
        let mut whole: Vec<String> = whole.lines().map(str::to_owned).collect();
        whole.sort();
        Ok(Content { rows: case.read_content(rows), whole })
    }

    fn restore_by_hand(&self, folder: &FilePath) -> Result<(), String> {
        let mut psql = self.server.client("psql", self.database.name());
        psql.args(["-X", "-q", "-f", "restore.sql"]).current_dir(folder);
        super::journey::output_of(&mut psql)
    }
}
