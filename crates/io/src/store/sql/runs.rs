//! Cuts a long list of tables into runs that share a statement each.
//!
//! The time that a database takes to plan one statement over many tables grows with the square of their number,
//! so hundreds of tables are better handled a few dozen at a time, where the keys between them allow it.
//!
//! Invariants
//! - runs are in the order of the list and leave nothing out;
//! - of two tables that the caller wants together, the one that is first never is in an earlier run.

use std::collections::BTreeMap;
use std::ops::Range;
use unseed_core::schema::TableId;

/// A run is ended as soon as it has so many entries and nothing keeps it open.
const ENTRIES: usize = 50;
/// Fewer entries than these are not worth a run of their own at the end.
const REST: usize = ENTRIES / 2;

/// Cuts a list, in which a table may have several entries; a pair says that what is done to the first table must
/// not be done before what is done to the second.
pub(crate) fn runs(list: &[TableId], pairs: impl Iterator<Item = (TableId, TableId)>) -> Vec<Range<usize>> {
    cut(list, pairs, (ENTRIES, REST))
}

/// Cuts it wherever nothing keeps it together.
pub(crate) fn shortest(
    list: &[TableId],
    pairs: impl Iterator<Item = (TableId, TableId)>,
) -> Vec<Range<usize>> {
    cut(list, pairs, (1, 0))
}

/// Runs of at least so many entries, and of as many at the end.
fn cut(
    list: &[TableId],
    pairs: impl Iterator<Item = (TableId, TableId)>,
    (entries, rest): (usize, usize),
) -> Vec<Range<usize>> {
    let mut places: BTreeMap<TableId, (usize, usize)> = BTreeMap::new();
    for (place, table) in list.iter().enumerate() {
        places.entry(*table).or_insert((place, place)).1 = place;
    }
    let mut open_until: Vec<usize> = (0..list.len()).collect();
    for (first, second) in pairs {
        if let (Some((from, _)), Some((_, to))) = (places.get(&first), places.get(&second)) {
            open_until[*from] = open_until[*from].max(*to);
        }
    }
    let (mut start, mut end) = (0, 0);
    let mut runs = Vec::new();
    for (place, until) in open_until.into_iter().enumerate() {
        end = end.max(until);
        let is_full = place + 1 - start >= entries && list.len() - (place + 1) >= rest;
        if end == place && is_full {
            runs.push(start..place + 1);
            start = place + 1;
        }
    }
    if start < list.len() {
        runs.push(start..list.len());
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ends` are the places behind the runs.
    #[track_caller]
    fn assert_runs(entries: usize, pairs: &[(usize, usize)], ends: &[usize]) {
        let list: Vec<TableId> = (0..entries).map(TableId).collect();
        let pairs = pairs.iter().map(|(a, b)| (TableId(*a), TableId(*b)));
        let found = runs(&list, pairs);
        assert_eq!(found.iter().map(|run| run.end).collect::<Vec<_>>(), ends);
        assert!(found.iter().map(|run| run.start).eq([0].iter().chain(ends).copied().take(ends.len())));
    }

    #[test]
    fn a_long_list_is_cut_where_nothing_holds_it_together() {
        assert_runs(0, &[], &[]);
        assert_runs(50, &[], &[50]);
        assert_runs(74, &[], &[74]);
        assert_runs(130, &[], &[50, 100, 130]);
        assert_runs(120, &[], &[50, 120]);
        assert_runs(130, &[(0, 70), (60, 80), (90, 20)], &[81, 130]);
        assert_runs(130, &[(40, 129)], &[130]);
    }

    #[test]
    fn the_shortest_runs_are_what_must_stay_together() {
        let list: Vec<TableId> = (0..6).map(TableId).collect();
        let pairs = [(1, 3), (4, 4), (5, 0)].map(|(a, b)| (TableId(a), TableId(b)));
        assert_eq!(shortest(&list, pairs.into_iter()), [0..1, 1..4, 4..5, 5..6]);
        assert!(shortest(&[], std::iter::empty()).is_empty());
    }

    #[test]
    fn entries_of_one_table_stay_together_only_if_they_must() {
        let list = [TableId(7); 130];
        assert_eq!(runs(&list, std::iter::empty()).len(), 3);
        assert_eq!(runs(&list, [(TableId(7), TableId(7))].into_iter()).len(), 1);
    }
}
