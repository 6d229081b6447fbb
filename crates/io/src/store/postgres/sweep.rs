//! What came in between: rows that refer to removed ones although the closure did not know them.
//!
//! Rows that other sessions wrote since the closure send the batch back. Rows that triggers of this batch
//! wrote go with it. When every transaction id given out since the last look is our own, nobody else can have
//! written anything, and the look is skipped.

use super::Postgres;
use super::dialect::PostgresDialect;
use super::effects::{self, Beside, Counters};
use super::remove::{Mode, Stop};
use super::written::{self, Places, WHOLE_SETS};
use crate::store::sql::closure::key_set;
use crate::store::sql::condition::{Conditions, Side};
use crate::store::sql::counts;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError};
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

/// Rows that the open transaction wrote into a table.
struct Written {
    table: TableId,
    rows: u64,
    /// Whether to look at the end of the table first, without counting.
    at_the_end: bool,
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
        // If triggers do what they did in the batch before, its look can be spared.
        let mut as_before = !self.closed.swept_at_the_end.is_empty();
        let settings = if as_before { WHOLE_SETS.to_vec() } else { Vec::new() };
        let beside = Beside { settings, ..Beside::default() };
        let mut now = effects::counters_beside(&mut self.session, &beside).await?;
        if !self.nobody_wrote(&now) {
            if std::mem::take(&mut as_before) {
                self.session.run("SET LOCAL enable_hashjoin = off").await?;
                self.session.run("SET LOCAL enable_mergejoin = off").await?;
            }
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
                let spared = as_before && self.closed.swept_at_the_end.contains(table);
                let written = Written { table: *table, rows: *rows, at_the_end: spared };
                if self.sweep_table(work, batch, &by_child[table], written, &mut swept).await? > 0 {
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

    /// The row under alias `x` refers to a row that leaves, with these tags or whenever. `one_by_one` has the server ask
    /// for each row by itself, where the index of a key set serves.
    pub(super) fn refers_to_removed(
        &self,
        work: &Work,
        ids: &[ReferenceId],
        tags: Option<TagRange>,
        one_by_one: bool,
    ) -> String {
        let with_tags = counts::in_batch("k", tags);
        let d = PostgresDialect;
        let conditions = Conditions { schema: &work.schema, dialect: &d };
        let terms: Vec<String> = ids
            .iter()
            .map(|id| {
                let r = work.schema.reference(*id);
                // The server reads the whole set instead, unless it must not.
                let end = if one_by_one && r.origin == Origin::Declared { " OFFSET 0" } else { "" };
                format!(
                    "EXISTS (SELECT 1 FROM {} k WHERE {} AND k.doomed AND {with_tags}{end})",
                    d.temp(&key_set(r.parent)),
                    conditions.refers(r, ("x", Side::Table), ("k", Side::Keys)),
                )
            })
            .collect();
        format!("({})", terms.join(" OR "))
    }

    /// Removes or detaches what this transaction wrote into a table and what refers to removed rows.
    async fn sweep_table(
        &mut self,
        work: &Work,
        batch: TagRange,
        ids: &[ReferenceId],
        Written { table, rows: written, at_the_end }: Written,
        swept: &mut Swept,
    ) -> Result<u64, SqlError> {
        let mut found = 0;
        let shape = work.schema.table(table);
        let own = self.closed.own;
        let strong: Vec<ReferenceId> = ids.iter().copied().filter(|id| !is_weak(work, *id)).collect();
        let tail = written::tail(&self.closed, shape, own);
        if let Some(tail) = tail.as_ref().filter(|_| at_the_end && !strong.is_empty()) {
            found = self.remove_written(work, tail, &strong, Some(batch)).await?;
        }
        let mut places = Places::new();
        if found < written {
            self.closed.swept_at_the_end.remove(&table);
            places = written::places(&mut self.session, &self.closed, shape, own, written - found).await?;
        }
        // What triggers write is about rows of the batch as a rule, and those are few.
        for tags in [Some(batch), None] {
            if strong.is_empty() || found >= written {
                break;
            }
            found += self.remove_written(work, &places, &strong, tags).await?;
            if tags.is_some() && found >= written && tail.as_ref() == Some(&places) {
                self.closed.swept_at_the_end.insert(table);
            }
        }
        if found > 0 {
            *swept.deleted.entry(table).or_default() += found;
        }
        for id in ids.iter().copied().filter(|id| is_weak(work, *id)) {
            if found >= written {
                break;
            }
            let refers = self.refers_to_removed(work, &[id], None, false);
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

    /// Removes what this transaction wrote at these places and what refers to removed rows; returns how many rows.
    async fn remove_written(
        &mut self,
        work: &Work,
        places: &Places,
        strong: &[ReferenceId],
        tags: Option<TagRange>,
    ) -> Result<u64, SqlError> {
        let refers = self.refers_to_removed(work, strong, tags, false);
        let mut removed = 0;
        for place in places {
            let sql = format!("DELETE FROM {} x WHERE {}", place.0, written::among(place, &refers));
            removed += self.session.run(&sql).await?;
        }
        Ok(removed)
    }
}
