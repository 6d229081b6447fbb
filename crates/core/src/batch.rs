//! Batches: how tags are packed into transactions.
//!
//! A tag is a group of roots with everything that leaves because of them. Consecutive tags share a batch
//! until the row budget is reached; tags that must not be apart are joined first.
//!
//! Invariants
//! - every tag is in exactly one batch, and batches are in tag order;
//! - two tags joined by [`Tags::joined`] are in the same batch, and so are all between them;
//! - a batch is over budget only if one indivisible run of tags is;
//! - what is learned of earlier batches changes the size of later ones, never which tags belong together.

use crate::port::store::{TagRange, Tags};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A batch and the rows expected in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub tags: TagRange,
    pub rows: u64,
}

/// Budgets of at least this many rows begin with smaller batches, and shrink where batches take too long.
const LARGE_ROWS_MIN: u64 = 20_000;
/// So long a batch should hold its locks, in milliseconds: less than the half second that others should wait at most,
/// since batches differ.
const HOLD_MS_MAX: u64 = 350;
/// Less than this part of the budget is never aimed at: each batch has costs of its own.
const SHRINK_MAX: u64 = 3;

/// Packs tags into batches, one after the other, of about as many rows as may leave at once.
#[derive(Debug, Clone)]
pub struct Packer {
    runs: VecDeque<Batch>,
    rows_left: u64,
    rows_max: u64,
    /// What the next batch should hold.
    budget: u64,
    packed: u64,
}

impl Packer {
    /// Batches of `batch_rows_max` rows at most, of all tags.
    pub fn new(tags: &Tags, batch_rows_max: u64) -> Self {
        let runs: VecDeque<Batch> = runs(tags).into();
        let rows_left = runs.iter().map(|run| run.rows).sum();
        Self { runs, rows_left, rows_max: batch_rows_max, budget: batch_rows_max, packed: 0 }
    }

    /// Learns that a batch of so many rows held its locks for so long; what is packed from now on holds them for
    /// about as long as it should, whatever the machine.
    pub fn learn(&mut self, rows: u64, held_ms: u64) {
        if self.rows_max < LARGE_ROWS_MIN {
            return;
        }
        let fitting = rows.saturating_mul(HOLD_MS_MAX) / held_ms.max(1);
        let fitting = fitting.clamp(self.rows_max / SHRINK_MAX, self.rows_max);
        // One batch may have been slow or quick for reasons of its own; but the budget that nothing was known of counts
        // for nothing where even a part of it took too long.
        let nothing_known = self.packed == 1 && held_ms > HOLD_MS_MAX;
        self.budget = if nothing_known { fitting } else { self.budget.midpoint(fitting) };
    }

    /// About how many batches are left.
    pub fn batches_left(&self) -> u64 {
        self.rows_left.div_ceil(self.budget.max(1)).max(u64::from(!self.runs.is_empty()))
    }

    /// The rows that the next batch should hold at most. Of several large ones the first are small: nothing is
    /// removed while the first is archived, its statements find nothing in memory yet, and nothing has been learned.
    fn next_rows_max(&self) -> u64 {
        match self.packed {
            n @ (0 | 1) if self.rows_max >= LARGE_ROWS_MIN && self.rows_left > self.budget => {
                self.budget * (n + 1) / 3
            }
            _ => self.budget,
        }
    }
}

impl Iterator for Packer {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let rows_max = self.next_rows_max();
        let mut batch = self.runs.pop_front()?;
        while let Some(run) = self.runs.front().filter(|run| batch.rows + run.rows <= rows_max) {
            batch.tags.last = run.tags.last;
            batch.rows += run.rows;
            self.runs.pop_front();
        }
        self.rows_left -= batch.rows;
        self.packed += 1;
        Some(batch)
    }
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
/// [`Packer`] joins them. Kahn's algorithm, always taking the lowest position that is free.
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

    fn pack(tags: &Tags, batch_rows_max: u64) -> Vec<Batch> {
        Packer::new(tags, batch_rows_max).collect()
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
    fn the_first_of_several_large_batches_are_small() {
        let tags_of = |count: usize| tags(&vec![20_000; count], &[]);
        let rows = |count: usize| pack(&tags_of(count), 120_000).iter().map(|b| b.rows).collect::<Vec<_>>();
        assert_eq!(rows(6), [120_000]);
        assert_eq!(rows(18), [40_000, 80_000, 120_000, 120_000]);
        assert!(pack(&tags(&[6_000, 6_000, 6_000], &[]), 19_999).iter().all(|b| b.rows == 18_000));
    }

    #[test]
    fn batches_shrink_where_they_take_too_long_and_grow_again() {
        let mut packer = Packer::new(&tags(&vec![1_000; 2_000], &[]), 180_000);
        assert_eq!((packer.next().map(|b| b.rows), packer.batches_left()), (Some(60_000), 11));
        packer.learn(60_000, 210);
        assert_eq!(
            packer.next().map(|b| b.rows),
            Some(93_000),
            "two thirds of what is half way to 100,000 rows"
        );
        packer.learn(93_000, 325);
        assert_eq!(packer.next().map(|b| b.rows), Some(120_000));
        for _ in 0..20 {
            packer.learn(1, 60_000);
        }
        assert_eq!(packer.next().map(|b| b.rows), Some(60_000), "never less than a third of the most");
        for _ in 0..20 {
            packer.learn(180_000, 1);
        }
        assert_eq!(packer.next().map(|b| b.rows), Some(179_000), "never more than the most");
        assert!(packer.batches_left() > 0);
        packer.by_ref().for_each(drop);
        assert_eq!(packer.batches_left(), 0);
    }

    #[test]
    fn a_first_batch_that_takes_too_long_sets_the_size_of_the_next() {
        let mut packer = Packer::new(&tags(&vec![500; 2_000], &[]), 40_000);
        assert_eq!(packer.next().map(|b| b.rows), Some(13_000));
        packer.learn(13_000, 315);
        assert_eq!(
            packer.clone().next().map(|b| b.rows),
            Some(18_000),
            "two thirds of what is half way to 14,444"
        );
        packer.learn(13_000, 450);
        assert_eq!(packer.next().map(|b| b.rows), Some(8_500), "two thirds of the least");
    }

    #[test]
    fn small_batches_stay_as_they_were_asked_for() {
        let mut packer = Packer::new(&tags(&[5; 100], &[]), 10);
        packer.learn(10, 9_000);
        assert!(packer.all(|batch| batch.rows == 10));
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
