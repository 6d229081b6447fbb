//! Restoring into MariaDB: the archive's own INSERT statements fill temporary tables, queries look for what stands in
//! the way, then rows are inserted, children first.
//!
//! The server's checks are off for the time of the transaction, since they are per row and no order suits a cycle;
//! the same is established by queries, with the parents locked. Triggers cannot be switched off: with children in
//! front, those that write to parents find nothing, and what they did to restored rows is compared and refused.
//!
//! Invariants
//! - staging is over before the transaction begins, so that no DDL can commit it;
//! - nothing is overwritten.

use super::dialect::MysqlDialect;
use super::remove::{Touched, operations_of};
use super::{Mysql, Stop};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::effects as sql_effects;
use crate::store::sql::reattach;
use crate::store::sql::restore::{self, Staged};
use crate::store::sql::{Session, SqlError, number};
use std::collections::BTreeMap;
use unseed_core::fault::{Category, Fault, counted};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{ArchiveSource, RestoreScope, Restored, SectionKind, Work};
use unseed_core::schema::TableId;

/// What ends a statement of an archive; values are on one line, so that it stands nowhere else.
const STATEMENT_END: &[u8] = b";\n";

impl Mysql {
    pub(super) async fn restore_archive(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        let failed = |stop: Stop| stop.fault("restoring");
        self.forget().await.map_err(|e| e.fault("restoring"))?;
        self.join_for(&work.schema).await.map_err(|e| e.fault("restoring"))?;
        let staged = self.stage(work, source, scope, progress).await.map_err(failed)?;
        self.begin().await.map_err(|e| e.fault("restoring"))?;
        let result = self.restore_staged(work, &staged).await;
        let keep = matches!(&result, Ok(restored) if restored.token.is_some());
        if !keep {
            drop(self.end("ROLLBACK").await);
        }
        result.map_err(failed)
    }

