//! Rows of leaves by runs of their keys: where neighbours leave together, they are deleted in the order in which the
//! server keeps them, instead of one by one as their reference leads to them.
//!
//! A run is a range of whole numbers of which each is the key of a row that was archived and is locked. Rows that were
//! added since, by a session that checks no keys, are not in a run: a second connection looks for them afterwards. It
//! reads what is not committed yet, for its own connection would have to look every removed row up to skip it.
//!
//! Invariants
//! - a run holds the keys of archived rows only, so that no row that stays is read, locked or waited for;
//! - what the second connection does not answer was not proven: the batch is rolled back.
//!
//! Not here: which rows a batch has (`leaves`), removing (`remove`).

use super::connect::{Target, connect};
use super::dialect::MysqlDialect;
use super::leaves::is_by_index;
use super::session::{ByteRow, MySession};
use super::types;
use super::{Mysql, Stop};
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError};
use std::time::Duration;
use unseed_core::port::store::{Statements, Work};
use unseed_core::schema::{ColumnIndex, Table, TableId};

/// So many runs stand in one statement: to plan for more takes the server longer than two statements do.
const RUNS_MAX: usize = 500;
/// Runs of fewer rows on average are not worth planning for.
const ROWS_PER_RUN_MIN: usize = 32;
/// Keys of more rows than this are not kept: one root may have as many as it likes.
const KEYS_MAX: usize = 1 << 18;
/// Longest time that the second connection may take to begin.
const CONNECT: Duration = Duration::from_secs(2);

/// Keys from the first to the last, each of an archived row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    first: i64,
    last: i64,
}

/// The keys of rows as they are archived.
#[derive(Debug)]
pub(super) struct Keys {
    /// Where the key stands in a row.
    place: usize,
    /// Nothing once a key was no whole number of 64 bits, or there were too many.
    values: Option<Vec<i64>>,
}

impl Keys {
    pub(super) fn new(place: usize) -> Self {
        Self { place, values: Some(Vec::new()) }
    }

    /// Takes the key of a row.
    pub(super) fn see(&mut self, row: &ByteRow) {
        let Some(values) = &mut self.values else { return };
        let key = row.get(self.place).and_then(Option::as_deref).and_then(whole);
        match key.filter(|_| values.len() < KEYS_MAX) {
            Some(key) => values.push(key),
            None => self.values = None,
        }
    }

    /// The runs of all keys, if they are long enough.
    pub(super) fn runs(self) -> Option<Vec<Run>> {
        let mut values = self.values?;
        values.sort_unstable();
        let mut runs: Vec<Run> = Vec::new();
        for key in &values {
            match runs.last_mut() {
                Some(run) if run.last.checked_add(1) == Some(*key) => run.last = *key,
                Some(_) | None => runs.push(Run { first: *key, last: *key }),
            }
        }
        (!runs.is_empty() && values.len() / runs.len() >= ROWS_PER_RUN_MIN).then_some(runs)
    }
}

