//! [`MemStore`]: one connection to a [`MemDb`].

use super::closing::{self, Sets};
use super::conflicts::Owners;
use super::database::{Database, MemDb, Row};
use super::recorded::Recorded;
use super::removal::{self, Attempt, Versions};
use super::rows::{self, counts, names, parents, pick, version};
use super::{expression, length, restoring};
use async_trait::async_trait;
use std::collections::BTreeMap;
use unseed_core::fault::Fault;
use unseed_core::plan::{RootRow, RootSet};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{
    ArchiveSink, ArchiveSource, Archived, Catalog, ChosenRows, CloseRequest, Closure, Conflict, Fingerprint,
    Orphans, Outcome, Reader, Removal, RestoreScope, Restored, RootChoice, SectionEntry, Statements, Store,
    TagRange, Tags, VisitValues, Wanted, Work,
};
use unseed_core::schema::{ReferenceId, Schema, TableId};

/// What a transaction has done and not committed.
#[derive(Debug)]
struct Open {
    token: String,
    tables: Vec<Vec<Row>>,
}

type Hook = Box<dyn FnMut(&mut Database) + Send>;

/// A connection; dropping it rolls back what it did not commit.
pub struct MemStore {
    db: MemDb,
    sets: Sets,
    /// What was archived, by the first tag of its batch.
    versions: BTreeMap<u64, Versions>,
    open: Option<Open>,
    statements: Statements,
    before_remove: Option<Hook>,
}

impl MemStore {
    /// Connects.
    pub fn connect(db: &MemDb) -> Self {
        Self {
            db: db.clone(),
            sets: Sets::default(),
            versions: BTreeMap::new(),
            open: None,
            statements: Statements::default(),
            before_remove: None,
        }
    }

    /// Somebody else's change, made between the archive and the removal of every batch.
    #[must_use]
    pub fn disturbed_before_remove(mut self, change: impl FnMut(&mut Database) + Send + 'static) -> Self {
        self.before_remove = Some(Box::new(change));
        self
    }

    fn begin(&mut self, tables: Vec<Vec<Row>>) -> Result<String, Fault> {
        if self.open.is_some() {
            return Err(Fault::store("a transaction is open already"));
        }
        let mut database = self.db.lock();
        let token = format!("tx-{}", database.next_token);
        database.next_token += 1;
        drop(database);
        self.open = Some(Open { token: token.clone(), tables });
        Ok(token)
    }
}

#[async_trait]
impl Store for MemStore {
    async fn inspect(&mut self) -> Result<Catalog, Fault> {
        self.statements.total += 1;
        let database = self.db.lock();
        let mut schema = database.schema.clone();
        for (table, rows) in schema.tables.iter_mut().zip(&database.tables) {
            table.rows_estimate = length(rows);
        }
        Ok(Catalog { schema, server: database.server.clone() })
    }

    async fn count(&mut self, _: &Schema, tables: &[TableId]) -> Result<BTreeMap<TableId, u64>, Fault> {
        self.statements.total += 1;
        let database = self.db.lock();
        Ok(tables.iter().map(|table| (*table, length(&database.tables[table.0]))).collect())
    }

    async fn choose(&mut self, schema: &Schema, choices: &[RootChoice]) -> Result<Vec<RootSet>, Fault> {
        self.statements.total += 1;
        let database = self.db.lock();
        choices.iter().map(|choice| choose(schema, &database.tables, choice)).collect()
    }

