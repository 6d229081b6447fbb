//! The closure as the statements that compute it, for people who want to read them before approving; and what the
//! explanations of a removal share.
//!
//! Not here: the removal itself, which each store does in its own way.

use super::closure::{self, Closing, detach_set, key_set};
use super::condition::{Conditions, Side};
use super::counts::DetachSource;
use super::dialect::Dialect;
use std::collections::BTreeMap;
use unseed_core::closure::Stage;
use unseed_core::port::store::Work;
use unseed_core::schema::TableId;

/// All statements of the closure, as if every set had rows.
pub(crate) fn closure(d: &dyn Dialect, work: &Work) -> Vec<String> {
    let mut closing = Closing::new(work);
    let mut statements = Vec::new();
    for table in &work.program.roots {
        statements.push(closing.explain_seed(d, *table));
    }
    for stage in &work.program.stages {
        let visits = match stage {
            Stage::Once(visit) => std::slice::from_ref(visit),
            Stage::Fixpoint(visits) => {
                closing.assume(visits);
                visits
            }
        };
        for visit in visits {
            statements.extend(closing.explain_visit(d, visit));
        }
    }
    for detach in &work.program.detaches {
        statements.extend(closing.explain_detach(d, detach.table));
    }
    statements.into_iter().map(|s| closure::pretty(&s)).collect()
}

/// The sets that may hold detached rows, as if every set had rows.
pub(crate) fn detach_sources(work: &Work) -> Vec<DetachSource> {
    let source = |table: TableId, references: Vec<_>| {
        let inline = work.program.set(table).is_some();
        let (name, filter) =
            if inline { (key_set(table), "NOT k.doomed") } else { (detach_set(table), "true") };
        DetachSource { table, name, filter, references }
    };
    let detaches = work.program.detaches.iter();
    detaches.map(|d| source(d.table, d.references.iter().map(|(id, _)| *id).collect())).collect()
}

/// One question per referring table: how many rows refer to rows that leave.
pub(crate) fn dangling(d: &dyn Dialect, work: &Work) -> Vec<String> {
    let conditions = Conditions { schema: &work.schema, dialect: d };
    let mut by_child: BTreeMap<TableId, Vec<String>> = BTreeMap::new();
    for id in work.schema.reference_ids() {
        let r = work.schema.reference(id);
        if work.program.set(r.parent).is_some() {
            by_child.entry(r.child).or_default().push(format!(
                "EXISTS (SELECT 1 FROM {} k WHERE {} AND k.doomed)",
                d.temp(&key_set(r.parent)),
                conditions.refers(r, ("x", Side::Table), ("k", Side::Keys)),
            ));
        }
    }
    let select = |(child, terms): (TableId, Vec<String>)| {
        let relation = d.relation(work.schema.table(child));
        format!("SELECT count(*) FROM {relation} AS x WHERE {}", terms.join(" OR "))
    };
    by_child.into_iter().map(select).collect()
}
