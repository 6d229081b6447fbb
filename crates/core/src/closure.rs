//! Foreign-key closure: which rows must leave together, as a program over sets of rows.
//!
//! [`program`] compiles the reference graph into ordered steps; a store turns each step into one set-based
//! statement, the memory store of the test kit runs the same steps over vectors. Nobody who runs a program
//! makes a choice of their own.
//!
//! A reference is *strong* when the referencing row has to leave with the row it points at (CASCADE,
//! NO ACTION, RESTRICT, or a SET NULL that the column forbids) and *weak* when it can be detached.
//!
//! Invariants
//! - stages come parents first: a [`Stage::Once`] sees complete sets of all tables it follows;
//! - tables that can reach each other share one [`Stage::Fixpoint`];
//! - `removal` is the reverse: no table comes after one it refers to strongly, except inside its group;
//! - the same schema and roots give the same program, since plan digests depend on it.
//!
//! Not here: reading or removing rows (`io::store`), which rows are protected (`protect`).

use crate::schema::{Check, ColumnIndex, OnDelete, Reference, ReferenceId, Schema, TableId};
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The compiled closure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Tables that roots are chosen from.
    pub roots: Vec<TableId>,
    /// One set of row keys per table that the closure can reach, in the order of the stages.
    pub sets: Vec<KeySet>,
    pub stages: Vec<Stage>,
    /// Weak references into the closure, grouped by the referring table.
    pub detaches: Vec<Detach>,
    /// References between two rows that leave, whose order the stages do not settle: a row must not leave
    /// in a later batch than the row it points at, so such batches are joined.
    pub late: Vec<ReferenceId>,
    /// Groups of tables to remove, children first; a group of several tables is a cycle.
    pub removal: Vec<Vec<TableId>>,
    /// References that would be detached, were it not forbidden.
    pub forbidden: Vec<ReferenceId>,
}

/// The rows of one table that leave, and which of their columns later steps need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    pub table: TableId,
    pub carried: Vec<ColumnIndex>,
}

/// One step of the closure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// All parents are complete: visit the table once.
    Once(Visit),
    /// Tables of one cycle: visit until nothing new is found.
    Fixpoint(Vec<Visit>),
}

impl Stage {
    /// The visits of this stage, one for `Once`.
    pub fn visits(&self) -> &[Visit] {
        match self {
            Self::Once(visit) => std::slice::from_ref(visit),
            Self::Fixpoint(visits) => visits,
        }
    }
}

/// Find the rows of one table that must leave because of rows that leave elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    pub table: TableId,
    /// A row leaves when any of these leads to a row that leaves.
    pub follows: Vec<Follow>,
    /// Weak references to tables that are already complete: they do not pull a row in, but a row that
    /// leaves anyway must not leave after the row it points at.
    pub companions: Vec<ReferenceId>,
    /// Weak references that a check lets go one by one, but perhaps not several at once.
    pub together: Vec<Together>,
}

/// A row leaves when all of these references lead to rows that leave, and one of the checks would fail if
/// all of them were detached. (One reference alone is a [`Follow`].)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Together {
    pub references: Vec<(ReferenceId, Detachment)>,
    /// Indexes into the table's checks that mention columns of each of the references.
    pub checks: Vec<usize>,
}

/// A strong reference, or a weak one as far as detaching is forbidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    pub reference: ReferenceId,
    /// When set, only rows for which one of these checks would fail after the detach are pulled in.
    pub only_if_check_fails: Option<Detachment>,
}

/// What a detach writes: these columns become null (or their default), as far as these checks allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detachment {
    pub columns: Vec<ColumnIndex>,
    pub to_default: bool,
    /// Indexes into the table's checks that mention one of the columns.
    pub checks: Vec<usize>,
}

/// All weak references of one table into the closure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detach {
    pub table: TableId,
    pub references: Vec<(ReferenceId, Detachment)>,
}

/// How a reference behaves when the row it points at leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Strength {
    Strong,
    /// Declared SET NULL or SET DEFAULT, but the columns are NOT NULL.
    Forbidden,
    Weak(Detachment),
}

