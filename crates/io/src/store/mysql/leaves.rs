//! Tables whose rows leave by one reference alone, and from which nothing follows: often the largest of all.
//!
//! Their rows need no key set: they are found again by the values that they refer to. So they are only counted when
//! the closure is computed. When a batch is archived, the rows they refer to are locked first, then they are read and
//! locked; both locks last until the commit. Nobody can add, change or take away a row in between, so that whatever
//! still refers to those values when the batch is removed is what was archived, if it is as many.
//!
//! Invariants
//! - rows are read and locked by the index of their reference: a row that refers elsewhere is never waited for;
//! - where triggers, other references, protections or very long rows have a say, there is a key set instead.
//!
//! Not here: what a leaf is (`store::sql::closure`), removing (`remove`).

use super::dialect::MysqlDialect;
use super::runs::{self, Keys, Run};
use super::types;
use super::{Mysql, Stop};
use crate::store::sql::closure::{self, key_set};
use crate::store::sql::counts::{self, Tally};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, TextRow, number, numbered, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::closure::Stage;
use unseed_core::plan::Path;
use unseed_core::port::store::{Closure, TagRange, Work};
use unseed_core::schema::{ColumnIndex, Origin, ReferenceId, TableId};

/// Rows per tag, as the closure counted them.
const COUNTED: &str = "unseed_leaves";
/// So many values stand in one statement. The server stops planning by ranges at some ten thousand.
const VALUES_MAX: usize = 2_000;
/// Tables of longer rows, in bytes, are archived without a lock, unless they are small.
const ROW_BYTES_MAX: u64 = 1_024;
/// Tables of fewer bytes are small, whatever their rows.
const TABLE_BYTES_MAX: u64 = 16 << 20;
/// By what the rows of a leaf are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) reference: ReferenceId,
    index: String,
}

/// The rows of a leaf that leave with a batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Queries from `FROM` on, with the table under alias `x`.
    pub(super) sources: Vec<String>,
    /// Their keys, once they were archived, if that is the better way to delete them.
    pub(super) runs: Option<Vec<Run>>,
}

/// What is locked since a batch was archived.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Tables of which every row that leaves is locked as the closure saw it.
    pub(super) locked: BTreeSet<TableId>,
    /// Rows of leaves.
    pub(super) found: BTreeMap<TableId, Found>,
    /// Leaves whose rows were deleted by runs: nobody has looked yet for rows that were added meanwhile.
    pub(super) unseen: BTreeSet<TableId>,
}

/// The reference by which alone rows of the table leave, if they can be found again by it.
fn only_reference(work: &Work, table: TableId) -> Option<ReferenceId> {
    let shape = work.schema.table(table);
    let stage = work.program.stages.iter().find(|stage| stage.visits().iter().any(|v| v.table == table))?;
    let Stage::Once(visit) = stage else { return None };
    let [follow] = &visit.follows[..] else { return None };
    let id = follow.reference;
    let r = work.schema.reference(id);
    let ([child], [parent]) = (&r.child_columns[..], &r.parent_columns[..]) else { return None };
    let is_plain = r.origin == Origin::Declared
        && r.when.is_empty()
        && r.child_parts.is_none()
        && r.parent_parts.is_none()
        && follow.only_if_check_fails.is_none()
        && visit.companions.is_empty()
        && visit.together.is_empty();
    let is_whole = types::is_whole(&shape.columns[*child])
        && types::is_whole(&work.schema.table(r.parent).columns[*parent]);
    let stands_alone = shape.effects.is_empty()
        && !shape.partitioned
        && !work.program.roots.contains(&table)
        && !work.ownership.protected.contains(&table)
        && work.ownership.owning.get(&table).into_iter().flatten().all(|owning| *owning == id)
        && work.schema.references.iter().all(|r| r.parent != table)
        && work.schema.reference_ids().all(|other| {
            let r = work.schema.reference(other);
            other == id || r.child != table || work.program.set(r.parent).is_none()
        });
    (is_plain && is_whole && stands_alone).then_some(id)
}

/// Whether rows may be found by a key alone: nothing else may act on them, or be asked about them.
fn is_possible(work: &Work) -> bool {
    work.path == Path::Fast && work.allowed_effects.is_empty()
}

