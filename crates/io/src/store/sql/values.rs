//! Values of the rows of a table, and which of them leave: what other stores are searched by.
//!
//! One statement per table: the table, joined from the left with its key set.
//!
//! Invariants
//! - runs in the snapshot of the closure, so that no row is seen as neither leaving nor staying.
//!
//! Not here: the closure (`closure`), what the values are for (`core::subjects`).

use super::closure::{Sets, key_set};
use super::{Session, SqlError, TextRow};
use unseed_core::port::store::{VisitValues, Wanted};
use unseed_core::schema::Schema;

/// Visits every row of the wanted tables.
pub(crate) async fn values(
    session: &mut dyn Session,
    schema: &Schema,
    sets: &Sets,
    wanted: &[Wanted],
    visit: &mut VisitValues<'_>,
) -> Result<(), SqlError> {
    for (position, one) in wanted.iter().enumerate() {
        let d = session.dialect();
        let shape = schema.table(one.table);
        let columns: Vec<String> =
            one.columns.iter().map(|c| d.text(&format!("x.{}", d.quote(&shape.columns[*c].name)))).collect();
        let from = d.relation(shape);
        let sql = if sets.has(one.table) {
            let key = d.temp(&key_set(one.table));
            let at = d.at(shape, "x", "k");
            format!(
                "SELECT CASE WHEN k.tag IS NULL THEN 0 ELSE 1 END, {} FROM {from} x LEFT JOIN {key} k ON {at} AND k.doomed",
                columns.join(", ")
            )
        } else {
            format!("SELECT 0, {} FROM {from} x", columns.join(", "))
        };
        let mut each = |row: TextRow| {
            let leaves = row.first().and_then(Option::as_deref) == Some("1");
            visit(position, leaves, row.get(1..).unwrap_or_default());
        };
        session.each(&sql, &mut each).await?;
    }
    Ok(())
}
