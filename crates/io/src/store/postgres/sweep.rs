//! What came in between: rows that refer to removed ones although the closure did not know them.
//!
//! Rows that other sessions wrote since the closure send the batch back. Rows that triggers of this batch
//! wrote go with it. When every transaction id given out since the last look is our own, nobody else can have
//! written anything, and the look is skipped.

use super::Postgres;
use super::dialect::{PostgresDialect, written_by};
use super::effects::{self, Counters};
use super::remove::{Mode, Stop};
use super::{lists, written};
use crate::store::sql::closure::key_set;
use crate::store::sql::condition::{Conditions, Side};
use crate::store::sql::counts::{self, detach_sources};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, number};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::fault::Fault;
use unseed_core::plan::Path;
use unseed_core::port::store::{Closure, TagRange, Work};
use unseed_core::schema::{Origin, ReferenceId, TableId};

/// Rows that triggers of the batch wrote and that went with it.
#[derive(Debug, Default)]
pub(super) struct Swept {
    pub(super) deleted: BTreeMap<TableId, u64>,
    pub(super) updated: BTreeMap<TableId, u64>,
    /// Rows that the batch wrote and left, for tables where triggers changed rows that then left: the
    /// server's counts of updates say nothing there.
    pub(super) left: BTreeMap<TableId, u64>,
}

/// References to tables that rows leave, per referring table: all, or those that nothing but this proof enforces.
pub(super) fn referring(
    work: &Work,
    all: bool,
    leaves: impl Fn(TableId) -> bool,
) -> BTreeMap<TableId, Vec<ReferenceId>> {
    let mut by_child: BTreeMap<TableId, Vec<ReferenceId>> = BTreeMap::new();
    for id in work.schema.reference_ids() {
        let r = work.schema.reference(id);
        let enforced = work.path == Path::Checked && r.origin == Origin::Declared;
        if (all || !enforced) && leaves(r.parent) {
            by_child.entry(r.child).or_default().push(id);
        }
    }
    by_child
}

/// Whether looking up what refers to the rows of a batch costs less than reading the versions of all tables that
/// could.
fn is_far_larger(work: &Work, expected: &Closure, by_child: &BTreeMap<TableId, Vec<ReferenceId>>) -> bool {
    /// Rows whose versions are read in the time of one look into an index, roughly.
    const ROWS_PER_LOOK: u64 = 25;
    let rows: u64 = by_child.keys().map(|table| work.schema.table(*table).rows_estimate).sum();
    let parents = by_child.values().flatten().map(|id| work.schema.reference(*id).parent);
    let looks: u64 = parents.filter_map(|parent| expected.removed.get(&parent)).sum();
    rows / ROWS_PER_LOOK > looks
}

/// Whether the server finds referring rows by an index.
fn is_looked_up(work: &Work, id: ReferenceId) -> bool {
    let r = work.schema.reference(id);
    r.indexed && r.origin == Origin::Declared
}

fn is_weak(work: &Work, id: ReferenceId) -> bool {
    work.program.detaches.iter().any(|d| d.references.iter().any(|(weak, _)| *weak == id))
}

impl Postgres {
    /// Looks for rows that refer to removed ones although the closure did not know them. Rows that other
    /// sessions wrote send the batch back; rows that triggers of this batch wrote are removed or detached.
    pub(super) async fn sweep(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        before: &Counters,
    ) -> Result<Swept, Stop> {
        let mut swept = Swept::default();
        let by_child = referring(work, false, |table| expected.removed.contains_key(&table));
        if by_child.is_empty() {
            return Ok(swept);
        }
        let mut now = effects::counters(&mut self.session).await?;
        if !self.nobody_wrote(&now) {
            self.refuse_news(work, batch, expected, false).await?;
        }
        for _ in 0..8 {
            let touched = now.since(before);
            let written = by_child.keys().map(|table| (*table, touched.written(work, *table)));
            let born: BTreeMap<TableId, u64> = written.filter(|(_, rows)| *rows > 0).collect();
            if born.is_empty() {
                return Ok(swept);
            }
            self.set_mode(work, Mode::Skipped).await?;
            let mut gone = BTreeSet::new();
            for (table, rows) in &born {
                if self.sweep_table(work, *table, &by_child[table], *rows, &mut swept).await? > 0 {
                    gone.insert(*table);
                }
                self.closed.written.insert(*table);
            }
            // Once more only if what is left may refer to what has just gone.
            let refers =
                |t: &TableId| by_child[t].iter().any(|id| gone.contains(&work.schema.reference(*id).parent));
            if !born.keys().any(refers) {
                return Ok(swept);
            }
            now = effects::counters(&mut self.session).await?;
        }
        Err(Stop::Fault(
            Fault::refused("triggers of the removed rows keep inserting rows that refer to them")
                .state("the batch was rolled back")
                .hint("disable the trigger for the purge, or leave these rows out of the plan"),
        ))
    }