fn strength(schema: &Schema, reference: &Reference) -> Strength {
    let to_default = match reference.on_delete {
        OnDelete::Cascade | OnDelete::NoAction | OnDelete::Restrict => return Strength::Strong,
        OnDelete::SetNull => false,
        OnDelete::SetDefault => true,
    };
    let table = schema.table(reference.child);
    let written = &reference.set_columns;
    let to_default = to_default && written.iter().any(|c| has_default(table.columns[*c].default.as_deref()));
    let nullable: Vec<ColumnIndex> = written
        .iter()
        .copied()
        .filter(|c| to_default || table.columns[*c].nullable)
        .filter(|c| !is_referred_to(schema, reference.child, *c))
        .collect();
    // MATCH FULL wants all columns null at once; MATCH SIMPLE is detached by any one of them.
    let whole = reference.match_full || to_default;
    let enough = if whole { nullable.len() == written.len() } else { !nullable.is_empty() };
    if !enough {
        return Strength::Forbidden;
    }
    let concerns = |check: &Check| !check.validated || mentions(check, &nullable);
    let checks = (0..table.checks.len()).filter(|i| concerns(&table.checks[*i])).collect();
    Strength::Weak(Detachment { columns: nullable, to_default, checks })
}

/// Whether other rows refer to this column: writing it would cut them off.
fn is_referred_to(schema: &Schema, table: TableId, column: ColumnIndex) -> bool {
    schema.references.iter().any(|r| r.parent == table && r.parent_columns.contains(&column))
}

fn mentions(check: &Check, columns: &[ColumnIndex]) -> bool {
    check.columns.iter().any(|c| columns.contains(c))
}

fn subsets(ids: &[ReferenceId]) -> Vec<Vec<ReferenceId>> {
    let mut all = vec![Vec::new()];
    for id in ids {
        let longer: Vec<Vec<ReferenceId>> =
            all.iter().map(|group| group.iter().copied().chain([*id]).collect()).collect();
        all.extend(longer);
    }
    all
}

fn pairs_and_whole(ids: &[ReferenceId]) -> Vec<Vec<ReferenceId>> {
    let rest = |n: usize| ids[n + 1..].iter().copied();
    let mut groups: Vec<Vec<ReferenceId>> =
        ids.iter().enumerate().flat_map(|(n, a)| rest(n).map(|b| vec![*a, b])).collect();
    groups.push(ids.to_vec());
    groups
}

fn has_default(default: Option<&str>) -> bool {
    default.is_some_and(|text| !text.trim_start().to_ascii_uppercase().starts_with("NULL"))
}

/// Compiles the closure of any rows of `roots` over all references of `schema`.
///
/// Returns a program that reaches every table from which a chain of strong references leads to a root
/// table; whether rows are there to be found is the store's business.
pub fn program(schema: &Schema, roots: &[TableId]) -> Program {
    let graph = Graph::new(schema, roots);
    let order = graph.order();
    let mut position = BTreeMap::new();
    for (index, group) in order.iter().enumerate() {
        for table in group {
            position.insert(*table, index);
        }
    }
    let mut late: BTreeSet<ReferenceId> = BTreeSet::new();
    let mut stages = Vec::new();
    for group in &order {
        let visits: Vec<Visit> = group.iter().map(|t| graph.visit(*t, &position, &mut late)).collect();
        stages.push(graph.stage(visits));
    }
    let mut removal: Vec<Vec<TableId>> = order.clone();
    removal.reverse();
    Program {
        roots: roots.to_vec(),
        sets: graph.sets(&order, &late),
        stages,
        detaches: graph.detaches(),
        late: late.into_iter().collect(),
        removal,
        forbidden: graph.forbidden(),
    }
}

struct Graph<'a> {
    schema: &'a Schema,
    roots: &'a [TableId],
    strengths: Vec<Strength>,
    reached: BTreeSet<TableId>,
    /// References of a reached table to reached tables.
    from: BTreeMap<TableId, Vec<ReferenceId>>,
}

impl<'a> Graph<'a> {
    fn new(schema: &'a Schema, roots: &'a [TableId]) -> Self {
        let strengths: Vec<Strength> = schema.references.iter().map(|r| strength(schema, r)).collect();
        let mut graph = Self { schema, roots, strengths, reached: BTreeSet::new(), from: BTreeMap::new() };
        graph.reached = graph.reach();
        let mut from: BTreeMap<TableId, Vec<ReferenceId>> = BTreeMap::new();
        for id in graph.inner() {
            from.entry(schema.reference(id).child).or_default().push(id);
        }
        graph.from = from;
        graph
    }

