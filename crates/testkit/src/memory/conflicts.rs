//! To whom a row belongs, row by row: conflicts with protected rows, and fingerprints of them.

use super::closing::Sets;
use super::database::Row;
use super::expression;
use super::rows::{identity, names, parents, version};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::fault::Fault;
use unseed_core::port::store::{Conflict, Fingerprint, Harm, Hop, Work};
use unseed_core::protect::ProtectedRows;
use unseed_core::schema::{ReferenceId, TableId};

/// A row by its table and address.
type Address = (TableId, u64);

/// Walks from rows to their owners.
pub(super) struct Owners<'a> {
    work: &'a Work,
    tables: &'a [Vec<Row>],
    protected: BTreeSet<Address>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(work: &'a Work, tables: &'a [Vec<Row>]) -> Result<Self, Fault> {
        let mut protected = BTreeSet::new();
        for protection in &work.protections {
            let table = work.schema.table(protection.table);
            for row in &tables[protection.table.0] {
                let listed = match &protection.rows {
                    ProtectedRows::Values { column, values } => {
                        row.values[*column].as_ref().is_some_and(|value| values.contains(value))
                    }
                    ProtectedRows::Where(predicate) => {
                        expression::evaluate(predicate, &names(table), &row.values)? == Some(true)
                    }
                };
                if listed {
                    protected.insert((protection.table, row.id));
                }
            }
        }
        Ok(Self { work, tables, protected })
    }

    fn row(&self, (table, id): Address) -> &'a Row {
        let found = self.tables[table.0].iter().find(|row| row.id == id);
        found.expect("addresses come from the same tables")
    }

    /// The way from a row to the protected row it belongs to; empty when it is protected itself.
    fn protected_owner(&self, start: Address) -> Option<Vec<(ReferenceId, Address)>> {
        let governed = |table: TableId| self.work.ownership.protected.contains(&table);
        if governed(start.0) {
            return self.protected.contains(&start).then(Vec::new);
        }
        let mut seen: BTreeSet<Address> = BTreeSet::from([start]);
        let mut level: Vec<(Address, Vec<(ReferenceId, Address)>)> = vec![(start, Vec::new())];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (address, way) in &level {
                for id in self.work.ownership.owning.get(&address.0).into_iter().flatten() {
                    let reference = self.work.schema.reference(*id);
                    for owner in parents(reference, self.row(*address), self.tables) {
                        let owner = (reference.parent, owner.id);
                        if seen.insert(owner) {
                            let way = way.iter().copied().chain([(*id, owner)]).collect();
                            next.push((owner, way));
                        }
                    }
                }
            }
            if next.iter().any(|((table, _), _)| governed(*table)) {
                return next
                    .into_iter()
                    .find(|(owner, _)| self.protected.contains(owner))
                    .map(|(_, way)| way);
            }
            level = next;
        }
        None
    }

    fn hop(&self, address: Address, via: Option<ReferenceId>) -> Hop {
        let table = self.work.schema.table(address.0);
        let row = self.row(address);
        let value = |c: &usize| (table.columns[*c].name.clone(), row.values[*c].clone().unwrap_or_default());
        Hop {
            table: table.name.to_string(),
            key: identity(table).iter().map(value).collect(),
            via: via.map(|id| self.work.schema.describe(id)),
        }
    }

    /// Root → … → this row, by what pulled each one in.
    fn path(&self, sets: &Sets, mut address: Address, cause: Option<(ReferenceId, u64)>) -> Vec<Hop> {
        let mut hops = Vec::new();
        let mut cause = cause;
        while let Some((id, parent)) = cause {
            hops.push(self.hop(address, Some(id)));
            address = (self.work.schema.reference(id).parent, parent);
            cause = sets.leaving[&address.0][&parent].cause;
        }
        hops.push(self.hop(address, None));
        hops.reverse();
        hops
    }

    /// All conflicts, one per position; at most `limit` of them.
    pub(super) fn conflicts(&self, sets: &Sets, limit: usize) -> Vec<Conflict> {
        let leaving = sets.leaving.iter().flat_map(|(table, marks)| {
            marks.iter().map(|(id, mark)| ((*table, *id), Harm::Removed, mark.cause))
        });
        let losing = sets.losing.iter().flat_map(|(table, losses)| {
            losses.iter().map(|(id, loss)| ((*table, *id), Harm::Detached, Some(loss.cause)))
        });
        let mut found: BTreeMap<String, Conflict> = BTreeMap::new();
        for (address, harm, cause) in leaving.chain(losing) {
            let Some(way) = self.protected_owner(address) else { continue };
            let mut owner: Vec<Hop> = way.iter().map(|(id, owner)| self.hop(*owner, Some(*id))).collect();
            if !owner.is_empty() {
                owner.insert(0, self.hop(address, None));
            }
            let path = self.path(sets, address, cause);
            let position = position(harm, &path, &owner);
            found.entry(position).or_insert(Conflict { harm, path, owner, rows: 0 }).rows += 1;
        }
        found.into_values().take(limit).collect()
    }

    /// Digests of everything that is protected or belongs to a protected row.
    pub(super) fn fingerprint(&self) -> Vec<Fingerprint> {
        let mut prints = Vec::new();
        for id in self.work.schema.table_ids() {
            let rows = self.tables[id.0].iter().filter(|row| self.protected_owner((id, row.id)).is_some());
            let mut versions: Vec<String> = rows.map(|row| version(&row.values)).collect();
            versions.sort();
            if versions.is_empty() {
                continue;
            }
            prints.push(Fingerprint {
                table: self.work.schema.table(id).name.to_string(),
                rows: super::length(&versions),
                digest: blake3::hash(versions.concat().as_bytes()).to_hex().to_string(),
            });
        }
        prints
    }
}

/// Rows that are in the same position share tables and references, not keys.
fn position(harm: Harm, path: &[Hop], owner: &[Hop]) -> String {
    let bare = |hops: &[Hop]| -> Vec<String> {
        hops.iter().map(|hop| format!("{} {}", hop.table, hop.via.as_deref().unwrap_or(""))).collect()
    };
    format!("{harm:?} {:?} {:?}", bare(path), bare(owner))
}
