//! How many rows of protected tenants refer to each tenant and user.
//!
//! One grouped count per reference, made by the store over the rows that belong to a protected tenant; nothing is asked
//! where none is protected.
//!
//! Memory: a hash and a count of each row that is referred to.
//!
//! Not here: what it is worth (`core::detect::inbound`).

use super::layout::key_hash;
use std::collections::HashMap;
use unseed_core::entity::{self, Entity, Link, Map};
use unseed_core::fault::Fault;
use unseed_core::policy::{ConfiguredProtection, Policy};
use unseed_core::port::progress::Progress;
use unseed_core::port::scan::{PaidWhen, ScanSource, Tally, TallyRequest, Within};
use unseed_core::protect::Protection;
use unseed_core::schema::{ColumnIndex, ReferenceId, Schema, TableId};

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    /// Tables whose rows are referred to.
    about: Vec<TableId>,
    rows: HashMap<u64, u64>,
}

/// References by which rows of one table, of those that belong to protected tenants, name tenants and users.
#[derive(Debug)]
pub(super) struct Way {
    pub table: TableId,
    within: Within,
    references: Vec<ReferenceId>,
}

/// All of them, by what is configured as protected.
///
/// # Errors
/// A usage fault for a protection that does not fit its table.
pub(super) fn ways(
    schema: &Schema,
    map: &Map,
    protected: &[ConfiguredProtection],
) -> Result<Vec<Way>, Fault> {
    // A configuration may be about several stores.
    let here = protected.iter().filter(|p| !schema.find(&p.table).is_empty()).cloned().collect();
    let protections = Policy { protect: here, ..Policy::default() }.protections(schema)?;
    let mut ways = Vec::new();
    for tenants in map.of(Entity::Tenant).map(|member| member.table) {
        let of_table: Vec<Protection> = protections.iter().filter(|p| p.table == tenants).cloned().collect();
        if !of_table.is_empty() {
            ways.extend(schema.table_ids().filter_map(|table| way(schema, map, table, (tenants, &of_table))));
        }
    }
    Ok(ways)
}

fn way(
    schema: &Schema,
    map: &Map,
    table: TableId,
    (tenants, protections): (TableId, &[Protection]),
) -> Option<Way> {
    let link = if table == tenants { None } else { Some(entity::best_link(schema, table, tenants)?) };
    let naming = |link: &Link, id: ReferenceId| {
        let reference = schema.reference(id);
        reference.parent == link.parent && reference.child_columns == link.child_columns
    };
    let inbound =
        map.of(Entity::Tenant).chain(map.of(Entity::User)).flat_map(|member| member.inbound.iter().copied());
    let references: Vec<ReferenceId> = inbound
        .filter(|id| {
            let reference = schema.reference(*id);
            let is_plain = reference.when.is_empty() && reference.child_parts.is_none();
            // By whom a row is owned says nothing about anybody else.
            reference.child == table && is_plain && !link.as_ref().is_some_and(|link| naming(link, *id))
        })
        .collect();
    let within = Within { link, protections: protections.to_vec() };
    (!references.is_empty()).then_some(Way { table, within, references })
}

impl Inbound {
    /// Asks the store.
    pub(super) async fn collect(
        source: &mut dyn ScanSource,
        schema: &Schema,
        ways: &[Way],
        progress: &dyn Progress,
    ) -> Result<Self, Fault> {
        let mut inbound = Self::default();
        for way in ways {
            progress.update(&format!("looking whom {} refers to", schema.table(way.table).name), 0, None);
            for id in &way.references {
                inbound.add(source, schema, way, *id).await?;
            }
        }
        Ok(inbound)
    }

    async fn add(
        &mut self,
        source: &mut dyn ScanSource,
        schema: &Schema,
        way: &Way,
        id: ReferenceId,
    ) -> Result<(), Fault> {
        let reference = schema.reference(id);
        let request = TallyRequest {
            table: way.table,
            by: reference.child_columns.clone(),
            time: None,
            paid: PaidWhen::default(),
            within: Some(way.within.clone()),
        };
        let columns: &[ColumnIndex] = &reference.parent_columns;
        let mut visit = |tally: &Tally<'_>| {
            if let Some(hash) = key_hash(reference.parent, columns, tally.key.iter().copied()) {
                *self.rows.entry(hash).or_default() += tally.rows;
            }
        };
        source.tally(schema, &request, &mut visit).await?;
        if !self.about.contains(&reference.parent) {
            self.about.push(reference.parent);
        }
        Ok(())
    }

    /// Whether rows of a table are referred to.
    pub(super) fn is_about(&self, table: TableId) -> bool {
        self.about.contains(&table)
    }

    /// How many rows refer to the one with these hashes of its keys, whichever of them they use.
    pub(super) fn rows(&self, own: &[u64]) -> u64 {
        own.iter().filter_map(|hash| self.rows.get(hash)).sum()
    }
}
