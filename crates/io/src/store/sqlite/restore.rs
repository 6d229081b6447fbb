//! Restoring into SQLite: the archive's own INSERT statements fill temporary tables that hide the real ones.
//!
//! Triggers are switched off on this connection while rows are put back, but for those that enter them into virtual
//! tables (`virtual_tables`), and parents are looked for by queries before anything is inserted.

use super::dialect::SqliteDialect;
use super::virtual_tables::VirtualTables;
use super::{Sqlite, sql_error};
use crate::store::sql::effects;
use crate::store::sql::reattach;
use crate::store::sql::restore::{self, Staged};
use crate::store::sql::{Session, SqlError, number};
use rusqlite::config::DbConfig;
use std::collections::BTreeMap;
use unseed_core::fault::{Category, Fault};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{ArchiveSource, RestoreScope, Restored, SectionKind, Work};
use unseed_core::schema::{Table, TableId};

impl Sqlite {
    pub(super) async fn restore_archive(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        let failed = |e: SqlError| e.fault("restoring");
        self.session.forget().map_err(failed)?;
        self.begin_restore().await?;
        let result = self.restore_locked(work, source, scope, progress).await;
        let keep = matches!(&result, Ok(restored) if restored.token.is_some());
        if !keep {
            drop(self.session.run("ROLLBACK").await);
            self.session.end_transaction();
            self.end_restore().await?;
        }
        result
    }

    /// Switches triggers and foreign keys off until the transaction ends; both are settings of the connection.
    async fn begin_restore(&mut self) -> Result<(), Fault> {
        self.restoring = true;
        self.triggers(false)?;
        let off = self.session.run("PRAGMA foreign_keys = OFF").await;
        off.map(drop).map_err(|e| e.fault("switching foreign keys"))
    }

    /// Switches them on again once the transaction of a restore is over, and takes away what was staged: those
    /// tables hide the real ones.
    pub(super) async fn end_restore(&mut self) -> Result<(), Fault> {
        if !std::mem::take(&mut self.restoring) {
            return Ok(());
        }
        let failed = |e: SqlError| e.fault("ending a restore");
        self.session.forget().map_err(failed)?;
        self.session.run("PRAGMA foreign_keys = ON").await.map_err(failed)?;
        self.triggers(true)
    }

