//! News: rows that others wrote since the closure and that refer to rows which leave.
//!
//! Only versions younger than the snapshot of the closure can be such; it saw everything older. In which tables there
//! are any is asked first, by reading nothing but the versions of all that could refer, and only those are looked into.
//! Where a batch is small beside a table, what refers to its rows is looked up by the indexes of the references.
//!
//! Invariants
//! - the rows of the batch are removed in the open transaction: whoever wants to refer to them by a key that the server
//!   checks waits from then on, so that there is no news in a table that had none at the first question;
//! - each table is looked into by one statement: what moves between two would be seen by neither.
//!
//! Not here: when to look (`sweep`), and what triggers of the batch itself wrote.

use super::Postgres;
use super::dialect::{PostgresDialect, written_by};
use super::lists;
use super::remove::Stop;
use super::sweep::referring;
use crate::store::sql::closure::key_set;
use crate::store::sql::condition::{Conditions, Side};
use crate::store::sql::counts::{self, detach_sources};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, number, numbered};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::port::store::{Closure, TagRange, Work};
use unseed_core::schema::{Origin, Reference, ReferenceId, TableId};

/// Tables of which one statement reads the versions.
const TABLES_PER_LOOK: usize = 80;
/// Up to so many rows are looked up in a key set one by one in the time in which the set is read.
const FEW: u64 = 5_000;

/// References to rows that leave, by referring table.
type ByChild = BTreeMap<TableId, Vec<ReferenceId>>;

/// Rows of one table that refer to rows which leave and that the closure did not know.
struct Found {
    table: TableId,
    /// About any batch …
    rows: u64,
    /// … and about this one or an earlier one.
    now: u64,
}

/// How the tables that could refer to rows of a batch are looked at.
#[derive(Debug)]
struct Looks {
    by_version: ByChild,
    by_index: ByChild,
}

impl Looks {
    /// Takes indexes where that costs much less than reading the versions of all tables: who reads them all need not
    /// look again before somebody else writes.
    fn choose(work: &Work, expected: &Closure, rows_in: impl Fn(TableId) -> u64, all: ByChild) -> Self {
        /// Rows whose versions are read in the time of one look into an index, and rows of a key set in the time of
        /// one of them, roughly.
        const ROWS_PER_LOOK: u64 = 25;
        const KEYS_PER_ROW: u64 = 4;
        let parent = |id: &ReferenceId| work.schema.reference(*id).parent;
        let versions = |table: &TableId| work.schema.table(*table).rows_estimate;
        let looks = |ids: &[ReferenceId]| -> u64 {
            let rows = ids.iter().filter_map(|id| expected.removed.get(&parent(id))).sum::<u64>();
            rows.saturating_mul(ROWS_PER_LOOK)
        };
        let pays = |table: &TableId, ids: &[ReferenceId]| {
            ids.iter().all(|id| is_looked_up(work, *id)) && looks(ids) < versions(table)
        };
        let whole: u64 = all.keys().map(versions).sum();
        let (by_index, mut by_version): (ByChild, ByChild) =
            all.into_iter().partition(|(t, ids)| pays(t, ids));
        let parents: BTreeSet<TableId> = by_index.values().flatten().map(parent).collect();
        let keys: u64 = parents.into_iter().map(rows_in).sum();
        let mixed = by_version.keys().map(versions).sum::<u64>()
            + by_index.values().map(|ids| looks(ids)).sum::<u64>()
            + keys / KEYS_PER_ROW;
        if mixed.saturating_mul(2) < whole {
            Self { by_version, by_index }
        } else {
            by_version.extend(by_index);
            Self { by_version, by_index: ByChild::new() }
        }
    }
}

/// Whether the server finds referring rows by an index.
fn is_looked_up(work: &Work, id: ReferenceId) -> bool {
    let r = work.schema.reference(id);
    r.indexed && r.origin == Origin::Declared
}

impl Postgres {
    /// Looks for news. Those about this batch or an earlier one send the batch back; as long as there may be some about
    /// a later one, every batch looks again. With `all`, also where the server checks references itself. To be run in
    /// a transaction.
    pub(super) async fn refuse_news(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        all: bool,
    ) -> Result<(), Stop> {
        let sets = &self.closed.sets;
        let rows_in = |table: TableId| sets.keys.get(&table).map_or(0, |set| set.rows);
        let by_child = referring(work, all, |table| sets.has(table));
        let looks = Looks::choose(work, expected, rows_in, by_child);
        let mut news = self.news_by_version(work, batch, &looks.by_version).await?;
        if !looks.by_index.is_empty() {
            // Only what refers to this batch was looked up.
            self.closed.seen_up_to = None;
            news.extend(self.news_by_index(work, batch, expected, &looks.by_index).await?);
        }
        for Found { table, rows, now } in news {
            if now > 0 {
                let name = &work.schema.table(table).name;
                return Err(Stop::Changed(format!("{now} new rows of `{name}` refer to removed rows")));
            }
            if rows > 0 {
                self.closed.seen_up_to = None;
            }
        }
        Ok(())
    }

    /// The version under alias `x` is younger than the closure and somebody else's.
    fn is_young(&self) -> String {
        let own = written_by(self.closed.own, "x");
        format!("age(x.xmin) <= age('{}'::xid) AND NOT {own}", self.closed.horizon)
    }