/// How the rows of a table are deleted, for people, if they can be found by a reference alone.
pub(super) fn explain(work: &Work, table: TableId) -> Option<String> {
    let id = only_reference(work, table).filter(|_| is_possible(work))?;
    let r = work.schema.reference(id);
    let column = r.child_columns.first().map(|c| &work.schema.table(table).columns[*c])?;
    let d = MysqlDialect;
    Some(format!(
        "-- where an index leads to them: read and locked like that for the archive; ? are the values of this batch in {}\n\
         -- (rows whose keys follow one another leave by ranges of these keys, and are looked for like that afterwards)\n\
         DELETE x FROM {} x WHERE x.{} IN (?)",
        key_set(r.parent),
        d.relation(work.schema.table(table)),
        d.quote(&column.name),
    ))
}

/// Counts the rows of a leaf per tag, as the closure selects them. Of any other table, and of several at once, it is said
/// that rows may be open, so that they get key sets.
pub(super) fn count_sql(leaves: &BTreeMap<TableId, Leaf>, asked: &[closure::Leaf]) -> String {
    match asked {
        [leaf] if leaves.contains_key(&leaf.table) => format!(
            "INSERT INTO {COUNTED} SELECT {}, q.tag, count(*), count(CASE WHEN q.is_open THEN 1 END) FROM ({}) q \
             GROUP BY q.tag RETURNING no, n, is_open",
            leaf.table.0, leaf.select
        ),
        others => {
            let keep = |leaf: &closure::Leaf| format!("SELECT {}, 0, 1", leaf.table.0);
            others.iter().map(keep).collect::<Vec<_>>().join(" UNION ALL ")
        }
    }
}

impl Mysql {
    /// The tables of this work whose rows need no key set.
    pub(super) async fn find_leaves(&mut self, work: &Work) -> Result<BTreeMap<TableId, Leaf>, SqlError> {
        let mut leaves = BTreeMap::new();
        if !is_possible(work) {
            return Ok(leaves);
        }
        for table in work.program.removal.iter().flatten() {
            let Some(reference) = only_reference(work, *table) else { continue };
            if let Some(index) = self.index_of(work, reference).await? {
                leaves.insert(*table, Leaf { reference, index });
            }
        }
        if !leaves.is_empty() {
            let columns = "no INT NOT NULL, tag BIGINT NOT NULL, n BIGINT NOT NULL, is_open BIGINT NOT NULL";
            let sql = format!("CREATE TEMPORARY TABLE {COUNTED} ({columns}) ENGINE=Aria TRANSACTIONAL=0");
            self.session.run(&sql).await?;
        }
        Ok(leaves)
    }

