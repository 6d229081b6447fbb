//! The closure program, run over vectors.
//!
//! Every visit looks at every row of its table and at every parent, round after round. It makes no choice:
//! what leaves, with which tag, is what the program says.

use super::database::Row;
use super::rows::{check_fails, detached, pick, refers, version};
use std::collections::{BTreeMap, BTreeSet};
use unseed_core::closure::{Detachment, Stage, Visit};
use unseed_core::fault::Fault;
use unseed_core::port::store::{CloseRequest, Closure, Tags, Work};
use unseed_core::schema::{ReferenceId, TableId};

/// A row that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) tag: u64,
    /// The reference and the row that pulled it in; none for roots.
    pub(super) cause: Option<(ReferenceId, u64)>,
}

/// A row that stays and loses references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) tag: u64,
    pub(super) references: Vec<ReferenceId>,
    /// The first reference, and the row it leads to.
    pub(super) cause: (ReferenceId, u64),
}

/// The key sets of one closure.
#[derive(Debug, Clone, Default)]
pub(super) struct Sets {
    pub(super) leaving: BTreeMap<TableId, BTreeMap<u64, Mark>>,
    pub(super) losing: BTreeMap<TableId, BTreeMap<u64, Loss>>,
    pub(super) stale: Vec<String>,
}

/// Computes the closure of the roots.
pub(super) fn close(work: &Work, tables: &[Vec<Row>], request: &CloseRequest<'_>) -> Result<Sets, Fault> {
    let mut closing = Closing { work, tables, sets: Sets::default() };
    closing.seed(request);
    for stage in &work.program.stages {
        match stage {
            Stage::Once(visit) => {
                closing.visit(visit)?;
            }
            Stage::Fixpoint(visits) => loop {
                let mut grew = false;
                for visit in visits {
                    grew |= closing.visit(visit)?;
                }
                if !grew {
                    break;
                }
            },
        }
    }
    closing.detach();
    Ok(closing.sets)
}

struct Closing<'a> {
    work: &'a Work,
    tables: &'a [Vec<Row>],
    sets: Sets,
}