fn whole(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Whether a column is in one of these runs, which are in order.
///
/// The server evaluates the condition for every row, hence the halves; and it reads the row behind a range to see that
/// it ended, and waits if somebody has that row, hence the last key of a run on its own.
fn within(column: &str, runs: &[Run]) -> String {
    match runs {
        [] => "FALSE".to_owned(),
        [Run { first, last }] if first == last => format!("{column} = {first}"),
        [Run { first, last }] => format!("({column} BETWEEN {first} AND {} OR {column} = {last})", last - 1),
        _ => {
            let (low, high) = runs.split_at(runs.len() / 2);
            let middle = low.last().map_or(i64::MIN, |run| run.last);
            let (low, high) = (within(column, low), within(column, high));
            format!("({column} <= {middle} AND {low} OR {column} > {middle} AND {high})")
        }
    }
}

/// The deletion of these runs.
fn delete_sql(shape: &Table, key: ColumnIndex, runs: &[Run]) -> String {
    let d = MysqlDialect;
    let column = format!("x.{}", d.quote(&shape.columns[key].name));
    format!("DELETE x FROM {} x FORCE INDEX (PRIMARY) WHERE {}", d.relation(shape), within(&column, runs))
}

/// The deletions of all these runs, some at a time.
fn by_runs(work: &Work, table: TableId, runs: &[Run]) -> Vec<String> {
    let shape = work.schema.table(table);
    let Some(key) = whole_key(shape) else { return Vec::new() };
    runs.chunks(RUNS_MAX).map(|runs| delete_sql(shape, key, runs)).collect()
}

/// A primary key of one whole number.
pub(super) fn whole_key(shape: &Table) -> Option<ColumnIndex> {
    let [key] = shape.key().filter(|_| shape.has_primary_key)? else { return None };
    types::is_whole(&shape.columns[*key]).then_some(*key)
}

/// The connection that looks for rows which were added meanwhile.
#[derive(Default)]
pub(super) enum Onlooker {
    #[default]
    Unasked,
    Refused,
    Open(Box<MySession>),
}

impl Onlooker {
    pub(super) fn statements(&self) -> Statements {
        match self {
            Self::Open(session) => session.statements(),
            Self::Unasked | Self::Refused => Statements::default(),
        }
    }

    /// Whether it can be asked.
    async fn is_there(&mut self, target: &Target) -> bool {
        if matches!(self, Self::Unasked) {
            // Rows are locked meanwhile.
            *self = tokio::time::timeout(CONNECT, Self::open(target)).await.unwrap_or(Self::Refused);
        }
        matches!(self, Self::Open(_))
    }

    async fn open(target: &Target) -> Self {
        let Ok(mut session) = connect(target).await else { return Self::Refused };
        let dirty = "SET SESSION tx_isolation = 'READ-UNCOMMITTED', SESSION tx_read_only = 1";
        match session.run(dirty).await {
            Ok(_) => Self::Open(Box::new(session)),
            Err(_) => Self::Refused,
        }
    }

    /// Whether one of these queries, from `FROM` on, finds a row.
    async fn finds(&mut self, sources: &[String]) -> Result<bool, SqlError> {
        let lost = || SqlError { code: None, message: "there is no second connection".to_owned() };
        let Self::Open(session) = self else { return Err(lost()) };
        for source in sources {
            if !session.rows(&format!("SELECT 1 {source} LIMIT 1")).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Mysql {
    /// The deletions of rows that were found in a table: by runs of their keys, if somebody can look behind and the
    /// server does not read the whole table for that, or else by the reference that led to them.
    pub(super) async fn deletions(&mut self, work: &Work, table: TableId) -> Result<Vec<String>, SqlError> {
        let Some(found) = self.held.found.get_mut(&table) else { return Ok(Vec::new()) };
        let by_reference = found.sources.iter().map(|source| format!("DELETE x {source}")).collect();
        let Some(runs) = found.runs.take() else { return Ok(by_reference) };
        if !self.onlooker.is_there(&self.target).await {
            return Ok(by_reference);
        }
        let by_runs = by_runs(work, table, &runs);
        for sql in &by_runs {
            let plan = self.session.rows(&format!("EXPLAIN {sql}")).await?;
            if !is_by_index(&plan, "PRIMARY") {
                return Ok(by_reference);
            }
        }
        self.held.unseen.insert(table);
        Ok(by_runs)
    }

    /// Fails if a row refers to what left, in tables whose rows were deleted by runs.
    pub(super) async fn look_behind(&mut self, work: &Work) -> Result<(), Stop> {
        for table in &self.held.unseen {
            let Some(found) = self.held.found.get(table) else { continue };
            let name = &work.schema.table(*table).name;
            match self.onlooker.finds(&found.sources).await {
                Ok(false) => {}
                Ok(true) => return Err(Stop::Changed(format!("rows of `{name}` were added meanwhile"))),
                Err(error) => {
                    // The next closure does without it.
                    self.onlooker = Onlooker::Refused;
                    return Err(Stop::Changed(format!("`{name}` could not be looked at: {}", error.message)));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(values: &[&str]) -> Keys {
        let mut keys = Keys::new(1);
        values.iter().for_each(|value| keys.see(&vec![None, Some(value.as_bytes().to_vec())]));
        keys
    }

    fn texts(range: std::ops::RangeInclusive<i64>) -> Vec<String> {
        range.map(|key| key.to_string()).collect()
    }

    fn runs(values: &[String]) -> Option<Vec<Run>> {
        let values: Vec<&str> = values.iter().rev().map(String::as_str).collect();
        keys(&values).runs()
    }

    #[test]
    fn neighbours_make_a_run_in_whatever_order_they_come() {
        let ends = [i64::MIN..=i64::MIN + 50, -20..=20, i64::MAX - 60..=i64::MAX];
        let values: Vec<String> = ends.iter().cloned().flat_map(texts).collect();
        let expected = ends.iter().map(|run| Run { first: *run.start(), last: *run.end() });
        assert_eq!(runs(&values), Some(expected.collect()));
    }

    #[test]
    fn short_runs_and_keys_that_are_no_numbers_of_64_bits_make_none() {
        assert_eq!(runs(&[]), None);
        assert_eq!(runs(&texts(1..=31)), None);
        assert!(runs(&texts(1..=32)).is_some());
        let mut values = texts(1..=100);
        values.push("18446744073709551615".to_owned());
        assert_eq!(runs(&values), None);
    }

    #[test]
    fn a_condition_ends_each_run_by_its_last_key() {
        let run = |first, last| Run { first, last };
        assert_eq!(within("k", &[run(7, 7)]), "k = 7");
        assert_eq!(
            within("k", &[run(-3, 2), run(4, 5), run(9, 9)]),
            "(k <= 2 AND (k BETWEEN -3 AND 1 OR k = 2) OR k > 2 AND \
             (k <= 5 AND (k BETWEEN 4 AND 4 OR k = 5) OR k > 5 AND k = 9))"
        );
    }
}
