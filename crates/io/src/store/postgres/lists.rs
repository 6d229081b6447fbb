//! The addresses of the rows that leave, as one array per table, part and tag.
//!
//! Batches are read and deleted by address. Key sets hold one row per address and are not sorted by tag, so each
//! batch would read them as a whole; arrays by tag are gathered once, and a batch reads only its own.
//!
//! Invariants
//! - the lists hold exactly the doomed rows of the key sets;
//! - a list has versions only if it has rows younger than the horizon: elsewhere a row at an address that is older than
//!   the horizon is the version that the closure saw, since a slot is only taken by younger rows.

use super::dialect::{PostgresDialect, qualified};
use super::{Closed, Postgres};
use crate::store::sql::closure::{Leaf, Sets, key_set};
use crate::store::sql::counts::{self, Counted, Tally};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::remainder;
use crate::store::sql::{Session, SqlError, number, numbered, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::port::store::TagRange;
use unseed_core::schema::{Part, Table, TableId};

/// The table of lists; a session that only reads has its own of the same name.
pub(super) const LISTS: &str = "pg_temp.unseed_lists";

/// Creates it, with the number of open rows and whether some are younger than the horizon. Addresses do not compress,
/// so nothing is lost by not trying.
pub(super) const CREATE: &str = "DROP TABLE IF EXISTS pg_temp.unseed_lists; \
     CREATE TEMPORARY TABLE unseed_lists (no int, part oid, tag int, tids tid[], vers xid[], young boolean, open int8); \
     ALTER TABLE pg_temp.unseed_lists ALTER tids SET STORAGE EXTERNAL, ALTER vers SET STORAGE EXTERNAL";

/// How many addresses are listed.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed {
    rows: BTreeMap<(TableId, u64), BTreeMap<u64, u64>>,
}

impl Listed {
    /// Handles of the parts of a table that have rows in the batch.
    pub(super) fn parts(&self, table: TableId, batch: TagRange) -> BTreeSet<u64> {
        let tags = self.rows.range((table, batch.first)..=(table, batch.last));
        tags.flat_map(|(_, parts)| parts.keys().copied()).collect()
    }

    /// Adds the rows per table and tag.
    fn fill(&self, tally: &mut Tally) {
        for ((table, tag), parts) in &self.rows {
            tally.set_removed(*table, *tag, parts.values().sum());
        }
    }
}

/// The lists of one table, by part and tag, from rows under alias `k`.
fn select(table: TableId, horizon: &str, open: &str, from: &str) -> String {
    format!(
        "SELECT {}, k.part, k.tag, array_agg(k.tid), array_agg(k.ver), bool_or(age(k.ver) <= (SELECT age('{horizon}'::xid))), {open} \
         FROM {from} GROUP BY k.part, k.tag",
        table.0
    )
}

/// Statements that list the rows of tables that nothing follows from, as the closure selects them.
pub(super) fn leaves(horizon: &str) -> impl Fn(&[Leaf]) -> String + Sync + use<> {
    let horizon = horizon.to_owned();
    move |leaves| {
        let list = |leaf: &Leaf| {
            let rows = format!("({}) k", leaf.select);
            select(leaf.table, &horizon, "count(*) FILTER (WHERE k.is_open)", &rows)
        };
        let lists: Vec<String> = leaves.iter().map(list).collect();
        format!("INSERT INTO {LISTS} {} RETURNING no, cardinality(tids), open", lists.join(" UNION ALL "))
    }
}

/// Lists one key set per select.
fn list_sql(sets: &Sets, horizon: &str) -> Option<String> {
    let filled = sets.keys.iter().filter(|(_, set)| set.rows > 0 && !set.is_leaf);
    let selects: Vec<String> = filled
        .map(|(table, _)| {
            let from = format!("{} k WHERE k.doomed", PostgresDialect.temp(&key_set(*table)));
            select(*table, horizon, "count(*) FILTER (WHERE k.is_open)", &from)
        })
        .collect();
    (!selects.is_empty()).then(|| format!("INSERT INTO {LISTS} {}", selects.join(" UNION ALL ")))
}

impl Postgres {
    /// Lists what the closure found, beside the tables that it has listed itself; returns how many rows of each table
    /// leave, and how many of them are open.
    pub(super) async fn list(&mut self) -> Result<Counted, SqlError> {
        let list = list_sql(&self.closed.sets, &self.closed.horizon).unwrap_or_default();
        let index = format!("CREATE INDEX unseed_lists_by_tag ON {LISTS} (no, tag)");
        let read = format!("SELECT no, part::int8, tag, cardinality(tids), young, open FROM {LISTS}");
        let mut counted = Counted::new();
        for row in self.session.script(&format!("{list}; {index}; {read}"), 3).await? {
            let (table, rows) = (numbered(&row, 0), number(&row, 3));
            if text(&row, 4) == "t" {
                self.closed.young.insert(table);
            }
            let parts = self.closed.listed.rows.entry((table, number(&row, 2))).or_default();
            parts.insert(number(&row, 1), rows);
            let sums = counted.entry(table).or_default();
            *sums = (sums.0 + rows, sums.1 + number(&row, 5));
        }
        Ok(counted)
    }

