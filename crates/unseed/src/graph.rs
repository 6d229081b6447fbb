//! A plan's closure as a picture: tables from left to right, roots first, each with its rows and with the
//! references by which rows of it leave.
//!
//! The way is a small layered layout: columns by the longest way from a root, waypoints for references that
//! skip a column, then a few sweeps that move every table towards its neighbours.
//!
//! Invariants
//! - the same plan gives the same picture, byte for byte;
//! - every label stands on a line of its own beside the table it leads to, so that none covers another.
//!
//! Not here: the drawing itself (`graph::draw`).

mod draw;

use std::collections::BTreeMap;
use unseed_core::plan::{Action, Plan, Step};

/// Sweeps that bring neighbours close; more change little.
const SWEEPS: usize = 12;

/// A table, or a waypoint of a reference that skips columns.
#[derive(Debug, Clone)]
struct Node {
    /// Index into the plan's steps; none for waypoints.
    step: Option<usize>,
    layer: usize,
    /// References that lead here, each with a line of its own.
    ports: Vec<Port>,
    y: f64,
}

#[derive(Debug, Clone)]
struct Port {
    label: String,
    kind: Kind,
    /// Nodes from the parent to the one before this, waypoints included.
    from: Vec<usize>,
}

/// How a reference runs through the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Forward,
    /// Within a cycle, back to a table further left or in the same column.
    Back,
    /// To the table itself.
    Loop,
}

/// A reference between two steps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    parent: usize,
    child: usize,
    label: String,
}

/// Draws a plan as SVG.
pub fn svg(plan: &Plan) -> String {
    let edges = edges(plan);
    let layers = layers(plan, &edges);
    let nodes = place(&edges, &layers);
    draw::picture(plan, &nodes)
}

/// The references that the steps name, as far as both ends are steps.
fn edges(plan: &Plan) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (child, step) in plan.steps.iter().enumerate() {
        for text in step.via.split("; ") {
            let Some((left, right)) = text.split_once(" → ") else { continue };
            let (target, rule) = right.rsplit_once(" (").unwrap_or((right, ""));
            let columns = column_part(left, &step.table);
            let rule = match step.action {
                Action::Delete | Action::Clear => rule.trim_end_matches(')'),
                Action::Detach => "detach",
            };
            for parent in parents(plan, target) {
                edges.push(Edge { parent, child, label: format!("{columns} · {rule}") });
            }
        }
    }
    edges.sort();
    edges.dedup();
    edges
}

/// What follows the table's own name in `users.tenant_id`.
fn column_part<'a>(text: &'a str, table: &str) -> &'a str {
    let own = table.rsplit('.').next().unwrap_or(table);
    text.strip_prefix(own).and_then(|rest| rest.strip_prefix('.')).unwrap_or(text)
}

/// The delete steps of the table that `tenants.id` speaks of.
fn parents<'a>(plan: &'a Plan, target: &'a str) -> impl Iterator<Item = usize> + 'a {
    plan.steps.iter().enumerate().filter_map(move |(index, step)| {
        let own = step.table.rsplit('.').next().unwrap_or(&step.table);
        let named = target.strip_prefix(own).is_some_and(|rest| rest.starts_with('.'));
        (named && step.action == Action::Delete).then_some(index)
    })
}

/// The column of every step: the longest way from a root, without the references that close a cycle.
fn layers(plan: &Plan, edges: &[Edge]) -> Vec<usize> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); plan.steps.len()];
    for edge in edges.iter().filter(|edge| edge.parent != edge.child) {
        children[edge.parent].push(edge.child);
    }
    let mut walk =
        Walk { children, seen: vec![Seen::Never; plan.steps.len()], finished: Vec::new(), kept: Vec::new() };
    let chosen = |step: &Step| plan.roots.iter().any(|roots| roots.table == step.table);
    let starts = (0..plan.steps.len()).rev();
    for start in starts.clone().filter(|i| chosen(&plan.steps[*i])).chain(starts.clone()) {
        walk.from(start);
    }
    let mut layers = vec![0; plan.steps.len()];
    for parent in walk.finished.iter().rev() {
        for (_, child) in walk.kept.iter().filter(|(from, _)| from == parent) {
            layers[*child] = layers[*child].max(layers[*parent] + 1);
        }
    }
    layers
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Never,
    /// On the way that is being walked: a reference back to it closes a cycle.
    OnTheWay,
    Finished,
}

/// A walk along the references, roots first.
struct Walk {
    children: Vec<Vec<usize>>,
    seen: Vec<Seen>,
    /// Steps in the order in which all behind them was walked.
    finished: Vec<usize>,
    /// References that close no cycle.
    kept: Vec<(usize, usize)>,
}

