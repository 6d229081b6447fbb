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
use crate::store::sql::closure::{Sets, key_set};
use crate::store::sql::counts::{self, Tally};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, number, text};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::port::store::TagRange;
use unseed_core::schema::{Part, Table, TableId};

/// The table of lists; a session that only reads has its own of the same name.
pub(super) const LISTS: &str = "pg_temp.unseed_lists";

/// Creates it. Addresses do not compress, so nothing is lost by not trying.
pub(super) const CREATE: &str = "CREATE TEMPORARY TABLE unseed_lists (no int, part oid, tag int, tids tid[], vers xid[]); \
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

/// Lists one key set per select.
fn gather_sql(sets: &Sets, horizon: &str) -> Option<String> {
    let filled = sets.keys.iter().filter(|(_, set)| set.rows > 0);
    let selects: Vec<String> = filled
        .map(|(table, _)| {
            format!(
                "SELECT {}, k.part, k.tag, array_agg(k.tid), CASE WHEN bool_or(age(k.ver) <= age('{horizon}'::xid)) \
                 THEN array_agg(k.ver) END FROM {} k WHERE k.doomed GROUP BY k.part, k.tag",
                table.0,
                PostgresDialect.temp(&key_set(*table)),
            )
        })
        .collect();
    (!selects.is_empty()).then(|| format!("INSERT INTO {LISTS} {}", selects.join(" UNION ALL ")))
}

impl Postgres {
    /// Gathers the lists of the current closure, and counts it per tag.
    pub(super) async fn gather(&mut self) -> Result<Tally, SqlError> {
        self.session.run("BEGIN").await?;
        let gathered = self.gather_now().await;
        self.session.run(if gathered.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        gathered
    }

    async fn gather_now(&mut self) -> Result<Tally, SqlError> {
        let mut tally = Tally::default();
        let Some(gather) = gather_sql(&self.closed.sets, &self.closed.horizon) else { return Ok(tally) };
        let index = format!("CREATE INDEX ON {LISTS} (no, tag)");
        self.session.script(&format!("DROP TABLE IF EXISTS {LISTS}; {CREATE}; {gather}; {index}"), 5).await?;
        let sql = format!("SELECT no, part::int8, tag, cardinality(tids), vers IS NOT NULL FROM {LISTS}");
        let mut listed = Listed::default();
        self.closed.young.clear();
        for row in self.session.rows(&sql).await? {
            let table = TableId(usize::try_from(number(&row, 0)).unwrap_or(usize::MAX));
            if text(&row, 4) == "t" {
                self.closed.young.insert(table);
            }
            listed.rows.entry((table, number(&row, 2))).or_default().insert(number(&row, 1), number(&row, 3));
        }
        listed.fill(&mut tally);
        self.closed.listed = listed;
        counts::tally_detached(&mut self.session, &self.closed.sets, &mut tally).await?;
        self.keep_watch().await?;
        Ok(tally)
    }
}

impl Closed {
    /// What stands behind `FROM` or `DELETE FROM` for the rows of a batch in one part, under alias `x`: the part,
    /// the word before other tables (`JOIN … ON` or `USING … WHERE`) and the condition.
    fn source(&self, table: TableId, part: &Part, batch: TagRange) -> Source {
        let within = format!(
            "{LISTS} l WHERE l.no = {} AND l.part = {} AND l.tag BETWEEN {} AND {}",
            table.0, part.handle, batch.first, batch.last
        );
        let target = format!("ONLY {} x", qualified(&part.name));
        let old = format!("age(x.xmin) > age('{}'::xid)", self.horizon);
        if self.young.contains(&table) {
            let same = format!("CASE WHEN k.ver IS NULL THEN {old} ELSE x.xmin = k.ver END");
            let keys = format!("(SELECT unnest(l.tids) AS tid, unnest(l.vers) AS ver FROM {within}) k");
            return Source { target, keys: Some(keys), condition: format!("x.ctid = k.tid AND {same}") };
        }
        let condition = format!("x.ctid = ANY (ARRAY(SELECT unnest(l.tids) FROM {within})) AND {old}");
        Source { target, keys: None, condition }
    }

    /// `… FROM … WHERE …` of a query for the rows of a batch in one part, under alias `x`.
    pub(super) fn select(&self, list: &str, table: TableId, part: &Part, batch: TagRange) -> String {
        let Source { target, keys, condition } = self.source(table, part, batch);
        match keys {
            Some(keys) => format!("SELECT {list} FROM {keys} JOIN {target} ON {condition}"),
            None => format!("SELECT {list} FROM {target} WHERE {condition}"),
        }
    }

    /// The statement that deletes the rows of a batch in one part.
    pub(super) fn delete(&self, table: TableId, part: &Part, batch: TagRange) -> String {
        let Source { target, keys, condition } = self.source(table, part, batch);
        match keys {
            Some(keys) => format!("DELETE FROM {target} USING {keys} WHERE {condition}"),
            None => format!("DELETE FROM {target} WHERE {condition}"),
        }
    }

    /// Parts of a table that hold rows of the batch.
    pub(super) fn parts_of(&self, shape: &Table, table: TableId, batch: TagRange) -> Vec<Part> {
        let found = self.listed.parts(table, batch);
        shape.parts.iter().filter(|part| found.contains(&part.handle)).cloned().collect()
    }
}

struct Source {
    target: String,
    keys: Option<String>,
    condition: String,
}