    fn triggers(&self, on: bool) -> Result<(), Fault> {
        let set = self.session.db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on);
        set.map(drop).map_err(|error| sql_error(&error).fault("switching triggers"))
    }

    async fn restore_locked(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        let failed = |e: SqlError| e.fault("restoring");
        self.session.run("BEGIN IMMEDIATE").await.map_err(failed)?;
        self.session.holding_since = Some(std::time::Instant::now());
        let sections = source.sections();
        let mut staged = restore::staged(&SqliteDialect, work, &sections).map_err(|missing| {
            Fault::refused(format!("`{missing}` is in the archive but no longer in the database"))
                .hint("bring the schema back to what it was, or restore by hand from the archive's files")
        })?;
        for statement in restore::create(&SqliteDialect, work, &staged) {
            self.session.run(&statement).await.map_err(failed)?;
        }
        let total = u64::try_from(sections.len()).ok();
        let mut done = 0;
        for s in &staged {
            for index in &s.sections {
                self.load_section(source, *index)?;
                if let Some(statement) = effects::loaded(s, sections[*index].batch) {
                    self.session.run(&statement).await.map_err(failed)?;
                }
                done += 1;
                progress.update("reading the archive", done, total);
            }
            let expected: u64 = s.sections.iter().map(|index| sections[*index].rows).sum();
            let rows =
                self.session.rows(&format!("SELECT count(*) FROM {}", s.name)).await.map_err(failed)?;
            if rows.first().map_or(0, |row| number(row, 0)) != expected {
                return Err(Fault::new(Category::Archive, "not all archived rows could be read")
                    .hint("the archive is damaged; look for a copy of it"));
            }
        }
        for statement in effects::merge(&SqliteDialect, work, &mut staged) {
            self.session.run(&statement).await.map_err(failed)?;
        }
        if let RestoreScope::Root { table, key } = scope {
            let found =
                restore::narrow(&mut self.session, work, &staged, (*table, key)).await.map_err(failed)?;
            if !found {
                let name = &work.schema.table(*table).name;
                return Err(Fault::usage(format!(
                    "the archive holds no row of `{name}` with key {}",
                    key.join(", ")
                ))
                .hint("name a root of the run by its key"));
            }
        }
        // Nothing checks foreign keys here, so that rows which referred to nothing before can do so again.
        let found = restore::obstacles(&mut self.session, work, &staged, true).await.map_err(failed)?;
        if !found.conflicts.is_empty() {
            return Ok(Restored { conflicts: found.conflicts, ..Restored::default() });
        }
        let restored = self.put_back(work, &staged).await?;
        Ok(Restored { orphans: found.orphans, ..restored })
    }

    /// Runs the statements of a section; they end with `;` and a line break, and values may contain both.
    pub(super) fn load_section(&mut self, source: &mut dyn ArchiveSource, index: usize) -> Result<(), Fault> {
        let db = &self.session.db;
        let failed = |error: &rusqlite::Error| sql_error(error).fault("restoring");
        let mut text: Vec<u8> = Vec::new();
        tokio::task::block_in_place(|| {
            source.read(index, &mut |chunk| {
                text.extend_from_slice(chunk);
                while let Some(end) = statement_end(&text) {
                    let statement: Vec<u8> = text.drain(..end).collect();
                    let statement = String::from_utf8(statement).map_err(|_| {
                        Fault::new(Category::Archive, "an archived statement is not valid text")
                    })?;
                    db.execute_batch(&statement).map_err(|error| failed(&error))?;
                }
                Ok(())
            })
        })?;
        if text.iter().any(|byte| !byte.is_ascii_whitespace()) {
            return Err(Fault::new(Category::Archive, "the archive ends in the middle of a statement")
                .hint("the archive is damaged; look for a copy of it"));
        }
        Ok(())
    }

    /// Copies of the triggers that enter restored rows into virtual tables, and what drops them again.
    pub(super) fn entering(&self, work: &Work, staged: &[Staged]) -> Result<Vec<(String, String)>, SqlError> {
        let rows = staged.iter().filter(|s| s.kind == SectionKind::Rows).map(|s| work.schema.table(s.table));
        let tables: Vec<&Table> = rows.filter(|t| t.effects.iter().any(|e| e.on_insert)).collect();
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let virtuals = VirtualTables::read(&self.session.db).map_err(|error| sql_error(&error))?;
        Ok(virtuals.copies(tables.into_iter()))
    }

    async fn put_back(&mut self, work: &Work, staged: &[Staged]) -> Result<Restored, Fault> {
        let failed = |e: SqlError| match e.code.as_deref() {
            Some("23000") => Fault::new(Category::Findings, format!("a row is in the way: {}", e.message))
                .hint("remove or rename the row that took its place, then restore again"),
            Some(_) | None => e.fault("restoring"),
        };
        let d = SqliteDialect;
        let mut inserted: BTreeMap<TableId, u64> = BTreeMap::new();
        let copies = self.entering(work, staged).map_err(failed)?;
        for (create, _) in &copies {
            self.session.run(create).await.map_err(failed)?;
        }
        for (table, statement) in restore::inserts(&d, work, staged) {
            *inserted.entry(table).or_default() += self.session.run(&statement).await.map_err(failed)?;
        }
        for (_, drop) in &copies {
            self.session.run(drop).await.map_err(failed)?;
        }
        // First, while these rows are as the purge left them.
        for statement in effects::undo(&d, work, staged) {
            self.session.run(&statement).await.map_err(failed)?;
        }
        let mut reattached: BTreeMap<TableId, u64> = BTreeMap::new();
        for (table, statement) in reattach::reattaches(&d, work, staged) {
            *reattached.entry(table).or_default() += self.session.run(&statement).await.map_err(failed)?;
        }
        for s in staged.iter().filter(|s| s.kind == SectionKind::Rows) {
            let rows =
                self.session.rows(&format!("SELECT count(*) FROM {}", s.name)).await.map_err(failed)?;
            let expected = rows.first().map_or(0, |row| number(row, 0));
            if expected != inserted.get(&s.table).copied().unwrap_or(0) {
                let name = &work.schema.table(s.table).name;
                return Err(Fault::refused(format!("not all rows of `{name}` could be put back"))
                    .state("nothing was restored"));
            }
        }
        Ok(Restored {
            inserted: restore::by_name(work, &inserted),
            reattached: restore::by_name(work, &reattached),
            token: Some("restore".to_owned()),
            ..Restored::default()
        })
    }
}

/// End of the first whole statement: a `;` outside quotes.
fn statement_end(text: &[u8]) -> Option<usize> {
    let mut quoted: Option<u8> = None;
    for (at, byte) in text.iter().enumerate() {
        match (quoted, byte) {
            (None, b'\'' | b'"') => quoted = Some(*byte),
            (Some(quote), byte) if quote == *byte => quoted = None,
            (None, b';') => return Some(at + 1),
            (Some(_) | None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_outside_quotes() {
        let text = b"INSERT INTO \"a;b\" VALUES ('x;''y');\nINSERT";
        assert_eq!(statement_end(text), Some(35));
        assert_eq!(statement_end(b"INSERT INTO a VALUES ('x;"), None);
    }
}