    /// References that can pull a row in: strong, forbidden, or weak with a check in the way.
    fn pulls(&self, id: ReferenceId) -> bool {
        match &self.strengths[id.0] {
            Strength::Strong | Strength::Forbidden => true,
            Strength::Weak(detachment) => !detachment.checks.is_empty(),
        }
    }

    fn reach(&self) -> BTreeSet<TableId> {
        let mut children: BTreeMap<TableId, Vec<TableId>> = BTreeMap::new();
        for id in self.schema.reference_ids().filter(|id| self.pulls(*id)) {
            let reference = self.schema.reference(id);
            children.entry(reference.parent).or_default().push(reference.child);
        }
        let mut reached: BTreeSet<TableId> = self.roots.iter().copied().collect();
        let mut todo: Vec<TableId> = self.roots.to_vec();
        while let Some(table) = todo.pop() {
            for child in children.get(&table).into_iter().flatten() {
                if reached.insert(*child) {
                    todo.push(*child);
                }
            }
        }
        reached
    }

    fn inner(&self) -> impl Iterator<Item = ReferenceId> {
        self.schema.reference_ids().filter(|id| {
            let reference = self.schema.reference(*id);
            self.reached.contains(&reference.child) && self.reached.contains(&reference.parent)
        })
    }

    fn references_of(&self, table: TableId) -> impl Iterator<Item = ReferenceId> {
        self.from.get(&table).into_iter().flatten().copied()
    }

    /// Strongly connected groups of tables, parents first; among groups that could come next, one whose
    /// weak parents are complete is preferred, so that few references end up `late`.
    fn order(&self) -> Vec<Vec<TableId>> {
        let mut graph: DiGraphMap<usize, ()> = DiGraphMap::new();
        for table in &self.reached {
            graph.add_node(table.0);
        }
        for id in self.inner().filter(|id| self.pulls(*id)) {
            let reference = self.schema.reference(id);
            graph.add_edge(reference.child.0, reference.parent.0, ());
        }
        let mut groups: Vec<Vec<TableId>> = tarjan_scc(&graph)
            .into_iter()
            .map(|group| {
                let mut tables: Vec<TableId> = group.into_iter().map(TableId).collect();
                tables.sort();
                tables
            })
            .collect();
        groups.sort();
        self.sort_groups(&groups)
    }

