//! Which rows of a table belong to protected rows of another one, for the counts of a scan.
//!
//! Not here: belonging over several steps (`fingerprint`), which a scan has no need of.

use super::dialect::Dialect;
use super::fingerprint::protected_among;
use unseed_core::port::scan::Within;
use unseed_core::schema::{Schema, TableId};

/// Condition that picks them under alias `x`.
pub(crate) fn within(d: &dyn Dialect, schema: &Schema, table: TableId, within: &Within) -> String {
    let Some(link) = &within.link else {
        return protected_among(d, schema, &within.protections, (table, "x"));
    };
    let (child, parent) = (schema.table(table), schema.table(link.parent));
    let mut terms = Vec::new();
    for (c, p) in link.child_columns.iter().zip(&link.parent_columns) {
        let (cc, pc) = (&child.columns[*c], &parent.columns[*p]);
        let (left, right) = (format!("x.{}", d.quote(&cc.name)), format!("o.{}", d.quote(&pc.name)));
        terms.push(if d.comparable(cc, pc) {
            d.refers((&left, cc), (&right, pc))
        } else {
            format!("{} = {}", d.text_of(cc, &left), d.text_of(pc, &right))
        });
    }
    terms.push(protected_among(d, schema, &within.protections, (link.parent, "o")));
    format!("EXISTS (SELECT 1 FROM {} o WHERE {})", d.relation(parent), terms.join(" AND "))
}