    /// Counts the current closure per tag.
    pub(super) async fn tally(&mut self) -> Result<Tally, SqlError> {
        self.session.run("BEGIN").await?;
        let tallied = self.tally_now().await;
        self.session.run(if tallied.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        tallied
    }

    async fn tally_now(&mut self) -> Result<Tally, SqlError> {
        let mut tally = Tally::default();
        self.closed.listed.fill(&mut tally);
        counts::tally_detached(&mut self.session, &self.closed.sets, &mut tally).await?;
        self.keep_watch().await?;
        Ok(tally)
    }
}

/// The listed rows of a table, under alias `k`.
pub(super) fn rows(table: TableId) -> String {
    format!(
        "(SELECT l.part, k.tid, k.ver, l.tag FROM {LISTS} l, unnest(l.tids, l.vers) AS k (tid, ver) WHERE l.no = {}) k",
        table.0
    )
}

impl Postgres {
    /// Makes key sets of what is only listed, for those who look rows up in sets; they are gone when the open
    /// transaction is rolled back.
    pub(super) async fn unfold(&mut self) -> Result<(), SqlError> {
        let leaves = self.closed.sets.keys.iter().filter(|(_, set)| set.is_leaf && set.rows > 0);
        let create = |table: TableId| {
            format!(
                "CREATE TEMPORARY TABLE IF NOT EXISTS {} AS SELECT k.*, true AS doomed, false AS is_open FROM {}",
                PostgresDialect.temp(&key_set(table)),
                rows(table),
            )
        };
        let creates: Vec<String> = leaves.map(|(table, _)| create(*table)).collect();
        if !creates.is_empty() {
            let statements = u64::try_from(creates.len()).unwrap_or_default();
            self.session.script(&creates.join("; "), statements).await?;
        }
        Ok(())
    }
}

impl Closed {
    /// What stands behind `FROM` or `DELETE FROM` for the rows of a batch in one part, under alias `x`: the part,
    /// the word before other tables (`JOIN … ON` or `USING … WHERE`) and the condition.
    fn source(&self, (table, shape): (TableId, &Table), part: &Part, [first, last]: [&str; 2]) -> Source {
        let within = format!(
            "{LISTS} l WHERE l.no = {} AND l.part = {} AND l.tag BETWEEN {first} AND {last}",
            table.0, part.handle
        );
        let target = format!("ONLY {} x", qualified(&part.name));
        if self.rewritten.is_some() {
            let condition = remainder::leaves(&PostgresDialect, (table, shape), "x");
            return Source { target, keys: None, condition };
        }
        // Asked for once, and not for every row.
        let old = format!("age(x.xmin) > (SELECT age('{}'::xid))", self.horizon);
        if self.young.contains(&table) {
            let same = format!("CASE WHEN k.ver IS NULL THEN {old} ELSE x.xmin = k.ver END");
            let keys = format!("(SELECT unnest(l.tids) AS tid, unnest(l.vers) AS ver FROM {within}) k");
            return Source { target, keys: Some(keys), condition: format!("x.ctid = k.tid AND {same}") };
        }
        let condition = format!("x.ctid = ANY (ARRAY(SELECT unnest(l.tids) FROM {within})) AND {old}");
        Source { target, keys: None, condition }
    }

    /// `… FROM … WHERE …` of a query for the rows of a batch in one part, under alias `x`.
    pub(super) fn select(
        &self,
        list: &str,
        table: (TableId, &Table),
        part: &Part,
        batch: TagRange,
    ) -> String {
        let [first, last] = [batch.first, batch.last].map(|tag| tag.to_string());
        let Source { target, keys, condition } = self.source(table, part, [&first, &last]);
        match keys {
            Some(keys) => format!("SELECT {list} FROM {keys} JOIN {target} ON {condition}"),
            None => format!("SELECT {list} FROM {target} WHERE {condition}"),
        }
    }

    /// The statement that deletes the rows of a batch in one part; `tags` are the first and the last of the batch.
    pub(super) fn delete(&self, table: (TableId, &Table), part: &Part, tags: [&str; 2]) -> String {
        let Source { target, keys, condition } = self.source(table, part, tags);
        match keys {
            Some(keys) => format!("DELETE FROM {target} USING {keys} WHERE {condition}"),
            None => format!("DELETE FROM {target} WHERE {condition}"),
        }
    }

    /// Parts of a table that hold rows of the batch.
    pub(super) fn parts_of(&self, shape: &Table, table: TableId, batch: TagRange) -> Vec<Part> {
        if self.rewritten.is_some() {
            return shape.parts.clone();
        }
        let found = self.listed.parts(table, batch);
        shape.parts.iter().filter(|part| found.contains(&part.handle)).cloned().collect()
    }
}

struct Source {
    target: String,
    keys: Option<String>,
    condition: String,
}