    /// Whether no other session has written anything since everything was last looked at: every transaction
    /// id that was given out since is our own. If not, the caller has to look again.
    pub(super) fn nobody_wrote(&mut self, now: &Counters) -> bool {
        let (own, next, running) = now.transactions();
        let quiet = running == 0 && self.closed.seen_up_to == Some(own) && next <= own + 1;
        self.closed.seen_up_to = (running == 0).then_some(next.max(own + 1));
        self.closed.own = own;
        quiet
    }

    /// The row under alias `x` refers to a row that leaves, up to a tag or in whatever batch.
    fn refers_to_removed(&self, work: &Work, ids: &[ReferenceId], last: Option<u64>) -> String {
        let until = last.map(|tag| format!(" AND k.tag <= {tag}")).unwrap_or_default();
        let d = PostgresDialect;
        let conditions = Conditions { schema: &work.schema, dialect: &d };
        let terms: Vec<String> = ids
            .iter()
            .map(|id| {
                let r = work.schema.reference(*id);
                format!(
                    "EXISTS (SELECT 1 FROM {} k WHERE {} AND k.doomed{until})",
                    d.temp(&key_set(r.parent)),
                    conditions.refers(r, ("x", Side::Table), ("k", Side::Keys)),
                )
            })
            .collect();
        format!("({})", terms.join(" OR "))
    }

    /// Looks for rows that refer to removed ones and that the closure did not know: only versions younger than its
    /// snapshot can be such, everything older was seen by it. News about this batch or an earlier one sends the
    /// batch back; as long as there may be news about a later one, every batch looks again.
    pub(super) async fn refuse_news(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        all: bool,
    ) -> Result<(), Stop> {
        let mut by_child = referring(work, all, |table| self.closed.sets.has(table));
        let by_index = is_far_larger(work, expected, &by_child);
        if by_index {
            by_child = referring(work, all, |table| expected.removed.contains_key(&table));
            self.closed.seen_up_to = None;
        }
        let selects: Vec<String> = by_child
            .iter()
            .flat_map(|(table, ids)| {
                if by_index && ids.iter().all(|id| is_looked_up(work, *id)) {
                    ids.iter().map(|id| self.news_by_index(work, batch, *id)).collect()
                } else {
                    vec![self.news_by_version(work, batch, *table, ids)]
                }
            })
            .collect();
        for chunk in selects.chunks(80) {
            for row in self.session.rows(&chunk.join(" UNION ALL ")).await? {
                let (rows, now) = (number(&row, 1), number(&row, 2));
                if now > 0 {
                    let table = TableId(usize::try_from(number(&row, 0)).unwrap_or(usize::MAX));
                    let name = &work.schema.table(table).name;
                    return Err(Stop::Changed(format!("{now} new rows of `{name}` refer to removed rows")));
                }
                if rows > 0 {
                    self.closed.seen_up_to = None;
                }
            }
        }
        Ok(())
    }

    /// The version under alias `x` is younger than the closure and somebody else's.
    fn is_news(&self) -> String {
        let own = written_by(self.closed.own, "x");
        format!("age(x.xmin) <= age('{}'::xid) AND NOT {own}", self.closed.horizon)
    }