    fn sort_groups(&self, groups: &[Vec<TableId>]) -> Vec<Vec<TableId>> {
        let mut group_of = BTreeMap::new();
        for (index, group) in groups.iter().enumerate() {
            for table in group {
                group_of.insert(*table, index);
            }
        }
        let mut hard: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); groups.len()];
        let mut soft: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); groups.len()];
        for id in self.inner() {
            let reference = self.schema.reference(id);
            let (child, parent) = (group_of[&reference.child], group_of[&reference.parent]);
            if child != parent {
                let waits = if self.pulls(id) { &mut hard } else { &mut soft };
                waits[child].insert(parent);
            }
        }
        let mut left: BTreeSet<usize> = (0..groups.len()).collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let free = left.iter().copied().filter(|g| hard[*g].is_disjoint(&left));
            let next = free
                .min_by_key(|g| (soft[*g].intersection(&left).count(), *g))
                .expect("a condensation has no cycle, so some group waits for nothing");
            left.remove(&next);
            order.push(groups[next].clone());
        }
        order
    }

    fn visit(
        &self,
        table: TableId,
        position: &BTreeMap<TableId, usize>,
        late: &mut BTreeSet<ReferenceId>,
    ) -> Visit {
        let together = self.together(table);
        let mut visit = Visit { table, follows: Vec::new(), companions: Vec::new(), together };
        for id in self.references_of(table) {
            // A root keeps its own tag even when another root leads to it, so its order is settled later.
            let earlier = position[&self.schema.reference(id).parent] < position[&table]
                && !self.roots.contains(&table);
            match &self.strengths[id.0] {
                Strength::Strong | Strength::Forbidden => {
                    visit.follows.push(Follow { reference: id, only_if_check_fails: None });
                    if !earlier {
                        late.insert(id);
                    }
                }
                Strength::Weak(detachment) => {
                    if !detachment.checks.is_empty() {
                        let only_if_check_fails = Some(detachment.clone());
                        visit.follows.push(Follow { reference: id, only_if_check_fails });
                    }
                    if earlier {
                        visit.companions.push(id);
                    } else {
                        late.insert(id);
                    }
                }
            }
        }
        visit
    }

    /// Groups of weak references that share a check: all groups of up to four, beyond that pairs and the whole.
    fn together(&self, table: TableId) -> Vec<Together> {
        const EVERY_GROUP_MAX: usize = 4;
        let mut by_check: BTreeMap<usize, Vec<ReferenceId>> = BTreeMap::new();
        for id in self.references_of(table) {
            if let Strength::Weak(detachment) = &self.strengths[id.0] {
                let checks = &self.schema.table(table).checks;
                for check in detachment.checks.iter().filter(|c| mentions(&checks[**c], &detachment.columns))
                {
                    by_check.entry(*check).or_default().push(id);
                }
            }
        }
        let mut groups: BTreeMap<Vec<ReferenceId>, Vec<usize>> = BTreeMap::new();
        for (check, ids) in by_check {
            let found: Vec<_> =
                if ids.len() <= EVERY_GROUP_MAX { subsets(&ids) } else { pairs_and_whole(&ids) };
            for group in found.into_iter().filter(|group| group.len() > 1) {
                groups.entry(group).or_default().push(check);
            }
        }
        let weak = |id: ReferenceId| match &self.strengths[id.0] {
            Strength::Weak(detachment) => (id, detachment.clone()),
            Strength::Strong | Strength::Forbidden => unreachable!("only weak references were grouped"),
        };
        let together = |(ids, checks): (Vec<ReferenceId>, Vec<usize>)| Together {
            references: ids.into_iter().map(weak).collect(),
            checks,
        };
        groups.into_iter().map(together).collect()
    }

    fn stage(&self, mut visits: Vec<Visit>) -> Stage {
        let refers_to_itself = |visit: &Visit| {
            visit.follows.iter().any(|f| self.schema.reference(f.reference).parent == visit.table)
        };
        if visits.len() == 1 && !refers_to_itself(&visits[0]) {
            Stage::Once(visits.remove(0))
        } else {
            Stage::Fixpoint(visits)
        }
    }

    fn sets(&self, order: &[Vec<TableId>], late: &BTreeSet<ReferenceId>) -> Vec<KeySet> {
        let mut carried: BTreeMap<TableId, BTreeSet<ColumnIndex>> = BTreeMap::new();
        for reference in &self.schema.references {
            if self.reached.contains(&reference.parent) {
                carried.entry(reference.parent).or_default().extend(&reference.parent_columns);
            }
        }
        for id in late {
            let reference = self.schema.reference(*id);
            let columns = carried.entry(reference.child).or_default();
            columns.extend(&reference.child_columns);
            columns.extend(reference.when.iter().map(|(column, _)| *column));
        }
        order
            .iter()
            .flatten()
            .map(|table| KeySet {
                table: *table,
                carried: carried.get(table).into_iter().flatten().copied().collect(),
            })
            .collect()
    }

    fn detaches(&self) -> Vec<Detach> {
        let mut by_table: BTreeMap<TableId, Vec<(ReferenceId, Detachment)>> = BTreeMap::new();
        for id in self.schema.reference_ids() {
            let reference = self.schema.reference(id);
            if let Strength::Weak(detachment) = &self.strengths[id.0]
                && self.reached.contains(&reference.parent)
            {
                by_table.entry(reference.child).or_default().push((id, detachment.clone()));
            }
        }
        by_table.into_iter().map(|(table, references)| Detach { table, references }).collect()
    }

    fn forbidden(&self) -> Vec<ReferenceId> {
        self.inner().filter(|id| self.strengths[id.0] == Strength::Forbidden).collect()
    }
}

impl Program {
    /// The key set of a table, if the closure can reach it.
    pub fn set(&self, table: TableId) -> Option<&KeySet> {
        self.sets.iter().find(|set| set.table == table)
    }
}
