//! Restoring into PostgreSQL: stage with COPY, check, insert all tables with one statement.
//!
//! Where the role may, checks and triggers are skipped, after the same facts were established by queries. Elsewhere
//! checks run, and triggers of tables that the role owns are set aside (`aside`); rows that another's trigger
//! altered on their way back stop the restore.

use super::Postgres;
use super::aside::open_keys_of_parts;
use super::dialect::PostgresDialect;
use super::protected::Beside;
use crate::store::sql::condition::{Conditions, Side};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::effects as sql_effects;
use crate::store::sql::reattach;
use crate::store::sql::restore::{self, Obstacles, Staged};
use crate::store::sql::{Session, SqlError, number, numbered, script, text};
use bytes::Bytes;
use futures_util::SinkExt;
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::fault::{Category, Fault, counted};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{ArchiveSource, RestoreConflict, RestoreScope, Restored, SectionKind, Work};
use unseed_core::schema::{ColumnIndex, Table, TableId};

fn key_text(table: &Table, column: ColumnIndex) -> String {
    PostgresDialect.text(&format!("x.{}", PostgresDialect.quote(&table.columns[column].name)))
}

/// How many small queries go into one statement.
const SELECTS_PER_STATEMENT: usize = 50;

impl Postgres {
    pub(super) async fn restore_archive(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        let failed = |e: SqlError| e.fault("restoring");
        self.session.run("DISCARD TEMP").await.map_err(failed)?;
        self.protected = None;
        self.beside = Beside::default();
        self.session.run("BEGIN").await.map_err(failed)?;
        self.session.begin_holding();
        let result = self.restore_in_transaction(work, source, scope, progress).await;
        let keep = matches!(&result, Ok(restored) if restored.token.is_some());
        if !keep {
            drop(self.session.run("ROLLBACK").await);
            self.session.end_transaction();
        }
        result
    }

