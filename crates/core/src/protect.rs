//! Protection: which rows must never be removed or changed, and to whom a row belongs.
//!
//! A protection names rows of a table (tenants, an admin user). A row *belongs* to a protected row when the
//! nearest rows of a protected table that its owning references lead to include a protected one. Owning
//! references are the strong ones that cannot be null; where a table has none, its nullable strong ones.
//!
//! Invariants
//! - a row whose nearest owner is not protected may go, even if a protected person once created it;
//! - a tie between a protected and another owner counts as protected: when unsure, refuse.
//!
//! Not here: walking from rows to their owners (`io::store`).

use crate::schema::{OnDelete, ReferenceId, Schema, TableId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Rows that are protected: values of one column of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    pub table: TableId,
    pub rows: ProtectedRows,
}

/// How protected rows are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtectedRows {
    /// Values of one column, compared as text.
    Values { column: usize, values: Vec<String> },
    /// An SQL predicate over the table.
    Where(String),
}

/// The references by which rows belong to rows of the protected tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// Tables that protections name.
    pub protected: Vec<TableId>,
    /// Per table: owning references that lead towards a protected table.
    pub owning: BTreeMap<TableId, Vec<ReferenceId>>,
}

/// Finds the owning references of every table from which one of the protected tables can be reached.
pub fn ownership(schema: &Schema, protections: &[Protection]) -> Ownership {
    let protected: BTreeSet<TableId> = protections.iter().map(|p| p.table).collect();
    let candidates = owning_references(schema);
    let mut reaching = protected.clone();
    loop {
        let before = reaching.len();
        for (table, references) in &candidates {
            if references.iter().any(|id| reaching.contains(&schema.reference(*id).parent)) {
                reaching.insert(*table);
            }
        }
        if reaching.len() == before {
            break;
        }
    }
    let towards = |ids: Vec<ReferenceId>| -> Vec<ReferenceId> {
        ids.into_iter().filter(|id| reaching.contains(&schema.reference(*id).parent)).collect()
    };
    let owning =
        candidates.into_iter().map(|(t, ids)| (t, towards(ids))).filter(|(_, ids)| !ids.is_empty()).collect();
    Ownership { protected: protected.into_iter().collect(), owning }
}

fn owning_references(schema: &Schema) -> BTreeMap<TableId, Vec<ReferenceId>> {
    let mut firm: BTreeMap<TableId, Vec<ReferenceId>> = BTreeMap::new();
    let mut loose: BTreeMap<TableId, Vec<ReferenceId>> = BTreeMap::new();
    for id in schema.reference_ids() {
        let reference = schema.reference(id);
        let strong = match reference.on_delete {
            OnDelete::Cascade | OnDelete::NoAction | OnDelete::Restrict => true,
            OnDelete::SetNull | OnDelete::SetDefault => false,
        };
        if !strong || reference.child == reference.parent {
            continue;
        }
        let table = schema.table(reference.child);
        let set = reference.child_columns.iter().all(|c| !table.columns[*c].nullable);
        let owners = if set { &mut firm } else { &mut loose };
        owners.entry(reference.child).or_default().push(id);
    }
    for (table, ids) in loose {
        firm.entry(table).or_insert(ids);
    }
    firm
}
