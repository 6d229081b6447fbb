//! Positions of roots: which roots of a plan a batch covers, and which are left.
//!
//! Roots are numbered over all tables of a plan, in its order. A batch keeps the ranges it covers, so that a
//! run can go on after any set of committed batches.
//!
//! Invariants
//! - ranges are inclusive, ascending and do not overlap;
//! - a tag covers `roots_per_tag` consecutive roots of the request it was made for.

use unseed_core::plan::RootSet;
use unseed_core::port::store::TagRange;

/// Roots that no committed batch covers, with their positions in the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remaining {
    pub(crate) sets: Vec<RootSet>,
    positions: Vec<u64>,
}

impl Remaining {
    /// The roots of a plan without those in the covered ranges.
    pub(crate) fn new(roots: &[RootSet], covered: &[(u64, u64)]) -> Self {
        let mut remaining = Self::default();
        let mut position = 0;
        for set in roots {
            let mut left = RootSet { table: set.table, columns: set.columns.clone(), rows: Vec::new() };
            for row in &set.rows {
                if !covered.iter().any(|(first, last)| (*first..=*last).contains(&position)) {
                    left.rows.push(row.clone());
                    remaining.positions.push(position);
                }
                position += 1;
            }
            if !left.rows.is_empty() {
                remaining.sets.push(left);
            }
        }
        remaining
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.positions.len()).expect("a length fits 64 bits")
    }

    /// Positions in the plan that a range of tags covers.
    pub(crate) fn ranges(&self, tags: TagRange, roots_per_tag: u64) -> Vec<(u64, u64)> {
        let index = |tag: u64| usize::try_from(tag.saturating_mul(roots_per_tag)).unwrap_or(usize::MAX);
        let end = index(tags.last.saturating_add(1)).min(self.positions.len());
        let start = index(tags.first).min(end);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for position in &self.positions[start..end] {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *position => *last = *position,
                Some(_) | None => ranges.push((*position, *position)),
            }
        }
        ranges
    }
}

/// The roots at the given positions.
pub(crate) fn select(roots: &[RootSet], ranges: &[(u64, u64)]) -> Vec<RootSet> {
    let total: u64 = roots.iter().map(|set| u64::try_from(set.rows.len()).unwrap_or(u64::MAX)).sum();
    let mut others = Vec::new();
    let mut next = 0;
    for (first, last) in ranges {
        if *first > next {
            others.push((next, first - 1));
        }
        next = last + 1;
    }
    if next < total {
        others.push((next, total - 1));
    }
    Remaining::new(roots, &others).sets
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
    use unseed_core::plan::{RootRow, RootSet};
    use unseed_core::port::store::TagRange;
    use unseed_core::schema::TableId;

    fn sets(sizes: &[u64]) -> Vec<RootSet> {
        let mut number = 0..;
        let mut row =
            || RootRow { key: vec![number.next().unwrap_or(0_u64).to_string()], version: String::new() };
        let rows = |size: u64, row: &mut dyn FnMut() -> RootRow| (0..size).map(|_| row()).collect();
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
