//! Embedded databases made from a script and compared with each other, for demonstrations.
//!
//! Not here: what is in them (the command line), stores that people work on (`store`).

use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use unseed_core::fault::Fault;

/// Makes a SQLite file from a script; a file of that name is replaced.
///
/// # Errors
/// A store fault that names the file.
pub fn create(path: &Path, script: &str) -> Result<(), Fault> {
    let make = || -> rusqlite::Result<()> {
        let db = Connection::open(path)?;
        db.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; BEGIN")?;
        db.execute_batch(script)?;
        db.execute_batch("COMMIT; PRAGMA journal_mode = DELETE")
    };
    if path.exists() {
        std::fs::remove_file(path).map_err(|error| failed(path, &error.to_string()))?;
    }
    make().map_err(|error| failed(path, &error.to_string()))
}

/// Runs a script on a SQLite file that is there.
///
/// # Errors
/// A store fault that names the file.
pub fn change(path: &Path, script: &str) -> Result<(), Fault> {
    let change = || -> rusqlite::Result<()> {
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?.execute_batch(script)
    };
    change().map_err(|error| failed(path, &error.to_string()))
}

/// Rows per table, in the order of their names.
///
/// # Errors
/// A store fault that names the file.
pub fn counts(path: &Path) -> Result<Vec<(String, u64)>, Fault> {
    let count = || -> rusqlite::Result<Vec<(String, u64)>> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut counts = Vec::new();
        for table in tables(&db)? {
            let sql = format!("SELECT count(*) FROM {}", quoted(&table));
            let rows: i64 = db.query_row(&sql, [], |row| row.get(0))?;
            counts.push((table, u64::try_from(rows).unwrap_or(0)));
        }
        Ok(counts)
    };
    count().map_err(|error| failed(path, &error.to_string()))
}

/// Tables whose rows are not the same in two files, value for value and type for type.
///
/// # Errors
/// A store fault that names the first file.
pub fn differences(one: &Path, other: &Path) -> Result<Vec<String>, Fault> {
    let compare = || -> rusqlite::Result<Vec<String>> {
        let db = Connection::open_with_flags(one, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.execute("ATTACH ?1 AS other", [other.display().to_string()])?;
        let mut different = Vec::new();
        for table in tables(&db)? {
            let name = quoted(&table);
            let sql = format!(
                "SELECT (SELECT count(*) FROM main.{name}) = (SELECT count(*) FROM other.{name})
                    AND NOT EXISTS (SELECT * FROM main.{name} EXCEPT SELECT * FROM other.{name})
                    AND NOT EXISTS (SELECT * FROM other.{name} EXCEPT SELECT * FROM main.{name})"
            );
            if !db.query_row(&sql, [], |row| row.get::<_, bool>(0))? {
                different.push(table);
            }
        }
        Ok(different)
    };
    compare().map_err(|error| failed(one, &error.to_string()))
}

fn tables(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql =
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY name";
    db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn failed(path: &Path, why: &str) -> Fault {
    Fault::store(format!("database `{}` cannot be used: {why}", path.display()))
        .hint("name a folder that can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_row_is_a_difference_and_a_copy_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one.db"), folder.path().join("other.db"));
        create(&one, "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)").unwrap();
        create(&other, "CREATE TABLE t (a); INSERT INTO t VALUES (2), (1)").unwrap();
        assert_eq!(counts(&one).unwrap(), [("t".to_owned(), 2)]);
        assert!(differences(&one, &other).unwrap().is_empty());
        create(&other, "CREATE TABLE t (a); INSERT INTO t VALUES (2), ('1')").unwrap();
        assert_eq!(differences(&one, &other).unwrap(), ["t"]);
    }
}
