//! Positions of roots: which roots of a plan a batch covers, and which are left.
//!
//! Roots are numbered over all tables of a plan, in its order. A batch keeps the ranges it covers, so that a
//! run can go on after any set of committed batches.
//!
//! Invariants
//! - ranges are inclusive, ascending and do not overlap;
//! - a tag covers `roots_per_tag` consecutive roots of the request it was made for.

use unseed_core::plan::{RootRows, RootSet};
use unseed_core::port::store::TagRange;

/// Roots that no committed batch covers, with their positions in the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remaining {
    pub(crate) sets: Vec<RootSet>,
    /// Their positions, as ranges.
    free: Vec<(u64, u64)>,
}

impl Remaining {
    /// The roots of a plan without those in the covered ranges.
    pub(crate) fn new(roots: &[RootSet], covered: &[(u64, u64)]) -> Self {
        let free = others(roots, covered);
        let mut sets = Vec::new();
        let mut first = 0;
        for set in roots {
            let behind = first + set.rows.count();
            let is_whole = free.iter().any(|(from, to)| *from <= first && behind <= *to + 1);
            // What is left whole is shared with the plan.
            let rows = if is_whole { set.rows.clone() } else { rows_at(&set.rows, first, &free) };
            if !rows.is_empty() {
                sets.push(RootSet { table: set.table, columns: set.columns.clone(), rows });
            }
            first = behind;
        }
        Self { sets, free }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        self.free.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Positions in the plan that a range of tags covers.
    pub(crate) fn ranges(&self, tags: TagRange, roots_per_tag: u64) -> Vec<(u64, u64)> {
        let start = tags.first.saturating_mul(roots_per_tag);
        let behind = tags.last.saturating_add(1).saturating_mul(roots_per_tag);
        let mut ranges = Vec::new();
        // How many roots are left before the range that is looked at.
        let mut before = 0;
        for (first, last) in &self.free {
            let rows = last - first + 1;
            let (from, to) = (start.clamp(before, before + rows), behind.clamp(before, before + rows));
            if from < to {
                ranges.push((first + from - before, first + to - before - 1));
            }
            before += rows;
        }
        ranges
    }
}

/// The roots at the given positions.
pub(crate) fn select(roots: &[RootSet], ranges: &[(u64, u64)]) -> Vec<RootSet> {
    Remaining::new(roots, &others(roots, ranges)).sets
}

/// The positions of roots outside of these ranges.
fn others(roots: &[RootSet], ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let total: u64 = roots.iter().map(|set| set.rows.count()).sum();
    let mut others = Vec::new();
    let mut next = 0;
    for (first, last) in merged(ranges.to_vec()) {
        if first > next {
            others.push((next, first - 1));
        }
        next = last + 1;
    }
    if next < total {
        others.push((next, total - 1));
    }
    others
}

/// The roots of a set, whose first has this position, at positions within these ranges.
fn rows_at(rows: &RootRows, first: u64, ranges: &[(u64, u64)]) -> RootRows {
    let mut ranges = ranges.iter().peekable();
    let mut is_in = |position: u64| {
        while ranges.next_if(|(_, last)| *last < position).is_some() {}
        ranges.peek().is_some_and(|(from, _)| *from <= position)
    };
    (first..).zip(rows).filter(|(position, _)| is_in(*position)).map(|(_, row)| row).collect()
}

/// Sorts and joins ranges, so that there are few.
pub(crate) fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
            Some(_) | None => merged.push((first, last)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::{Remaining, merged, select};
    use unseed_core::plan::{RootRow, RootRows, RootSet};
    use unseed_core::port::store::TagRange;
    use unseed_core::schema::TableId;

    fn sets(sizes: &[u64]) -> Vec<RootSet> {
        let mut number = 0..;
        let mut row =
            || RootRow { key: vec![number.next().unwrap_or(0_u64).to_string()], version: String::new() };
        let rows =
            |size: u64, row: &mut dyn FnMut() -> RootRow| (0..size).map(|_| row()).collect::<RootRows>();
        (0..)
            .zip(sizes)
            .map(|(t, s)| RootSet { table: TableId(t), columns: vec![0], rows: rows(*s, &mut row) })
            .collect()
    }

    fn keys(sets: &[RootSet]) -> Vec<String> {
        sets.iter().flat_map(|s| &s.rows).map(|r| r.key.join(",")).collect()
    }

    #[test]
    fn covered_roots_are_left_out_and_the_rest_keep_their_positions() {
        let remaining = Remaining::new(&sets(&[4, 4]), &[(1, 2), (4, 4)]);
        assert_eq!(keys(&remaining.sets), ["0", "3", "5", "6", "7"]);
        assert_eq!(remaining.len(), 5);
        assert_eq!(remaining.ranges(TagRange { first: 0, last: 0 }, 2), [(0, 0), (3, 3)]);
        assert_eq!(remaining.ranges(TagRange { first: 1, last: 9 }, 2), [(5, 7)]);
    }

    #[test]
    fn selected_roots_are_those_of_the_ranges() {
        assert_eq!(keys(&select(&sets(&[4, 4]), &[(1, 2), (4, 4)])), ["1", "2", "4"]);
        assert!(select(&sets(&[4, 4]), &[]).is_empty());
    }

    #[test]
    fn touching_ranges_become_one() {
        assert_eq!(merged(vec![(5, 7), (0, 1), (2, 3), (6, 9)]), [(0, 3), (5, 9)]);
    }
}
