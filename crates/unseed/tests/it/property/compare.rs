//! Comparing what a database holds with what it should hold.

use std::collections::BTreeMap;

/// Rows as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// What the model knows, by table; each table sorted.
    pub(super) rows: BTreeMap<String, Vec<String>>,
    /// Every column of every table, of those too that no purge may touch; sorted.
    pub(super) whole: Vec<String>,
}

/// Says which rows are only on one side.
pub(super) fn same_rows(
    what: &str,
    expected: &BTreeMap<String, Vec<String>>,
    found: &BTreeMap<String, Vec<String>>,
) -> Result<(), String> {
    let flat = |content: &BTreeMap<String, Vec<String>>| -> Vec<String> {
        content
            .iter()
            .flat_map(|(table, rows)| rows.iter().map(move |row| format!("{table} {row}")))
            .collect()
    };
    same_lines(what, &flat(expected), &flat(found))
}

/// The same for lines.
pub(super) fn same_lines(what: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    let count = |lines: &[String]| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        lines.iter().for_each(|line| *counts.entry(line.clone()).or_default() += 1);
        counts
    };
    let (expected, found) = (count(expected), count(found));
    let mut text = String::new();
    for (line, n) in &expected {
        let less = n.saturating_sub(found.get(line).copied().unwrap_or(0));
        text.push_str(&format!("  missing  {line}\n").repeat(less));
    }
    for (line, n) in &found {
        let more = n.saturating_sub(expected.get(line).copied().unwrap_or(0));
        text.push_str(&format!("  too many {line}\n").repeat(more));
    }
    if text.is_empty() { Ok(()) } else { Err(format!("{what}\n{text}")) }
}
