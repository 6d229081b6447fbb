//! Cases in PostgreSQL: one server, a few databases, each case in place of the one before.

use super::compare::Content;
use super::journey::Server;
use std::cell::Cell;
use std::path::Path as FilePath;
use unseed_core::plan::Path;
use unseed_testkit::random::{self, Case};
use unseed_testkit::server::{Database, Postgres, ServerError};

/// Cases after which a fresh database is taken, since each leaves its dead rows in the catalog.
const CASES_PER_DATABASE: u64 = 25;
/// A line between the two parts of what is read.
const DIVIDER: &str = "-- all columns --";

/// Owns the tables of cases with checks on, and may not skip checks.
const ROLE: &str = "property_owner";
const SUPERUSER: &str = "postgres";

/// A PostgreSQL server with a database for cases.
pub(super) struct Bench {
    server: &'static Postgres,
    database: Database<'static>,
    path: Path,
    /// Who owns the tables and comes to purge them.
    role: &'static str,
    loaded: u64,
    planned: Cell<u64>,
}

impl Bench {
    pub(super) fn new(path: Path) -> Self {
        let server = Postgres::shared().unwrap();
        let role = match path {
            Path::Fast | Path::Rewrite => SUPERUSER,
            Path::Checked => {
                server.role(ROLE, None).unwrap();
                ROLE
            }
        };
        let database = database_of(server, role).unwrap();
        Self { server, database, path, role, loaded: 0, planned: Cell::new(0) }
    }

    /// How many cases there were, and how many of them the path has taken.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.loaded, self.planned.get())
    }
}

fn database_of(server: &'static Postgres, role: &str) -> Result<Database<'static>, ServerError> {
    let database = server.database("property")?;
    database.psql(&format!("ALTER DATABASE \"{}\" OWNER TO {role}", database.name()))?;
    Ok(database)
}

impl Server for Bench {
    fn case(&self, seed: u64) -> Case {
        random::case(seed)
    }

    fn script(&self, case: &Case) -> String {
        let roots: String =
            case.postgres_root_keys().iter().map(|root| format!("-- root {root:?}\n")).collect();
        format!("{}{}{roots}", Case::postgres_drop_sql(), case.postgres_sql())
    }

    fn load(&mut self, case: &Case) -> Result<(), String> {
        self.loaded += 1;
        let mut sql = format!("SET ROLE {};\nBEGIN;\n", self.role);
        if self.loaded.is_multiple_of(CASES_PER_DATABASE) {
            self.database = database_of(self.server, self.role).map_err(|error| error.to_string())?;
        } else {
            sql.push_str(Case::postgres_drop_sql());
        }
        sql.push_str(&case.postgres_sql());
        sql.push_str("COMMIT;\n");
        // What the tables are known to hold decides how a closure looks at them.
        if case.seed.is_multiple_of(2) {
            sql.push_str("ANALYZE;\n");
        }
        self.database.psql(&sql).map(drop).map_err(|error| error.to_string())
    }

    fn planned(&self) {
        self.planned.set(self.planned.get() + 1);
    }

    fn url(&self) -> String {
        self.database.url_as(self.role, None)
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
        psql.args(["-U", self.role, "-X", "-q", "-f", "restore.sql"]).current_dir(folder);
        super::journey::output_of(&mut psql)
    }
}
