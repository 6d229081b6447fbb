//! Shapes, colours and text of the picture.
//!
//! Not here: where things stand (`graph`).

use super::{Kind, Node, Port};
use crate::ui;
use std::fmt::Write;
use unseed_core::plan::{Action, Plan, Step};

const MARGIN: f64 = 32.0;
const HEAD: f64 = 78.0;
const TITLE: f64 = 46.0;
const PORT: f64 = 16.0;
const GAP: f64 = 18.0;
const CHARACTER: f64 = 7.9;
const SMALL_CHARACTER: f64 = 6.0;
const BOX_MIN: f64 = 150.0;
const LANE: f64 = 70.0;

const STYLE: &str = "
  text { font-family: system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1d2733 }
  .title { font-size: 19px; font-weight: 600 }
  .faint { font-size: 12px; fill: #5a6775 }
  .name { font-size: 13px; font-weight: 600 }
  .rows { font-size: 12px; fill: #40505f }
  .label { font-size: 10.5px; fill: #5a6775 }
  .box { fill: #ffffff; stroke: #b9c4cf; stroke-width: 1.2 }
  .root { fill: #fdecea; stroke: #c0392b; stroke-width: 1.6 }
  .detached { fill: #fff7e3; stroke: #c28a00; stroke-dasharray: 5 3; stroke-width: 1.4 }
  .edge { fill: none; stroke: #9aa8b5; stroke-width: 1.3 }
  .weak { stroke: #c28a00; stroke-dasharray: 5 3 }
  .back { stroke: #7a5bc7; stroke-dasharray: 2 3 }
";

/// Height of a node in the picture.
pub(super) fn height(node: &Node) -> f64 {
    match node.step {
        Some(_) => TITLE + PORT * length(node.ports.len()) + if node.ports.is_empty() { 0.0 } else { 6.0 },
        None => 4.0,
    }
}

/// Space that stays free below a node.
pub(super) fn gap(node: &Node) -> f64 {
    if node.step.is_some() { GAP } else { 10.0 }
}

/// The middle of a node.
pub(super) fn middle(node: &Node) -> f64 {
    node.y + height(node) / 2.0
}

fn length(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn characters(text: &str) -> f64 {
    length(text.chars().count())
}

/// Where the columns stand.
struct Columns {
    /// Left edge and width of the boxes of each column.
    places: Vec<(f64, f64)>,
    width: f64,
}

impl Columns {
    fn new(plan: &Plan, nodes: &[Node]) -> Self {
        let count = nodes.iter().map(|node| node.layer + 1).max().unwrap_or(1);
        let mut places = Vec::new();
        let mut x = MARGIN;
        for layer in 0..count {
            let mut width: f64 = BOX_MIN;
            for node in nodes.iter().filter(|node| node.layer == layer) {
                let Some(step) = node.step.map(|step| &plan.steps[step]) else { continue };
                width = width.max(characters(&step.table) * CHARACTER + 50.0);
                width = width.max(characters(&rows_text(step)) * 6.4 + 30.0);
                for port in &node.ports {
                    width = width.max(characters(&port.label) * SMALL_CHARACTER + 34.0);
                }
            }
            places.push((x, width));
            x += width + LANE;
        }
        Self { places, width: x - LANE + MARGIN }
    }

    fn left(&self, node: &Node) -> f64 {
        self.places[node.layer].0
    }

    fn right(&self, node: &Node) -> f64 {
        let (left, width) = self.places[node.layer];
        left + width
    }
}

/// The whole picture.
pub(super) fn picture(plan: &Plan, nodes: &[Node]) -> String {
    let columns = Columns::new(plan, nodes);
    let bottom = nodes.iter().map(|node| node.y + height(node)).fold(0.0, f64::max);
    let width = columns.width.max(760.0);
    let total = HEAD + bottom + MARGIN + 26.0;
    let mut svg = String::new();
    line(
        &mut svg,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{total:.0}\" viewBox=\"0 0 {width:.0} {total:.0}\">"
        ),
    );
    line(&mut svg, format_args!("<style>{STYLE}</style>"));
    line(&mut svg, format_args!("<rect width=\"100%\" height=\"100%\" fill=\"#f6f8fa\"/>"));
    heading(&mut svg, plan);
    for node in nodes {
        for (index, port) in node.ports.iter().enumerate() {
            edge(&mut svg, plan, nodes, &columns, &End { node, port, index });
        }
    }
    for node in nodes {
        if let Some(step) = node.step {
            table(&mut svg, plan, &columns, node, step);
        }
    }
    legend(&mut svg, total - 22.0);
    svg.push_str("</svg>\n");
    svg
}

fn line(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("writing to a string cannot fail");
    svg.push('\n');
}

fn heading(svg: &mut String, plan: &Plan) {
    let title = format!(
        "plan {}: {} leave because of {}",
        plan.id,
        ui::rows(plan.rows_deleted()),
        ui::counted(plan.root_count(), "root")
    );
    line(svg, format_args!("<text class=\"title\" x=\"{MARGIN}\" y=\"36\">{}</text>", escaped(&title)));
    let what = "the number in a box is its turn: tables are removed in this order, children before parents";
    line(svg, format_args!("<text class=\"faint\" x=\"{MARGIN}\" y=\"56\">{what}</text>"));
}

fn legend(svg: &mut String, y: f64) {
    let mut x = MARGIN;
    for (class, text) in
        [("root", "chosen"), ("box", "leaves with them"), ("detached", "stays, its reference is set to null")]
    {
        line(
            svg,
            format_args!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{:.1}\" width=\"16\" height=\"11\" rx=\"3\"/>",
                y - 10.0
            ),
        );
        line(svg, format_args!("<text class=\"faint\" x=\"{:.1}\" y=\"{y:.1}\">{text}</text>", x + 22.0));
        x += 46.0 + characters(text) * 6.3;
    }
    line(svg, format_args!("<path class=\"edge back\" d=\"M{x:.1},{:.1} h22\"/>", y - 4.0));
    line(
        svg,
        format_args!("<text class=\"faint\" x=\"{:.1}\" y=\"{y:.1}\">part of a cycle</text>", x + 28.0),
    );
}

fn rows_text(step: &Step) -> String {
    match step.action {
        Action::Delete => format!("{} of {} rows leave", ui::count(step.rows), ui::count(step.of)),
        Action::Clear => format!("{} of {} entries leave", ui::count(step.rows), ui::count(step.of)),
        Action::Detach => format!("{} of {} rows are detached", ui::count(step.rows), ui::count(step.of)),
    }
}

fn table(svg: &mut String, plan: &Plan, columns: &Columns, node: &Node, index: usize) {
    let step = &plan.steps[index];
    let (x, y) = (columns.left(node), HEAD + node.y);
    let (width, tall) = (columns.right(node) - x, height(node));
    let class = match step.action {
        Action::Detach => "detached",
        Action::Delete if plan.roots.iter().any(|roots| roots.table == step.table) => "root",
        Action::Delete | Action::Clear => "box",
    };
    line(
        svg,
        format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{tall:.1}\" rx=\"7\"/>"
        ),
    );
    line(
        svg,
        format_args!(
            "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 12.0,
            y + 19.0,
            escaped(&step.table)
        ),
    );
    line(
        svg,
        format_args!(
            "<text class=\"rows\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 12.0,
            y + 36.0,
            rows_text(step)
        ),
    );
    line(
        svg,
        format_args!(
            "<text class=\"faint\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + width - 9.0,
            y + 19.0,
            index + 1
        ),
    );
    for (number, port) in node.ports.iter().enumerate() {
        let mark = if port.kind == Kind::Loop { "↻ " } else { "" };
        line(
            svg,
            format_args!(
                "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{mark}{}</text>",
                x + 12.0,
                port_y(node, number) + 3.5,
                escaped(&port.label)
            ),
        );
    }
}

/// The height at which a reference enters its table.
fn port_y(node: &Node, index: usize) -> f64 {
    HEAD + node.y + TITLE + PORT * (length(index) + 0.5)
}

/// Where a reference ends.
struct End<'a> {
    node: &'a Node,
    port: &'a Port,
    index: usize,
}

fn edge(svg: &mut String, plan: &Plan, nodes: &[Node], columns: &Columns, end: &End<'_>) {
    let (x, y) = (columns.left(end.node), port_y(end.node, end.index));
    let weak = end.node.step.is_some_and(|step| plan.steps[step].action == Action::Detach);
    let Some(parent) = end.port.from.first().map(|index| &nodes[*index]) else { return };
    match end.port.kind {
        Kind::Loop => {}
        Kind::Back => {
            let (from, from_y) = (columns.right(parent), HEAD + middle(parent));
            let right = columns.right(end.node);
            let out = from.max(right) + LANE * 0.6;
            line(
                svg,
                format_args!(
                    "<path class=\"edge back\" d=\"M{from:.1},{from_y:.1} C{out:.1},{from_y:.1} {out:.1},{y:.1} {right:.1},{y:.1}\"/>"
                ),
            );
        }
        Kind::Forward => {
            let mut path = String::new();
            let mut at = (columns.right(parent), HEAD + middle(parent));
            write!(path, "M{:.1},{:.1}", at.0, at.1).expect("writing to a string cannot fail");
            for waypoint in end.port.from.iter().skip(1).map(|index| &nodes[*index]) {
                let y = HEAD + middle(waypoint);
                curve(&mut path, at, (columns.left(waypoint), y));
                at = (columns.right(waypoint), y);
                write!(path, " L{:.1},{:.1}", at.0, at.1).expect("writing to a string cannot fail");
            }
            curve(&mut path, at, (x, y));
            let class = if weak { "edge weak" } else { "edge" };
            line(svg, format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
            line(
                svg,
                format_args!(
                    "<path d=\"M{x:.1},{y:.1} l-6,-3.2 v6.4 z\" fill=\"{}\"/>",
                    if weak { "#c28a00" } else { "#9aa8b5" }
                ),
            );
        }
    }
}

fn curve(path: &mut String, from: (f64, f64), to: (f64, f64)) {
    let bend = (to.0 - from.0) / 2.0;
    write!(
        path,
        " C{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}",
        from.0 + bend,
        from.1,
        to.0 - bend,
        to.1,
        to.0,
        to.1
    )
    .expect("writing to a string cannot fail");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
