//! Batches: how tags are packed into transactions.
//!
//! A tag is a group of roots with everything that leaves because of them. Consecutive tags share a batch
//! until the row budget is reached; tags that must not be apart are joined first.
//!
//! Invariants
//! - every tag is in exactly one batch, and batches are in tag order;
//! - two tags joined by [`Tags::joined`] are in the same batch, and so are all between them;
//! - a batch is over budget only if one indivisible run of tags is;
//! - of several large batches the first is small: nothing is removed while it is archived, and its statements find
//!   nothing in memory yet.

use crate::port::store::{TagRange, Tags};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A batch and the rows expected in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub tags: TagRange,
    pub rows: u64,
}

/// Batches of at least this many rows begin with a smaller one.
const LARGE_ROWS_MIN: u64 = 100_000;

/// Packs tags into batches of about `batch_rows_max` rows.
pub fn pack(tags: &Tags, batch_rows_max: u64) -> Vec<Batch> {
    let rows: u64 = tags.rows.iter().map(|(_, rows)| rows).sum();
    let first_max = if batch_rows_max >= LARGE_ROWS_MIN && rows > batch_rows_max {
        batch_rows_max / 3
    } else {
        batch_rows_max
    };
    let mut batches: Vec<Batch> = Vec::new();
    for run in runs(tags) {
        let rows_max = if batches.len() <= 1 { first_max } else { batch_rows_max };
        match batches.last_mut() {
            Some(last) if last.rows + run.rows <= rows_max => {
                last.tags.last = run.tags.last;
                last.rows += run.rows;
            }
            Some(_) | None => batches.push(run),
        }
    }
    batches
}

/// How many roots share a tag, so that a batch is a few tags and no tag is much over budget.
pub fn roots_per_tag(roots: u64, rows: u64, batch_rows_max: u64) -> u64 {
    const TAGS_PER_BATCH: u64 = 8;
    let rows_per_root = rows.div_ceil(roots.max(1)).max(1);
    (batch_rows_max / TAGS_PER_BATCH / rows_per_root).max(1)
}

/// An order of `count` roots in which a root that refers to another comes before it.
///
/// `pairs` are (referring, referred) positions. Roots that refer to each other in a ring keep their order;
/// [`pack`] joins them. Kahn's algorithm, always taking the lowest position that is free.
pub fn referring_first(count: usize, pairs: &[(usize, usize)]) -> Vec<usize> {
    let mut waiting = vec![0_usize; count];
    let mut leads: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (referring, referred) in pairs.iter().filter(|(a, b)| a != b && *a < count && *b < count) {
        waiting[*referred] += 1;
        leads.entry(*referring).or_default().push(*referred);
    }
    let mut free: BTreeSet<usize> = (0..count).filter(|n| waiting[*n] == 0).collect();
    let mut left: BTreeSet<usize> = (0..count).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(next) = free.pop_first().or_else(|| left.first().copied()) {
        if !left.remove(&next) {
            continue;
        }
        order.push(next);
        for referred in leads.get(&next).into_iter().flatten() {
            waiting[*referred] = waiting[*referred].saturating_sub(1);
            if waiting[*referred] == 0 && left.contains(referred) {
                free.insert(*referred);
            }
        }
    }
    order
}

/// Indivisible runs of tags: single ones, or ranges that `joined` pairs span.
fn runs(tags: &Tags) -> Vec<Batch> {
    let mut spans: Vec<(u64, u64)> =
        tags.joined.iter().map(|(a, b)| (*a.min(b), *a.max(b))).filter(|(a, b)| a != b).collect();
    spans.sort_unstable();
    let mut runs: Vec<Batch> = Vec::new();
    let mut reach = None;
    let mut spans = spans.into_iter().peekable();
    for (tag, rows) in &tags.rows {
        let inside = reach.is_some_and(|end| *tag <= end);
        while let Some((start, end)) = spans.peek().copied() {
            if start > *tag {
                break;
            }
            reach = Some(reach.map_or(end, |r: u64| r.max(end)));
            spans.next();
        }
        match runs.last_mut() {
            Some(run) if inside => {
                run.tags.last = *tag;
                run.rows += rows;
            }
            Some(_) | None => runs.push(Batch { tags: TagRange { first: *tag, last: *tag }, rows: *rows }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(rows: &[u64], joined: &[(u64, u64)]) -> Tags {
        let rows = (0..).zip(rows.iter().copied()).collect();
        Tags { rows, joined: joined.to_vec() }
    }

    fn ranges(batches: &[Batch]) -> Vec<(u64, u64, u64)> {
        batches.iter().map(|b| (b.tags.first, b.tags.last, b.rows)).collect()
    }

    #[test]
    fn tags_share_a_batch_up_to_the_budget() {
        assert_eq!(
            ranges(&pack(&tags(&[4, 4, 4, 9, 1], &[]), 8)),
            [(0, 1, 8), (2, 2, 4), (3, 3, 9), (4, 4, 1)]
        );
    }

    #[test]
    fn the_first_of_several_large_batches_is_small() {
        let tags_of = |count: usize| tags(&vec![20_000; count], &[]);
        let rows = |count: usize| pack(&tags_of(count), 120_000).iter().map(|b| b.rows).collect::<Vec<_>>();
        assert_eq!(rows(6), [120_000]);
        assert_eq!(rows(15), [40_000, 120_000, 120_000, 20_000]);
        assert!(pack(&tags(&[60_000, 60_000, 60_000], &[]), 99_999).iter().all(|b| b.rows == 60_000));
    }

    #[test]
    fn joined_tags_and_all_between_them_share_a_batch() {
        let joined = [(3, 1), (2, 4)];
        assert_eq!(ranges(&pack(&tags(&[5, 5, 5, 5, 5, 5], &joined), 6)), [(0, 0, 5), (1, 4, 20), (5, 5, 5)]);
    }

    #[test]
    fn a_root_that_refers_to_another_goes_first() {
        assert_eq!(referring_first(4, &[(2, 0), (3, 2)]), [1, 3, 2, 0]);
    }

    #[test]
    fn roots_in_a_ring_keep_their_order() {
        assert_eq!(referring_first(3, &[(0, 1), (1, 0), (2, 2)]), [2, 0, 1]);
    }

    #[test]
    fn no_rows_make_no_batch() {
        assert!(pack(&Tags::default(), 10).is_empty());
    }

    #[test]
    fn a_tag_is_a_fraction_of_a_batch() {
        assert_eq!(roots_per_tag(20_000, 2_000_000, 160_000), 200);
        assert_eq!(roots_per_tag(3, 3_000_000, 1000), 1);
        assert_eq!(roots_per_tag(0, 0, 1000), 125);
    }
}
