//! Hard cases written by hand: one a line, `truth kind source name slug mail phone`, separated by tabs.

use super::{Part, Record};

const CASES: &str = include_str!("cases.tsv");

/// The cases of a part: every other one of each source.
pub(super) fn records(part: Part) -> Vec<Record> {
    let lines = CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mine = lines.enumerate().filter(|(n, _)| n.is_multiple_of(2) == (part == Part::Train));
    mine.map(|(_, line)| record(line)).collect()
}

fn record(line: &str) -> Record {
    let mut fields = line.split('\t').map(|field| if field == "-" { "" } else { field });
    let mut next = || fields.next().unwrap_or("").to_owned();
    let (truth, kind, source) = (next(), next(), next());
    assert!(matches!(truth.as_str(), "test" | "real"), "`{line}` has no truth");
    Record {
        is_test: truth == "test",
        kind: if kind == "tenant" { "tenant" } else { "user" },
        source: format!("by hand: {source}"),
        name: next(),
        slug: next(),
        email: next(),
        phone: next(),
    }
}