impl Closing<'_> {
    fn seed(&mut self, request: &CloseRequest<'_>) {
        let mut position = 0;
        for set in request.roots {
            let name = &self.work.schema.table(set.table).name;
            for root in &set.rows {
                let tag = position / request.roots_per_tag;
                position += 1;
                let found =
                    self.tables[set.table.0].iter().find(|r| pick(&r.values, &set.columns) == root.key);
                match found {
                    None => self.sets.stale.push(format!("{name} {} is gone", root.key.join(","))),
                    Some(row) if request.check_versions && version(&row.values) != root.version => {
                        self.sets.stale.push(format!("{name} {} has changed", root.key.join(",")));
                    }
                    Some(row) => {
                        let marks = self.sets.leaving.entry(set.table).or_default();
                        marks.entry(row.id).or_insert(Mark { tag, cause: None });
                    }
                }
            }
        }
    }

    /// Rows that leave, to which this row refers.
    fn leads(&self, id: ReferenceId, row: &Row) -> Vec<(u64, u64)> {
        let reference = self.work.schema.reference(id);
        let Some(marks) = self.sets.leaving.get(&reference.parent) else { return Vec::new() };
        let parents = self.tables[reference.parent.0].iter();
        let found = parents.filter(|parent| marks.contains_key(&parent.id) && refers(reference, row, parent));
        found.map(|parent| (parent.id, marks[&parent.id].tag)).collect()
    }

    fn visit(&mut self, visit: &Visit) -> Result<bool, Fault> {
        let mut found = Vec::new();
        for row in &self.tables[visit.table.0] {
            let known = self.sets.leaving.get(&visit.table).is_some_and(|marks| marks.contains_key(&row.id));
            if known {
                continue;
            }
            if let Some(cause) = self.pulled(visit, row)? {
                found.push((row.id, Mark { tag: self.lowest_tag(visit, row), cause: Some(cause) }));
            }
        }
        let grew = !found.is_empty();
        if grew {
            self.sets.leaving.entry(visit.table).or_default().extend(found);
        }
        Ok(grew)
    }

    /// The reference and the row that pull this row in, if any do.
    fn pulled(&self, visit: &Visit, row: &Row) -> Result<Option<(ReferenceId, u64)>, Fault> {
        let table = self.work.schema.table(visit.table);
        for follow in &visit.follows {
            let Some((parent, _)) = self.leads(follow.reference, row).first().copied() else { continue };
            let leaves = match &follow.only_if_check_fails {
                None => true,
                Some(detachment) => {
                    check_fails(table, &detachment.checks, &detached(table, detachment, &row.values))?
                }
            };
            if leaves {
                return Ok(Some((follow.reference, parent)));
            }
        }
        for group in &visit.together {
            let leads: Vec<_> = group.references.iter().map(|(id, _)| self.leads(*id, row)).collect();
            if leads.iter().any(Vec::is_empty) {
                continue;
            }
            let apply =
                |values: Vec<Option<String>>, (_, d): &(ReferenceId, Detachment)| detached(table, d, &values);
            let after = group.references.iter().fold(row.values.clone(), apply);
            if check_fails(table, &group.checks, &after)? {
                return Ok(Some((group.references[0].0, leads[0][0].0)));
            }
        }
        Ok(None)
    }

    fn lowest_tag(&self, visit: &Visit, row: &Row) -> u64 {
        let follows = visit.follows.iter().map(|follow| follow.reference);
        let references = follows.chain(visit.companions.iter().copied());
        let tags = references.flat_map(|id| self.leads(id, row)).map(|(_, tag)| tag);
        tags.min().expect("a row is only pulled in by a row that leaves")
    }

    fn detach(&mut self) {
        for detach in &self.work.program.detaches {
            let mut losses = BTreeMap::new();
            for row in &self.tables[detach.table.0] {
                if self.sets.leaving.get(&detach.table).is_some_and(|marks| marks.contains_key(&row.id)) {
                    continue;
                }
                let leads: Vec<(ReferenceId, u64, u64)> = detach
                    .references
                    .iter()
                    .flat_map(|(id, _)| {
                        self.leads(*id, row).into_iter().map(|(parent, tag)| (*id, parent, tag))
                    })
                    .collect();
                let Some((id, parent, _)) = leads.first().copied() else { continue };
                let references: BTreeSet<ReferenceId> = leads.iter().map(|(id, _, _)| *id).collect();
                losses.insert(
                    row.id,
                    Loss {
                        tag: leads.iter().map(|(_, _, tag)| *tag).min().unwrap_or(0),
                        references: references.into_iter().collect(),
                        cause: (id, parent),
                    },
                );
            }
            if !losses.is_empty() {
                self.sets.losing.insert(detach.table, losses);
            }
        }
    }
}

impl Sets {
    /// The counts that the engine is told.
    pub(super) fn closure(&self) -> Closure {
        let count = |n: usize| u64::try_from(n).expect("a length fits 64 bits");
        let mut closure = Closure { stale: self.stale.clone(), ..Closure::default() };
        closure.removed = self.leaving.iter().map(|(table, marks)| (*table, count(marks.len()))).collect();
        for (table, losses) in &self.losing {
            closure.detached_rows.insert(*table, count(losses.len()));
            for id in losses.values().flat_map(|loss| &loss.references) {
                *closure.detached.entry(*id).or_default() += 1;
            }
        }
        closure
    }

    /// Rows per tag, and the tags that late references join.
    pub(super) fn tags(&self, work: &Work, tables: &[Vec<Row>]) -> Tags {
        let mut rows: BTreeMap<u64, u64> = BTreeMap::new();
        for mark in self.leaving.values().flat_map(BTreeMap::values) {
            *rows.entry(mark.tag).or_default() += 1;
        }
        let mut joined: BTreeSet<(u64, u64)> = BTreeSet::new();
        for id in &work.program.late {
            let reference = work.schema.reference(*id);
            let (Some(children), Some(parents)) =
                (self.leaving.get(&reference.child), self.leaving.get(&reference.parent))
            else {
                continue;
            };
            for child in &tables[reference.child.0] {
                for parent in &tables[reference.parent.0] {
                    let (Some(c), Some(p)) = (children.get(&child.id), parents.get(&parent.id)) else {
                        continue;
                    };
                    if c.tag > p.tag && refers(reference, child, parent) {
                        joined.insert((p.tag, c.tag));
                    }
                }
            }
        }
        Tags { rows: rows.into_iter().collect(), joined: joined.into_iter().collect() }
    }
}
