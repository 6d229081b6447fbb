//! Counts of a group, as the statements of all SQL stores return them.
//!
//! Not here: the statements, which differ in how they read days and hours.

use unseed_core::port::scan::Tally;

/// The counts in a row of text: `keys` values of the group, then rows, marked, paid, days, first, last and hours.
pub(crate) fn of_row<'a>(row: &'a [Option<&'a str>], keys: usize) -> Tally<'a> {
    let cell = |n: usize| row.get(keys + n).copied().flatten();
    let number = |n: usize| cell(n).and_then(|text| text.parse().ok()).unwrap_or(0);
    Tally {
        key: &row[..keys],
        rows: number(0),
        marked: number(1),
        paid: number(2),
        days: number(3),
        first: cell(4),
        last: cell(5),
        hours: cell(6).and_then(|text| text.parse().ok()).unwrap_or(0),
    }
}