    /// Reads the versions of a whole table before anything that costs more; counts the news about any batch, and
    /// those up to this one.
    fn news_by_version(&self, work: &Work, batch: TagRange, table: TableId, ids: &[ReferenceId]) -> String {
        format!(
            "SELECT {}, count(*), count(*) FILTER (WHERE {}) FROM (SELECT x.*, x.tableoid, x.ctid, x.xmin FROM {} x \
             WHERE {} OFFSET 0) x WHERE {}{}",
            table.0,
            self.refers_to_removed(work, ids, Some(batch.last)),
            PostgresDialect.relation(work.schema.table(table)),
            self.is_news(),
            self.refers_to_removed(work, ids, None),
            self.unknown(table),
        )
    }

    /// Looks up the rows that refer to those of this batch by the index of one reference.
    fn news_by_index(&self, work: &Work, batch: TagRange, id: ReferenceId) -> String {
        let d = PostgresDialect;
        let conditions = Conditions { schema: &work.schema, dialect: &d };
        let r = work.schema.reference(id);
        format!(
            "SELECT {}, count(*), count(*) FROM {} k JOIN {} x ON {} WHERE k.doomed AND {} AND {}{}",
            r.child.0,
            d.temp(&key_set(r.parent)),
            d.relation(work.schema.table(r.child)),
            conditions.refers(r, ("x", Side::Table), ("k", Side::Keys)),
            counts::in_batch("k", Some(batch)),
            self.is_news(),
            self.unknown(r.child),
        )
    }

    /// The row under alias `x` is not one that the closure knows, and that leaves or is detached in its turn.
    fn unknown(&self, table: TableId) -> String {
        let d = PostgresDialect;
        let set = self.closed.sets.keys.get(&table).filter(|set| set.rows > 0);
        if set.is_some_and(|set| set.is_leaf) {
            // A list is read once, and only if there is a row to look up.
            return format!(
                " AND (x.tableoid::text, x.ctid::text, x.xmin::text) NOT IN (SELECT k.part::text, k.tid::text, k.ver::text FROM {})",
                lists::rows(table)
            );
        }
        let mut names: Vec<String> = set.map(|_| key_set(table)).into_iter().collect();
        names.extend(
            detach_sources(&self.closed.sets).into_iter().filter(|s| s.table == table).map(|s| s.name),
        );
        names.dedup();
        let known = names.iter().map(|name| {
            format!(
                " AND NOT EXISTS (SELECT 1 FROM {} k WHERE k.part = x.tableoid AND k.tid = x.ctid AND k.ver = x.xmin)",
                d.temp(name)
            )
        });
        known.collect()
    }

    /// Removes or detaches what this transaction wrote into a table and what refers to removed rows.
    async fn sweep_table(
        &mut self,
        work: &Work,
        table: TableId,
        ids: &[ReferenceId],
        written: u64,
        swept: &mut Swept,
    ) -> Result<u64, SqlError> {
        let mut found = 0;
        let shape = work.schema.table(table);
        let own = self.closed.own;
        let mut places = written::places(&mut self.session, &self.closed, shape, own, written).await?;
        let strong: Vec<ReferenceId> = ids.iter().copied().filter(|id| !is_weak(work, *id)).collect();
        if !strong.is_empty() {
            let refers = self.refers_to_removed(work, &strong, None);
            for place in &places {
                let sql = format!("DELETE FROM {} x WHERE {}", place.0, written::among(place, &refers));
                let rows = self.session.run(&sql).await?;
                *swept.deleted.entry(table).or_default() += rows;
                found += rows;
            }
        }
        for id in ids.iter().copied().filter(|id| is_weak(work, *id)) {
            let refers = self.refers_to_removed(work, &[id], None);
            let sets: Vec<String> = work
                .schema
                .reference(id)
                .set_columns
                .iter()
                .filter(|c| shape.columns[**c].nullable)
                .map(|c| format!("{} = NULL", PostgresDialect.quote(&shape.columns[*c].name)))
                .collect();
            if sets.is_empty() {
                continue;
            }
            for place in &places {
                let among = written::among(place, &refers);
                let sql = format!("UPDATE {} x SET {} WHERE {among}", place.0, sets.join(", "));
                let rows = self.session.run(&sql).await?;
                *swept.updated.entry(table).or_default() += rows;
                found += rows;
            }
            // The versions that were just written can stand anywhere.
            places = written::everywhere(shape, own);
        }
        Ok(found)
    }
}