    /// Reads the versions of whole tables, and looks into those that have young ones.
    async fn news_by_version(
        &mut self,
        work: &Work,
        batch: TagRange,
        by_child: &ByChild,
    ) -> Result<Vec<Found>, SqlError> {
        let young = self.is_young();
        let counts: Vec<String> = by_child
            .keys()
            .map(|table| {
                let relation = PostgresDialect.relation(work.schema.table(*table));
                format!("SELECT {}, count(*) FROM {relation} x WHERE {young}", table.0)
            })
            .collect();
        let mut young_rows = BTreeMap::new();
        for chunk in counts.chunks(TABLES_PER_LOOK) {
            for row in self.session.rows(&chunk.join(" UNION ALL ")).await? {
                let table = numbered(&row, 0);
                young_rows.insert(table, number(&row, 1));
            }
        }
        young_rows.retain(|_, rows| *rows > 0);
        let selects: Vec<String> = young_rows
            .iter()
            .filter_map(|(table, rows)| {
                let few = *rows <= FEW && self.closed.indexed.contains(table);
                Some(self.among_young(work, batch, *table, by_child.get(table)?, few))
            })
            .collect();
        self.closed.written.extend(young_rows.keys());
        self.found("", &selects).await
    }

    /// Counts the rows of a table that are news. What costs more than reading a version is asked of young rows only; if
    /// they are `few`, what they refer to is looked up by the indexes of the key sets.
    fn among_young(
        &self,
        work: &Work,
        batch: TagRange,
        table: TableId,
        ids: &[ReferenceId],
        few: bool,
    ) -> String {
        let known = self.unknown(table);
        format!(
            "SELECT {}, count(*) FILTER (WHERE x.unseed_hit AND {known}), \
             count(*) FILTER (WHERE x.unseed_hit AND {} AND {known}) \
             FROM (SELECT x.*, x.tableoid, x.ctid, x.xmin, {} AS unseed_hit FROM {} x WHERE {} OFFSET 0) x",
            table.0,
            self.refers_to_removed(work, ids, Some(TagRange { first: 0, last: batch.last }), few),
            self.refers_to_removed(work, ids, None, few),
            PostgresDialect.relation(work.schema.table(table)),
            self.is_young(),
        )
    }

    /// Looks up the rows that refer to those of this batch by the indexes of the references.
    async fn news_by_index(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        by_child: &ByChild,
    ) -> Result<Vec<Found>, SqlError> {
        let d = PostgresDialect;
        let conditions = Conditions { schema: &work.schema, dialect: &d };
        let young = self.is_young();
        let references = by_child.values().flatten().map(|id| work.schema.reference(*id));
        let references: Vec<&Reference> =
            references.filter(|r| expected.removed.contains_key(&r.parent)).collect();
        let parents: BTreeSet<TableId> = references.iter().map(|r| r.parent).collect();
        // Each key set is read once, however many tables refer to it.
        let parents: Vec<String> = parents
            .into_iter()
            .map(|parent| {
                format!(
                    "b{} AS MATERIALIZED (SELECT k.* FROM {} k WHERE k.doomed AND {})",
                    parent.0,
                    d.temp(&key_set(parent)),
                    counts::in_batch("k", Some(batch)),
                )
            })
            .collect();
        let selects: Vec<String> = references
            .iter()
            .map(|r| {
                format!(
                    "SELECT {}, count(*), count(*) FROM (SELECT x.tableoid, x.ctid, x.xmin FROM b{} k JOIN {} x ON {} \
                     WHERE {young} OFFSET 0) x WHERE {}",
                    r.child.0,
                    r.parent.0,
                    d.relation(work.schema.table(r.child)),
                    conditions.refers(r, ("x", Side::Table), ("k", Side::Keys)),
                    self.unknown(r.child),
                )
            })
            .collect();
        let with = format!("WITH {} ", parents.join(", "));
        self.found(&with, &selects).await
    }

    /// Runs queries for a table each, with how many news there are about any batch and up to this one.
    async fn found(&mut self, with: &str, selects: &[String]) -> Result<Vec<Found>, SqlError> {
        let mut found = Vec::new();
        for chunk in selects.chunks(TABLES_PER_LOOK) {
            for row in self.session.rows(&format!("{with}{}", chunk.join(" UNION ALL "))).await? {
                let table = numbered(&row, 0);
                found.push(Found { table, rows: number(&row, 1), now: number(&row, 2) });
            }
        }
        Ok(found)
    }

    /// The closure does not know the row under alias `x` as one that leaves or is detached in its turn.
    fn unknown(&self, table: TableId) -> String {
        let d = PostgresDialect;
        let set = self.closed.sets.keys.get(&table).filter(|set| set.rows > 0);
        if set.is_some_and(|set| set.is_leaf) {
            // A list is read once, and only if there is a row to look up.
            return format!(
                "(x.tableoid::text, x.ctid::text, x.xmin::text) NOT IN (SELECT k.part::text, k.tid::text, k.ver::text FROM {})",
                lists::rows(table)
            );
        }
        let detached = detach_sources(&self.closed.sets).into_iter().filter(|s| s.table == table);
        let names: BTreeSet<String> =
            set.map(|_| key_set(table)).into_iter().chain(detached.map(|s| s.name)).collect();
        let each = names.iter().map(|name| {
            format!(
                "NOT EXISTS (SELECT 1 FROM {} k WHERE k.part = x.tableoid AND k.tid = x.ctid AND k.ver = x.xmin)",
                d.temp(name)
            )
        });
        ["true".to_owned()].into_iter().chain(each).collect::<Vec<_>>().join(" AND ")
    }
}
