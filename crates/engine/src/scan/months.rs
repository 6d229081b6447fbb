//! Rows created per month.
//!
//! Invariants
//! - a row counts by its day, so that counting is one step; months are made of days at the end;
//! - memory is that of [`DAYS_MAX`] days.

use std::collections::BTreeMap;
use unseed_core::detect::time::{self, DAY_S};
use unseed_core::scan::{Month, Since};

/// Days from 1970 on that are counted: until the year 2106.
const DAYS_MAX: usize = 50_000;
/// Months that a timeline shows at most.
const MONTHS_MAX: usize = 600;

/// Counts of rows and of test rows.
#[derive(Debug, Default)]
pub(super) struct Months {
    all: Vec<u32>,
    test: Vec<u32>,
    /// Rows that an earlier report lists; they are drawn as neither.
    known: Vec<u32>,
    pub since: Option<Since>,
}

fn add(days: &mut Vec<u32>, at: i64) {
    let Some(day) = usize::try_from(at / DAY_S).ok().filter(|day| at >= 0 && *day < DAYS_MAX) else { return };
    if day >= days.len() {
        days.resize(day + 1, 0);
    }
    days[day] = days[day].saturating_add(1);
}

fn by_month(days: &[u32]) -> BTreeMap<i64, u64> {
    let mut months = BTreeMap::new();
    for (day, rows) in (0_i64..).zip(days).filter(|(_, rows)| **rows > 0) {
        *months.entry(time::month(day * DAY_S)).or_insert(0) += u64::from(*rows);
    }
    months
}

impl Months {
    /// Counts a row of any verdict.
    pub(super) fn count(&mut self, created_at: Option<i64>) {
        if let Some(at) = created_at {
            add(&mut self.all, at);
        }
    }

    /// Counts a row with verdict `test`.
    pub(super) fn count_test(&mut self, created_at: Option<i64>) {
        let Some(at) = created_at else { return };
        add(&mut self.test, at);
        let since = self.since.get_or_insert(Since { first: at, last: at });
        since.first = since.first.min(at);
        since.last = since.last.max(at);
    }

    /// Counts a row that an earlier report lists.
    pub(super) fn count_known(&mut self, created_at: Option<i64>) {
        if let Some(at) = created_at {
            add(&mut self.known, at);
        }
    }

    /// Every month from the first to the last, those without rows included.
    pub(super) fn timeline(&self) -> Vec<Month> {
        let (all, test, known) = (by_month(&self.all), by_month(&self.test), by_month(&self.known));
        let (Some(first), Some(last)) = (all.keys().next(), all.keys().next_back()) else {
            return Vec::new();
        };
        let months = (*first..=*last).take(MONTHS_MAX).map(|month| {
            let of = |rows: &BTreeMap<i64, u64>| rows.get(&month).copied().unwrap_or(0);
            let real = of(&all).saturating_sub(of(&test) + of(&known));
            Month { month: time::month_text(month), test: of(&test), real }
        });
        months.collect()
    }
}