    /// The index by which the server finds rows of a reference, if they are not very long.
    async fn index_of(&mut self, work: &Work, id: ReferenceId) -> Result<Option<String>, SqlError> {
        let d = MysqlDialect;
        let r = work.schema.reference(id);
        let shape = work.schema.table(r.child);
        let Some(column) = r.child_columns.first().map(|c| &shape.columns[*c]) else { return Ok(None) };
        let sql = format!(
            "SELECT s.INDEX_NAME FROM information_schema.STATISTICS s JOIN information_schema.TABLES t \
             ON t.TABLE_SCHEMA = s.TABLE_SCHEMA AND t.TABLE_NAME = s.TABLE_NAME \
             WHERE s.TABLE_SCHEMA = {} AND s.TABLE_NAME = {} AND s.COLUMN_NAME = {} AND s.SEQ_IN_INDEX = 1 \
             AND s.INDEX_TYPE = 'BTREE' \
             AND (t.AVG_ROW_LENGTH <= {ROW_BYTES_MAX} OR t.DATA_LENGTH <= {TABLE_BYTES_MAX}) ORDER BY s.INDEX_NAME",
            d.literal(&shape.name.namespace),
            d.literal(&shape.name.name),
            d.literal(&column.name),
        );
        for row in self.session.rows(&sql).await? {
            let index = text(&row, 0);
            let leaf = Leaf { reference: id, index: index.clone() };
            let source = source(work, &leaf, &[0, 1]);
            match self.session.rows(&format!("EXPLAIN SELECT x.* {source}")).await {
                Ok(plan) if is_by_index(&plan, &index) => return Ok(Some(index)),
                // An index that the server is told to ignore cannot be asked for.
                Err(error) if error.code.is_none() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Adds the leaves of the current closure to what its sets hold.
    pub(super) async fn tally_leaves(&mut self, tally: &mut Tally) -> Result<(), SqlError> {
        if !self.sets.keys.values().any(|set| set.is_leaf) {
            return Ok(());
        }
        for row in self.session.rows(&format!("SELECT no, tag, n FROM {COUNTED}")).await? {
            let table = numbered(&row, 0);
            if self.sets.keys.get(&table).is_some_and(|set| set.is_leaf) {
                tally.set_removed(table, number(&row, 1), number(&row, 2));
            }
        }
        Ok(())
    }

    /// Begins the transaction of a batch with leaves: locks what they refer to, and finds them. If that is no
    /// longer what the closure saw, nothing is found.
    pub(super) async fn hold(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
    ) -> Result<(), Stop> {
        let leaves: Vec<(TableId, Leaf)> = self
            .leaves
            .iter()
            .filter(|(table, _)| expected.removed.contains_key(table) && self.is_leaf(**table))
            .map(|(table, leaf)| (*table, leaf.clone()))
            .collect();
        if leaves.is_empty() {
            return Ok(());
        }
        self.begin().await?;
        let parents: BTreeSet<TableId> =
            leaves.iter().map(|(_, leaf)| work.schema.reference(leaf.reference).parent).collect();
        for parent in parents {
            let rows = self.lock_leaving(work, parent, batch).await?;
            if expected.removed.get(&parent) != Some(&rows) {
                return Ok(());
            }
            self.held.locked.insert(parent);
        }
        for (table, leaf) in leaves {
            let values = self.values(work, leaf.reference, batch).await?;
            let sources = values.chunks(VALUES_MAX).map(|values| source(work, &leaf, values));
            self.held.found.insert(table, Found { sources: sources.collect(), runs: None });
        }
        Ok(())
    }

    /// Whether rows of the table have no key set.
    pub(super) fn is_leaf(&self, table: TableId) -> bool {
        self.sets.keys.get(&table).is_some_and(|set| set.is_leaf)
    }

    /// What takes the keys of rows of the table while they are archived, if they may be deleted by runs of these.
    pub(super) fn keys(&self, work: &Work, table: TableId, columns: &[ColumnIndex]) -> Option<Keys> {
        self.held.found.get(&table)?;
        let key = runs::whole_key(work.schema.table(table))?;
        columns.iter().position(|column| *column == key).map(Keys::new)
    }

    /// The values that a reference leads to in a batch, in their order, each once.
    async fn values(&mut self, work: &Work, id: ReferenceId, batch: TagRange) -> Result<Vec<i128>, SqlError> {
        let r = work.schema.reference(id);
        let column = r.parent_columns.first().copied().unwrap_or_default();
        let sql = format!(
            "SELECT k.c{column} FROM {} k WHERE k.doomed AND {}",
            key_set(r.parent),
            counts::in_batch("k", Some(batch))
        );
        let mut values = BTreeSet::new();
        for row in self.session.rows(&sql).await? {
            if let Some(Some(value)) = row.first() {
                let value = value.parse::<i128>();
                values.insert(value.map_err(|_| SqlError {
                    code: None,
                    message: "the server sent no whole number for a key".to_owned(),
                })?);
            }
        }
        Ok(values.into_iter().collect())
    }
}

/// Whether the server looks rows up by this index, and nothing else.
pub(super) fn is_by_index(plan: &[TextRow], index: &str) -> bool {
    let [row] = plan else { return false };
    ["range", "ref"].contains(&text(row, 3).as_str()) && text(row, 5) == index
}

/// The rows of a leaf that refer to these values, as a query from `FROM` on.
fn source(work: &Work, leaf: &Leaf, values: &[i128]) -> String {
    let d = MysqlDialect;
    let r = work.schema.reference(leaf.reference);
    let shape = work.schema.table(r.child);
    let column = r.child_columns.first().map(|c| d.quote(&shape.columns[*c].name)).unwrap_or_default();
    let values: Vec<String> = values.iter().map(i128::to_string).collect();
    format!(
        "FROM {} x FORCE INDEX ({}) WHERE x.{column} IN ({})",
        d.relation(shape),
        d.quote(&leaf.index),
        values.join(", ")
    )
}