    async fn stage(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Vec<Staged>, Stop> {
        let sections = source.sections();
        let mut staged = restore::staged(&MysqlDialect, work, &sections).map_err(|missing| {
            Fault::refused(format!("`{missing}` is in the archive but no longer in the database"))
                .hint("bring the schema back to what it was, or restore by hand from the archive's files")
        })?;
        for statement in restore::create(&MysqlDialect, work, &staged) {
            self.session.run(&statement).await?;
        }
        let total = u64::try_from(sections.len()).ok();
        let mut done = 0;
        for s in &staged {
            for index in &s.sections {
                let rows = self.load_section(source, *index).await?;
                if rows != sections[*index].rows {
                    let message = format!("{rows} of {} archived rows could be read", sections[*index].rows);
                    return Err(Stop::Fault(
                        Fault::new(Category::Archive, message)
                            .hint("the archive is damaged; look for a copy of it"),
                    ));
                }
                if let Some(statement) = sql_effects::loaded(s, sections[*index].batch) {
                    self.session.run(&statement).await?;
                }
                done += 1;
                progress.update("reading the archive", done, total);
            }
        }
        for statement in sql_effects::merge(&MysqlDialect, work, &mut staged) {
            self.session.run(&statement).await?;
        }
        if let RestoreScope::Root { table, key } = scope {
            let found = restore::narrow(&mut self.session, work, &staged, (*table, key)).await?;
            if !found {
                let name = &work.schema.table(*table).name;
                let message = format!("the archive holds no row of `{name}` with key {}", key.join(", "));
                return Err(Stop::Fault(Fault::usage(message).hint("name a root of the run by its key")));
            }
        }
        Ok(staged)
    }

    /// Runs the statements of a section; returns the rows that they inserted.
    pub(super) async fn load_section(
        &mut self,
        source: &mut dyn ArchiveSource,
        index: usize,
    ) -> Result<u64, Stop> {
        let handle = tokio::runtime::Handle::current();
        let session = &mut self.session;
        let mut text: Vec<u8> = Vec::new();
        let mut rows = 0;
        tokio::task::block_in_place(|| {
            source.read(index, &mut |chunk| {
                let mut from = text.len().saturating_sub(STATEMENT_END.len());
                text.extend_from_slice(chunk);
                let mut begin = 0;
                while let Some(at) = memchr::memmem::find(&text[from..], STATEMENT_END) {
                    let end = from + at + STATEMENT_END.len();
                    let statement = std::str::from_utf8(&text[begin..end]).map_err(|_| {
                        Fault::new(Category::Archive, "an archived statement is not valid text")
                    })?;
                    let statement = statement.trim_end().trim_end_matches(';');
                    rows += handle.block_on(session.run(statement)).map_err(|e| e.fault("restoring"))?;
                    (begin, from) = (end, end);
                }
                text.drain(..begin);
                Ok(())
            })
        })?;
        if text.iter().any(|byte| !byte.is_ascii_whitespace()) {
            return Err(Stop::Fault(
                Fault::new(Category::Archive, "the archive ends in the middle of a statement")
                    .hint("the archive is damaged; look for a copy of it"),
            ));
        }
        Ok(rows)
    }

    async fn restore_staged(&mut self, work: &Work, staged: &[Staged]) -> Result<Restored, Stop> {
        for statement in restore::parent_locks(&MysqlDialect, work, staged, "LOCK IN SHARE MODE") {
            self.session.rows(&statement).await?;
        }
        // Nothing checks keys here, so that rows which referred to nothing before can do so again.
        let found = restore::obstacles(&mut self.session, work, staged, true).await?;
        if !found.conflicts.is_empty() {
            return Ok(Restored { conflicts: found.conflicts, ..Restored::default() });
        }
        let restored = self.put_back(work, staged).await?;
        Ok(Restored { orphans: found.orphans, ..restored })
    }

    async fn put_back(&mut self, work: &Work, staged: &[Staged]) -> Result<Restored, Stop> {
        let in_the_way = |e: SqlError| match e.code.as_deref() {
            Some("23505") => Stop::Fault(
                Fault::new(Category::Findings, format!("a row is in the way: {}", e.message))
                    .hint("remove or rename the row that took its place, then restore again"),
            ),
            Some("P0001") => Stop::Fault(
                Fault::store(format!("restoring failed: a trigger objects: {}", e.message))
                    .hint("drop the trigger for the restore, then restore again"),
            ),
            Some(_) | None => Stop::Sql(e),
        };
        let d = MysqlDialect;
        let before = self.touched().await?;
        let mut own = Touched::default();
        let mut inserted: BTreeMap<TableId, u64> = BTreeMap::new();
        for (table, statement) in restore::inserts(&d, work, staged).into_iter().rev() {
            let rows = self.session.run(&statement).await.map_err(in_the_way)?;
            *inserted.entry(table).or_default() += rows;
            own.inserted += operations_of(work, table, rows);
        }
        for statement in sql_effects::undo(&d, work, staged) {
            self.session.run(&statement).await.map_err(in_the_way)?;
        }
        let mut reattached: BTreeMap<TableId, u64> = BTreeMap::new();
        for (table, statement) in reattach::reattaches(&d, work, staged) {
            let rows = self.session.run(&statement).await.map_err(in_the_way)?;
            *reattached.entry(table).or_default() += rows;
            own.updated += operations_of(work, table, rows);
        }
        let extra = self.touched().await?.since(before).since(own);
        self.compare_restored(work, staged, &inserted).await?;
        let undone = staged.iter().any(|s| matches!(s.kind, SectionKind::Effect | SectionKind::Born));
        // What triggers only insert elsewhere, such as a log, overwrites nothing.
        if !undone && (extra.updated > 0 || extra.deleted > 0) {
            let message = "triggers of the restored rows would also change or delete other rows";
            return Err(Stop::Fault(Fault::refused(message).state("nothing was restored").hint(
                "drop the insert triggers of the restored tables, restore again, and create them anew",
            )));
        }
        Ok(Restored {
            inserted: restore::by_name(work, &inserted),
            reattached: restore::by_name(work, &reattached),
            token: Some(self.token().await?),
            ..Restored::default()
        })
    }

    /// Every staged row must be there now, as it was archived.
    async fn compare_restored(
        &mut self,
        work: &Work,
        staged: &[Staged],
        inserted: &BTreeMap<TableId, u64>,
    ) -> Result<(), Stop> {
        let d = MysqlDialect;
        for s in staged.iter().filter(|s| s.kind == SectionKind::Rows) {
            let shape = work.schema.table(s.table);
            let rows = self.session.rows(&format!("SELECT count(*) FROM {}", s.name)).await?;
            let expected = rows.first().map_or(0, |row| number(row, 0));
            let mut altered = expected.abs_diff(inserted.get(&s.table).copied().unwrap_or(0));
            let fires =
                work.schema.tables.iter().flat_map(|t| &t.effects).any(|e| e.on_insert || e.on_update);
            if altered == 0 && fires && shape.key().is_some() {
                let names = s.columns.iter().map(|name| d.quote(name));
                let same: Vec<String> =
                    names.map(|name| d.same(&format!("x.{name}"), &format!("s.{name}"))).collect();
                let key = shape.key().unwrap_or_default().iter().map(|c| shape.columns[*c].name.clone());
                let sql = format!(
                    "SELECT count(*) FROM {} s WHERE NOT EXISTS (SELECT 1 FROM {} x WHERE {} AND {})",
                    s.name,
                    d.relation(shape),
                    restore::equal(&d, &key.collect::<Vec<_>>(), "x", "s"),
                    same.join(" AND "),
                );
                altered = self.session.rows(&sql).await?.first().map_or(0, |row| number(row, 0));
            }
            if altered > 0 {
                let message = format!(
                    "{} of `{}` would not come back as archived",
                    counted(altered, "row"),
                    shape.name
                );
                return Err(Stop::Fault(
                    Fault::refused(message)
                        .state("nothing was restored")
                        .hint("drop its insert triggers for the restore, then restore again"),
                ));
            }
        }
        Ok(())
    }
}