    async fn close(
        &mut self,
        work: &Work,
        request: &CloseRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Closure, Fault> {
        self.statements.total += 1;
        self.sets = closing::close(work, &self.db.lock().tables, request)?;
        self.versions.clear();
        let closure = self.sets.closure();
        progress.update("close", closure.rows(), Some(closure.rows()));
        Ok(closure)
    }

    async fn conflicts(&mut self, work: &Work, limit: usize) -> Result<Vec<Conflict>, Fault> {
        self.statements.total += 1;
        let database = self.db.lock();
        Ok(Owners::new(work, &database.tables)?.conflicts(&self.sets, limit))
    }

    async fn tags(&mut self, work: &Work) -> Result<Tags, Fault> {
        self.statements.total += 1;
        Ok(self.sets.tags(work, &self.db.lock().tables))
    }

    async fn archive(
        &mut self,
        work: &Work,
        batch: TagRange,
        sink: &mut dyn ArchiveSink,
    ) -> Result<Archived, Fault> {
        self.statements.total += 1;
        self.statements.archive += 1;
        let database = self.db.lock();
        let (archived, versions) = removal::archive(work, &self.sets, &database.tables, batch, sink)?;
        self.versions.insert(batch.first, versions);
        Ok(archived)
    }

    async fn archive_ahead(
        &mut self,
        work: &Work,
        batch: TagRange,
        _: &mut dyn ArchiveSink,
    ) -> Result<Option<Box<dyn Reader>>, Fault> {
        let mut reader = Recorded::default();
        reader.archived = self.archive(work, batch, &mut reader.sections).await?;
        Ok(Some(Box::new(reader)))
    }

    async fn remove(
        &mut self,
        work: &Work,
        batch: TagRange,
        _: &Archived,
        _: &mut dyn ArchiveSink,
    ) -> Result<Removal, Fault> {
        self.statements.total += 1;
        if let Some(change) = &mut self.before_remove {
            change(&mut self.db.lock());
        }
        let tables = self.db.lock().tables.clone();
        let versions = self.versions.remove(&batch.first).unwrap_or_default();
        match removal::remove(work, &self.sets, &tables, batch, &versions)? {
            Attempt::Changed(reason) => Ok(Removal::Changed(reason)),
            Attempt::Proven(after, mut removed) => {
                removed.token = self.begin(after)?;
                Ok(Removal::Proven(removed))
            }
        }
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        self.statements.total += 1;
        let open = self.open.take().ok_or_else(|| Fault::store("no transaction is open"))?;
        let mut database = self.db.lock();
        database.tables = open.tables;
        database.outcomes.insert(open.token, Outcome::Committed);
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), Fault> {
        self.statements.total += 1;
        self.open = None;
        Ok(())
    }

    async fn settle(&mut self, _: &Work, token: &str, _: &[RootSet]) -> Result<Outcome, Fault> {
        self.statements.total += 1;
        if self.open.as_ref().is_some_and(|open| open.token == token) {
            return Ok(Outcome::Pending);
        }
        Ok(self.db.lock().outcomes.get(token).copied().unwrap_or(Outcome::RolledBack))
    }

    async fn fingerprint(&mut self, work: &Work) -> Result<Vec<Fingerprint>, Fault> {
        self.statements.total += 1;
        let database = self.db.lock();
        Ok(Owners::new(work, &database.tables)?.fingerprint())
    }

    async fn orphans(&mut self, schema: &Schema, references: &[ReferenceId]) -> Result<Vec<Orphans>, Fault> {
        self.statements.total += 1;
        let database = self.db.lock();
        let mut found = Vec::new();
        for id in references {
            let reference = schema.reference(*id);
            let lost = |row: &&Row| {
                counts(reference, row) && parents(reference, row, &database.tables).next().is_none()
            };
            let orphans: Vec<&Row> = database.tables[reference.child.0].iter().filter(lost).collect();
            if !orphans.is_empty() {
                found.push(Orphans { reference: *id, rows: length(&orphans) });
            }
        }
        Ok(found)
    }

    async fn values(
        &mut self,
        work: &Work,
        roots: &[RootSet],
        wanted: &[Wanted],
        visit: &mut VisitValues<'_>,
    ) -> Result<(), Fault> {
        self.statements.total += 1;
        let database = self.db.lock();
        let request = CloseRequest { roots, roots_per_tag: 1, check_versions: false, count_only: true };
        let sets = closing::close(work, &database.tables, &request)?;
        self.sets = Sets::default();
        for (position, one) in wanted.iter().enumerate() {
            let leaving = sets.leaving.get(&one.table);
            for row in &database.tables[one.table.0] {
                let values: Vec<Option<String>> =
                    one.columns.iter().map(|column| row.values[*column].clone()).collect();
                visit(position, leaving.is_some_and(|leaving| leaving.contains_key(&row.id)), &values);
            }
        }
        Ok(())
    }

    async fn present(&mut self, _: &Schema, roots: &[RootSet]) -> Result<u64, Fault> {
        self.statements.total += 1;
        let database = self.db.lock();
        let there = |set: &RootSet, root: &RootRow| {
            database.tables[set.table.0].iter().any(|row| pick(&row.values, &set.columns) == root.key)
        };
        let found = roots.iter().flat_map(|set| set.rows.iter().filter(|root| there(set, root)));
        Ok(u64::try_from(found.count()).expect("a count fits 64 bits"))
    }

    async fn restore(
        &mut self,
        work: &Work,
        source: &mut dyn ArchiveSource,
        scope: &RestoreScope,
        _: &dyn Progress,
    ) -> Result<Restored, Fault> {
        self.statements.total += 1;
        let (tables, mut restored) = restoring::restore(work, &mut self.db.lock(), source, scope)?;
        if restored.conflicts.is_empty() {
            restored.token = Some(self.begin(tables)?);
        }
        Ok(restored)
    }

    fn explain(&self, work: &Work) -> Vec<String> {
        let name = |table: &TableId| work.schema.table(*table).name.to_string();
        work.program.removal.iter().flatten().map(|table| format!("remove from {}", name(table))).collect()
    }

    fn restore_script(&self, _: &Work, sections: &[SectionEntry], files: &[String]) -> Vec<(String, String)> {
        let lines = sections.iter().zip(files).map(|(s, file)| format!("{} <- {file}\n", s.head.table));
        vec![("restore.txt".to_owned(), lines.collect())]
    }

    fn statements(&self) -> Statements {
        self.statements
    }
}

fn choose(schema: &Schema, tables: &[Vec<Row>], choice: &RootChoice) -> Result<RootSet, Fault> {
    let table = schema.table(choice.table);
    let columns = table.key().expect("roots are only chosen from tables with a key").to_vec();
    let mut chosen = Vec::new();
    match &choice.rows {
        ChosenRows::Where(predicate) => {
            for row in &tables[choice.table.0] {
                if expression::evaluate(predicate, &names(table), &row.values)? == Some(true) {
                    chosen.push(row);
                }
            }
        }
        ChosenRows::Keys { columns, keys } => {
            for key in keys {
                let found = tables[choice.table.0].iter().find(|row| pick(&row.values, columns) == key);
                chosen.push(found.ok_or_else(|| {
                    let message = format!("`{}` has no row {}", table.name, key.join(","));
                    Fault::usage(message).hint("check the keys")
                })?);
            }
        }
    }
    let root = |row: &Row| RootRow { key: pick(&row.values, &columns), version: version(&row.values) };
    let rows = chosen.into_iter().map(root).collect();
    Ok(RootSet { table: choice.table, columns, rows })
}

impl std::fmt::Debug for MemStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemStore").field("open", &self.open.is_some()).finish_non_exhaustive()
    }
}

