//! Sections of an archive in a new SQLite file: loaded by their own statements, written again, compared.
//!
//! Columns have no type, so that every value keeps the storage class it was archived with.

use super::Sqlite;
use super::archive::write_rows;
use super::dialect::{SqliteDialect, section_table};
use super::sql_error;
use crate::store::scratch::{HashSink, HashedSource, Rehearsed};
use crate::store::sql::dialect::Dialect;
use unseed_core::fault::{Category, Fault};
use unseed_core::port::store::{ArchiveSource, SectionEntry};

/// Loads every section into a file in a temporary folder.
pub(in crate::store) fn rehearse(source: &mut dyn ArchiveSource) -> Result<Vec<Rehearsed>, Fault> {
    let failed = |error: &dyn std::fmt::Display| {
        Fault::new(Category::Archive, format!("no scratch database could be made: {error}"))
            .hint("free some space in the folder for temporary files, or name another one in TMPDIR")
    };
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let file = folder.path().join("scratch.db");
    crate::durable::touch(&file).map_err(|error| failed(&error))?;
    let mut scratch = Sqlite::open(&file.display().to_string())?;
    let sections = source.sections();
    let one = |(index, entry)| Rehearsed::of(entry, scratch.load_again(source, index, entry));
    Ok(sections.iter().enumerate().map(one).collect())
}

impl Sqlite {
    /// Rows that were loaded, and whether they are written as they were archived.
    fn load_again(
        &mut self,
        source: &mut dyn ArchiveSource,
        index: usize,
        entry: &SectionEntry,
    ) -> Result<(u64, bool), Fault> {
        let failed = |error: rusqlite::Error| sql_error(&error).fault("restoring into the scratch database");
        let name = SqliteDialect.quote(&section_table(&entry.head));
        let columns: Vec<String> = entry.head.columns.iter().map(|c| SqliteDialect.quote(c)).collect();
        let create = format!("BEGIN; CREATE TABLE main.{name} ({})", columns.join(", "));
        self.session.db.execute_batch(&create).map_err(failed)?;
        let mut hashed = HashedSource::new(source);
        let loaded = self.load_section(&mut hashed, index).and_then(|()| {
            let mut sink = HashSink::default();
            let rows = write_rows(&self.session.db, &entry.head, &format!("FROM main.{name} x"), &mut sink)?;
            Ok((rows, sink.0.finalize() == hashed.hasher.finalize()))
        });
        self.session.db.execute_batch("ROLLBACK").map_err(failed)?;
        loaded
    }
}