    async fn restore_in_transaction(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        progress: &dyn Progress,
    ) -> Result<Restored, Fault> {
        let failed = |e: SqlError| e.fault("restoring");
        let sections = source.sections();
        let mut staged = restore::staged(&PostgresDialect, work, &sections).map_err(|missing| {
            Fault::refused(format!("`{missing}` is in the archive but no longer in the database"))
                .hint("bring the schema back to what it was, or restore by hand from the archive's files")
        })?;
        for statement in restore::create(&PostgresDialect, work, &staged) {
            self.session.run(&statement).await.map_err(failed)?;
        }
        self.load_sections(source, &staged, progress).await?;
        for statement in sql_effects::merge(&PostgresDialect, work, &mut staged) {
            self.session.run(&statement).await.map_err(failed)?;
        }
        if !staged.is_empty() {
            let names: Vec<&str> = staged.iter().map(|s| s.name.as_str()).collect();
            self.session.run(&format!("ANALYZE {}", names.join(", "))).await.map_err(failed)?;
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
        let skip = self.server().await?.may_skip_checks;
        self.wait_briefly(true).await.map_err(failed)?;
        if skip {
            for statements in restore::parent_locks(&PostgresDialect, work, &staged, "FOR KEY SHARE OF y")
                .chunks(SELECTS_PER_STATEMENT)
            {
                self.session.rows(&statements.join(" UNION ALL ")).await.map_err(failed)?;
            }
        }
        let bearable = skip || self.may_set_keys_aside(work, &staged).await.map_err(failed)?;
        let found = restore::obstacles(&mut self.session, work, &staged, bearable).await.map_err(failed)?;
        if !found.conflicts.is_empty() {
            return Ok(Restored { conflicts: found.conflicts, ..Restored::default() });
        }
        let mut orphaned = if bearable { open_keys_of_parts(work, &staged) } else { BTreeSet::new() };
        orphaned.extend(found.orphans.iter().map(|(id, _)| *id));
        let aside = self.set_aside(work, &staged, &orphaned, skip).await.map_err(failed)?;
        let restored = self.put_back(work, &staged, skip).await?;
        self.bring_back(aside).await.map_err(failed)?;
        let placed =
            if bearable { self.missing_partners(work, &staged).await? } else { Obstacles::default() };
        if !placed.conflicts.is_empty() {
            return Ok(Restored { conflicts: placed.conflicts, ..Restored::default() });
        }
        let orphans = found.orphans.into_iter().chain(placed.orphans).collect();
        Ok(Restored { orphans, ..restored })
    }

    /// Restored rows without a parent, by references of or to single partitions: such a reference only counts
    /// for rows that are in the right one, which is known once they are there.
    async fn missing_partners(&mut self, work: &Work, staged: &[Staged]) -> Result<Obstacles, Fault> {
        let d = PostgresDialect;
        let conditions = Conditions { schema: &work.schema, dialect: &d };
        let mut found = Obstacles::default();
        for id in work.schema.reference_ids() {
            let r = work.schema.reference(id);
            let is_back = staged.iter().any(|s| s.table == r.child && s.kind == SectionKind::Rows);
            if !is_back || r.child_parts.is_none() && r.parent_parts.is_none() {
                continue;
            }
            let (child, parent) = (work.schema.table(r.child), work.schema.table(r.parent));
            let key: Vec<String> =
                child.key().unwrap_or_default().iter().map(|c| key_text(child, *c)).collect();
            let sql = format!(
                "SELECT count(*), min({}) FROM {} x WHERE x.xmin = pg_current_xact_id()::xid AND {} \
                 AND NOT EXISTS (SELECT 1 FROM {} y WHERE {})",
                if key.is_empty() { "'a row without a key'".to_owned() } else { key.join(" || ', ' || ") },
                d.relation(child),
                conditions.is_set(r, "x"),
                d.relation(parent),
                conditions.refers(r, ("x", Side::Table), ("y", Side::Table)),
            );
            let rows = self.session.rows(&sql).await.map_err(|e| e.fault("looking for parents"))?;
            let Some(row) = rows.first().filter(|row| number(row, 0) > 0) else { continue };
            let conflict = RestoreConflict {
                table: child.name.to_string(),
                key: text(row, 1),
                reason: format!("its parent in `{}` is missing ({})", parent.name, work.schema.describe(id)),
                rows: number(row, 0),
            };
            if r.validated {
                found.conflicts.push(conflict);
            } else {
                found.orphans.push((id, conflict));
            }
        }
        Ok(found)
    }

    async fn load_sections(
        &mut self,
        source: &mut dyn ArchiveSource,
        staged: &[Staged],
        progress: &dyn Progress,
    ) -> Result<(), Fault> {
        let sections = source.sections();
        let total = u64::try_from(sections.len()).ok();
        let mut done = 0;
        for s in staged {
            let columns: Vec<String> = s.columns.iter().map(|c| PostgresDialect.quote(c)).collect();
            let sql = format!("COPY {} ({}) FROM STDIN", s.name, columns.join(", "));
            for index in &s.sections {
                let rows = self.load_section(source, *index, &sql).await?;
                if rows != sections[*index].rows {
                    let message = format!("{rows} of {} archived rows could be read", sections[*index].rows);
                    return Err(Fault::new(Category::Archive, message)
                        .hint("the archive is damaged; look for a copy of it"));
                }
                if let Some(statement) = sql_effects::loaded(s, sections[*index].batch) {
                    self.session.run(&statement).await.map_err(|e| e.fault("restoring"))?;
                }
                done += 1;
                progress.update("reading the archive", done, total);
            }
        }
        Ok(())
    }

    pub(super) async fn load_section(
        &mut self,
        source: &mut dyn ArchiveSource,
        index: usize,
        sql: &str,
    ) -> Result<u64, Fault> {
        let failed = |error: &tokio_postgres::Error| super::session::sql_error(error).fault("restoring");
        self.session.count_statements(1);
        let sink = self.session.client().copy_in(sql).await.map_err(|e| failed(&e))?;
        let mut sink = Box::pin(sink);
        let handle = tokio::runtime::Handle::current();
        let read = tokio::task::block_in_place(|| {
            source.read(index, &mut |chunk| {
                let sent = handle.block_on(sink.send(Bytes::copy_from_slice(chunk)));
                sent.map_err(|error| failed(&error))
            })
        });
        read?;
        sink.as_mut().finish().await.map_err(|e| failed(&e))
    }

    async fn put_back(&mut self, work: &Work, staged: &[Staged], skip: bool) -> Result<Restored, Fault> {
        let failed = |e: SqlError| match e.code.as_deref() {
            Some("23505") => Fault::new(Category::Findings, format!("a row is in the way: {}", e.message))
                .hint("remove or rename the row that took its place, then restore again"),
            // Keys of single partitions are only checked by the server, where it checks keys.
            Some("23503") => Fault::new(Category::Findings, format!("a parent is missing: {}", e.message))
                .hint("bring the parent back first, then restore again"),
            Some("P0001") => Fault::store(format!("restoring failed: a trigger objects: {}", e.message))
                .hint("restore as the owner of its table, or disable the trigger, then restore again"),
            Some(_) | None => e.fault("restoring"),
        };
        let d = PostgresDialect;
        if skip {
            self.session.run("SET LOCAL session_replication_role = replica").await.map_err(failed)?;
        }
        let inserts = restore::inserts(&d, work, staged);
        let mut inserted: BTreeMap<TableId, u64> = BTreeMap::new();
        for run in restore::runs(work, &inserts, !skip) {
            for row in self.session.rows(&script::combined(&inserts[run])).await.map_err(failed)? {
                inserted.insert(numbered(&row, 0), number(&row, 1));
            }
        }
        // First, while these rows are as the purge left them.
        for statement in sql_effects::undo(&d, work, staged) {
            self.session.run(&statement).await.map_err(failed)?;
        }
        let mut reattached: BTreeMap<TableId, u64> = BTreeMap::new();
        for (table, statement) in reattach::reattaches(&d, work, staged) {
            *reattached.entry(table).or_default() += self.session.run(&statement).await.map_err(failed)?;
        }
        self.compare_restored(work, staged, &inserted).await?;
        for statement in script::sequences(&d, work, staged) {
            self.session.rows(&statement).await.map_err(failed)?;
        }
        let token = self.session.rows("SELECT pg_current_xact_id()::text").await.map_err(failed)?;
        Ok(Restored {
            inserted: restore::by_name(work, &inserted),
            reattached: restore::by_name(work, &reattached),
            token: token.first().map(|row| text(row, 0)),
            ..Restored::default()
        })
    }

    /// Every staged row must be there now, as it was archived.
    async fn compare_restored(
        &mut self,
        work: &Work,
        staged: &[Staged],
        inserted: &BTreeMap<TableId, u64>,
    ) -> Result<(), Fault> {
        let d = PostgresDialect;
        let mut archived: BTreeMap<u64, u64> = BTreeMap::new();
        let counts = staged.iter().enumerate().map(|(n, s)| format!("SELECT {n}, count(*) FROM {}", s.name));
        for selects in counts.collect::<Vec<_>>().chunks(SELECTS_PER_STATEMENT) {
            let rows = self.session.rows(&selects.join(" UNION ALL ")).await;
            let rows = rows.map_err(|e| e.fault("comparing restored rows"))?;
            archived.extend(rows.iter().map(|row| (number(row, 0), number(row, 1))));
        }
        for (n, s) in (0..).zip(staged).filter(|(_, s)| s.kind == SectionKind::Rows) {
            let shape = work.schema.table(s.table);
            let expected = archived.get(&n).copied().unwrap_or(0);
            let mut altered = expected.abs_diff(inserted.get(&s.table).copied().unwrap_or(0));
            if altered == 0 && shape.effects.iter().any(|e| e.on_insert) && !shape.keys.is_empty() {
                let list = |alias: &str| {
                    let quoted: Vec<String> =
                        s.columns.iter().map(|c| format!("{alias}.{}", d.quote(c))).collect();
                    format!("ROW({})::text", quoted.join(", "))
                };
                let key: Vec<String> = shape.keys[0]
                    .iter()
                    .map(|c| d.quote(&shape.columns[*c].name))
                    .map(|name| format!("x.{name} = s.{name}"))
                    .collect();
                let sql = format!(
                    "SELECT count(*) FROM {} s WHERE NOT EXISTS (SELECT 1 FROM {} x WHERE {} AND {} = {})",
                    s.name,
                    d.relation(shape),
                    key.join(" AND "),
                    list("x"),
                    list("s"),
                );
                let rows = self.session.rows(&sql).await.map_err(|e| e.fault("comparing restored rows"))?;
                altered = rows.first().map_or(0, |row| number(row, 0));
            }
            if altered > 0 {
                return Err(Fault::refused(format!(
                    "{} of `{}` would not come back as archived",
                    counted(altered, "row"),
                    shape.name
                ))
                .state("nothing was restored")
                .hint("disable its insert triggers or rules, or restore as the owner of the table"));
            }
        }
        Ok(())
    }
}