/// Whether a database would accept all of its own rows; for tests of generators.
pub(crate) fn first_violation(database: &Database) -> Option<String> {
    for (id, all) in database.schema.table_ids().zip(&database.tables) {
        let table = database.schema.table(id);
        for row in all {
            if let Some(reason) = rows::rejected(table, &row.values).expect("generated checks are understood")
            {
                return Some(reason);
            }
        }
        for key in &table.keys {
            let mut seen = std::collections::BTreeSet::new();
            if all.iter().any(|row| !seen.insert(pick(&row.values, key))) {
                return Some(format!("a key of `{}` is not unique", table.name));
            }
        }
    }
    for reference in database.schema.references.iter().filter(|r| r.validated) {
        let lost =
            |row: &&Row| counts(reference, row) && parents(reference, row, &database.tables).next().is_none();
        if database.tables[reference.child.0].iter().any(|row| lost(&row)) {
            return Some(format!("`{}` leads nowhere", rows::describe(&database.schema, reference)));
        }
        let partial = |row: &&Row| {
            let set = reference.child_columns.iter().filter(|c| row.values[**c].is_some()).count();
            reference.match_full && set != 0 && set != reference.child_columns.len()
        };
        if database.tables[reference.child.0].iter().any(|row| partial(&row)) {
            return Some(format!("`{}` is partly null", rows::describe(&database.schema, reference)));
        }
    }
    None
}
