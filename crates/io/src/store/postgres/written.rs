//! Rows that the open transaction has written, such as those that triggers insert.
//!
//! A new row usually stands behind everything that was there when the closure was computed. If as many rows of the
//! transaction are found there as the server counted, there are none elsewhere, and the rest of the table need not
//! be read.

use super::Closed;
use super::dialect::{qualified, written_by};
use super::session::PgSession;
use crate::store::sql::{Session, SqlError, number};
use std::collections::BTreeMap;
use unseed_core::schema::{Schema, Table};

/// Where rows of the transaction can be: relations, each with the condition on them under alias `x`.
pub(super) type Places = Vec<(String, String)>;

/// Has sets joined as a whole until the transaction ends.
pub(super) const WHOLE_SETS: [&str; 2] =
    ["set_config('enable_hashjoin', 'on', true)", "set_config('enable_mergejoin', 'on', true)"];

/// Places where rows that transaction `own` wrote into a table can be; `written` is how many the server counted.
/// From here on, what those rows refer to is looked up in whole sets.
pub(super) async fn places(
    session: &mut PgSession,
    closed: &Closed,
    shape: &Table,
    own: u64,
    written: u64,
) -> Result<Places, SqlError> {
    let whole_sets = WHOLE_SETS.join(", ");
    if let Some(tail) = tail(closed, shape, own) {
        let counts: Vec<String> = tail
            .iter()
            .map(|(from, which)| format!("SELECT count(*), {whole_sets} FROM {from} x WHERE {which}"))
            .collect();
        let rows = session.rows(&counts.join(" UNION ALL ")).await?;
        if rows.iter().map(|row| number(row, 0)).sum::<u64>() == written {
            return Ok(tail);
        }
    } else {
        session.rows(&format!("SELECT {whole_sets}")).await?;
    }
    Ok(everywhere(shape, own))
}

/// What stands behind everything that was there when the closure was computed; nothing where the server cannot begin
/// to read in the middle of a table.
pub(super) fn tail(closed: &Closed, shape: &Table, own: u64) -> Option<Places> {
    let by_own = written_by(own, "x");
    let places = shape.parts.iter().map(|part| {
        let block = closed.blocks.get(&part.handle)?.saturating_sub(1);
        let condition = format!("x.ctid >= '({block},0)'::tid AND {by_own}");
        Some((format!("ONLY {}", qualified(&part.name)), condition))
    });
    places.collect::<Option<Places>>().filter(|places| !places.is_empty())
}

/// All places of a table.
pub(super) fn everywhere(shape: &Table, own: u64) -> Places {
    let own = written_by(own, "x");
    shape.parts.iter().map(|part| (format!("ONLY {}", qualified(&part.name)), own.clone())).collect()
}

/// A condition on a relation under alias `x`: it is one of the rows at a place that meet a condition, which are
/// found by reading the place, not by way of what they refer to.
pub(super) fn among((relation, own): &(String, String), condition: &str) -> String {
    format!(
        "x.ctid = ANY (ARRAY(SELECT x.unseed_tid FROM (SELECT x.*, x.tableoid, x.ctid AS unseed_tid FROM {relation} x WHERE {own} OFFSET 0) x \
         WHERE {condition}))"
    )
}

/// Blocks per part, by handle; none where the server cannot begin to read in the middle of a table.
pub(super) async fn blocks(session: &mut PgSession, schema: &Schema) -> Result<BTreeMap<u64, u64>, SqlError> {
    let parts = schema.tables.iter().flat_map(|table| &table.parts);
    let handles: Vec<String> = parts.map(|part| part.handle.to_string()).collect();
    if handles.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT oid::int8, pg_relation_size(oid) / current_setting('block_size')::int8 FROM pg_class \
         WHERE current_setting('server_version_num')::int >= 140000 AND oid IN ({})",
        handles.join(", ")
    );
    Ok(session.rows(&sql).await?.iter().map(|row| (number(row, 0), number(row, 1))).collect())
}