impl Walk {
    fn from(&mut self, start: usize) {
        if self.seen[start] != Seen::Never {
            return;
        }
        // The depth is that of the schema, which may be hundreds of tables: no recursion.
        self.seen[start] = Seen::OnTheWay;
        let mut way = vec![(start, 0)];
        while let Some((step, next)) = way.last_mut() {
            let step = *step;
            let Some(child) = self.children[step].get(*next).copied() else {
                self.seen[step] = Seen::Finished;
                self.finished.push(step);
                way.pop();
                continue;
            };
            *next += 1;
            match self.seen[child] {
                Seen::OnTheWay => {}
                Seen::Finished => self.kept.push((step, child)),
                Seen::Never => {
                    self.kept.push((step, child));
                    self.seen[child] = Seen::OnTheWay;
                    way.push((child, 0));
                }
            }
        }
    }
}

fn place(edges: &[Edge], layers: &[usize]) -> Vec<Node> {
    let mut nodes: Vec<Node> = layers
        .iter()
        .enumerate()
        .map(|(step, layer)| Node { step: Some(step), layer: *layer, ports: Vec::new(), y: 0.0 })
        .collect();
    for edge in edges {
        let (from, to) = (nodes[edge.parent].layer, nodes[edge.child].layer);
        let kind = if edge.parent == edge.child {
            Kind::Loop
        } else if from < to {
            Kind::Forward
        } else {
            Kind::Back
        };
        let mut way = vec![edge.parent];
        if kind == Kind::Forward {
            for layer in from + 1..to {
                way.push(nodes.len());
                nodes.push(Node { step: None, layer, ports: Vec::new(), y: 0.0 });
            }
        }
        nodes[edge.child].ports.push(Port { label: edge.label.clone(), kind, from: way });
    }
    arrange(&mut nodes);
    nodes
}

/// Orders every column and gives each node its height in the picture.
fn arrange(nodes: &mut [Node]) {
    let mut columns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        columns.entry(node.layer).or_default().push(index);
    }
    let neighbours = neighbours(nodes);
    for column in columns.values() {
        stack(nodes, column, 0.0);
    }
    for _ in 0..SWEEPS {
        for column in columns.values_mut() {
            let mut wanted: Vec<(f64, usize)> =
                column.iter().map(|index| (wish(nodes, &neighbours[*index], *index), *index)).collect();
            wanted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            *column = wanted.iter().map(|(_, index)| *index).collect();
            settle(nodes, &wanted);
        }
    }
    let top = nodes.iter().map(|node| node.y).fold(f64::INFINITY, f64::min);
    for node in nodes.iter_mut() {
        node.y -= top;
    }
}

/// Every node's neighbours left and right.
fn neighbours(nodes: &[Node]) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for port in node.ports.iter().filter(|port| port.kind == Kind::Forward) {
            let way: Vec<usize> = port.from.iter().copied().chain([index]).collect();
            for pair in way.windows(2) {
                found[pair[0]].push(pair[1]);
                found[pair[1]].push(pair[0]);
            }
        }
    }
    found
}

/// The height a node would like: the middle of its neighbours.
fn wish(nodes: &[Node], neighbours: &[usize], own: usize) -> f64 {
    let mut sum = 0.0;
    let mut count = 0.0;
    for other in neighbours {
        sum += draw::middle(&nodes[*other]);
        count += 1.0;
    }
    if count > 0.0 { sum / count } else { draw::middle(&nodes[own]) }
}

/// Gives each node of a column the height it wants, pushed apart where two want the same.
fn settle(nodes: &mut [Node], wanted: &[(f64, usize)]) {
    let mut free = f64::NEG_INFINITY;
    for (middle, index) in wanted {
        let height = draw::height(&nodes[*index]);
        let y = (middle - height / 2.0).max(free);
        nodes[*index].y = y;
        free = y + height + draw::gap(&nodes[*index]);
    }
    // Pushing only downwards would let columns drift, so the whole column moves back to where it is wanted.
    let mut drift = 0.0;
    let mut count = 0.0;
    for (middle, index) in wanted {
        drift += draw::middle(&nodes[*index]) - middle;
        count += 1.0;
    }
    for (_, index) in wanted {
        nodes[*index].y -= drift / count;
    }
}

fn stack(nodes: &mut [Node], column: &[usize], top: f64) {
    let mut y = top;
    for index in column {
        nodes[*index].y = y;
        y += draw::height(&nodes[*index]) + draw::gap(&nodes[*index]);
    }
}

#[cfg(test)]
#[path = "graph/tests.rs"]
mod tests;
