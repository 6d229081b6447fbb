//! What people give the command line to read, for the fuzzer: keys, predicates, reports.

use super::{choose, scan};

/// Reads a text as every argument that has a form of its own.
pub fn arguments(text: &str) {
    drop(choose::by_predicate(text));
    drop(choose::protection(text));
    drop(choose::reference(text));
    drop(choose::keys(text.as_bytes()));
    drop(scan::explain::asked(text));
}

/// Reads bytes as the report of a scan, as findings and as a baseline; how many tables its findings are of.
pub fn report(bytes: &[u8]) -> Option<usize> {
    drop(scan::baseline::read_from(bytes));
    choose::by_report(bytes).ok().map(|choices| choices.len())
}
