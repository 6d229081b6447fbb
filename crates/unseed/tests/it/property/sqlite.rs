//! Cases in SQLite: a file each.

use super::compare::Content;
use super::journey::Server;
use std::fs::File;
use std::path::Path as FilePath;
use std::process::Command;
use unseed_core::plan::Path;
use unseed_testkit::random::{self, Case};
use unseed_testkit::server::SqliteFile;

/// A line between the two parts of what is read.
const DIVIDER: &str = "-- all columns --";

/// A SQLite file.
pub(super) struct Bench {
    file: SqliteFile,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { file: SqliteFile::create().unwrap_or_else(|error| panic!("{error}")) }
    }
}

impl Server for Bench {
    fn case(&self, seed: u64) -> Case {
        random::case(seed).for_sqlite()
    }

    fn script(&self, case: &Case) -> String {
        let roots: String = case.root_keys().iter().map(|root| format!("-- root {root:?}\n")).collect();
        format!("{}{roots}", case.sqlite_sql())
    }

    fn load(&mut self, case: &Case) -> Result<(), String> {
        self.file = SqliteFile::create().map_err(|error| error.to_string())?;
        self.file.run(&case.sqlite_sql()).map(drop).map_err(|error| error.to_string())
    }

    fn url(&self) -> String {
        self.file.url()
    }

    fn path(&self) -> Option<Path> {
        None
    }

    fn roots(&self, case: &Case) -> Vec<(String, Vec<String>, Vec<Vec<String>>)> {
        case.root_keys()
    }

    fn content(&self, case: &Case) -> Result<Content, String> {
        let sql = format!(
            "{}.print {DIVIDER}\n{}PRAGMA integrity_check;\n",
            case.sqlite_content_sql(),
            case.sqlite_whole_sql()
        );
        let printed = self.file.run(&sql).map_err(|error| error.to_string())?;
        let (rows, whole) = printed.split_once(DIVIDER).ok_or("sqlite3 printed no divider")?;
        let mut whole: Vec<String> = whole.lines().map(str::to_owned).collect();
        whole.sort();
        Ok(Content { rows: case.read_content(rows), whole })
    }

    fn restore_by_hand(&self, folder: &FilePath) -> Result<(), String> {
        let script = File::open(folder.join("restore.sql")).map_err(|error| error.to_string())?;
        let mut sqlite = Command::new("sqlite3");
        sqlite.args(["-batch", "-bail"]).arg(self.file.path()).current_dir(folder).stdin(script);
        super::journey::output_of(&mut sqlite)
    }
}
