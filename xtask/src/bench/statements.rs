//! What the server says about a command: how many statements it got, and how long the longest transaction was.
//!
//! This is the second opinion on what unseed reports about itself. Logging costs time, so such a run is not timed.

use super::ground::{COPY, Ground};
use anyhow::Result;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counted {
    pub(super) statements: f64,
    /// Of transactions that lock, change or remove rows.
    pub(super) longest_holding_s: f64,
    /// Of all that were opened as a transaction.
    pub(super) longest_s: f64,
}

/// A transaction that has begun.
struct Open {
    at: f64,
    /// Whether it has taken locks that others may wait for.
    holds: bool,
}

/// From now on new sessions in the copy log each statement with its duration.
pub(super) fn log_all(ground: &Ground) -> Result<()> {
    let set = format!(
        "ALTER DATABASE {COPY} SET log_min_duration_statement = 0;\n\
        ALTER DATABASE {COPY} SET log_parameter_max_length = 0;"
    );
    ground.sql("postgres", &set).map(drop)
}

/// Counts what happens in the copy while `act` runs.
pub(super) fn during<T>(ground: &Ground, act: impl FnOnce() -> Result<T>) -> Result<(Counted, T)> {
    let before = ground.log().len();
    let outcome = act()?;
    let log = ground.log();
    Ok((count(log.get(before..).unwrap_or_default(), COPY), outcome))
}

/// A line is `seconds.milliseconds process database LOG:  duration: 0.1 ms  statement: BEGIN`.
fn count(log: &str, database: &str) -> Counted {
    let mut counted = Counted { statements: 0.0, longest_holding_s: 0.0, longest_s: 0.0 };
    let mut open: BTreeMap<&str, Open> = BTreeMap::new();
    for (at, process, text) in log.lines().filter_map(|line| statement(line, database)) {
        counted.statements += 1.0;
        if starts_with(text, &["BEGIN", "START TRANSACTION"]) {
            open.insert(process, Open { at, holds: false });
        } else if starts_with(text, &["COMMIT", "ROLLBACK"]) {
            let Some(ended) = open.remove(process) else { continue };
            counted.longest_s = counted.longest_s.max(at - ended.at);
            if ended.holds {
                counted.longest_holding_s = counted.longest_holding_s.max(at - ended.at);
            }
        } else if let Some(current) = open.get_mut(process) {
            current.holds |= holds(text);
        }
    }
    counted
}

/// Whether a statement locks rows of others; what it does to temporary tables keeps nobody from anything.
fn holds(text: &str) -> bool {
    let text = text.replace("DELETE FROM pg_temp.", "");
    ["FOR UPDATE", "DELETE FROM", "UPDATE "].iter().any(|word| text.contains(word))
}

fn statement<'a>(line: &'a str, database: &str) -> Option<(f64, &'a str, &'a str)> {
    let mut words = line.splitn(4, ' ');
    let (at, process, name, rest) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let said = rest.strip_prefix("LOG:  duration: ")?;
    // Parsing and binding are lines too, but belong to the statement that is executed.
    let (_, text) = said.split_once(" ms  statement: ").or_else(|| said.split_once(" ms  execute "))?;
    (name == database).then_some((at.parse().ok()?, process, text))
}

fn starts_with(text: &str, words: &[&str]) -> bool {
    let text = text.trim_start();
    words.iter().any(|word| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_and_transactions_of_one_database_are_counted() {
        let log = "10.000 7 app LOG:  duration: 0.1 ms  statement: BEGIN ISOLATION LEVEL READ COMMITTED\n\
            10.100 7 app LOG:  duration: 1.0 ms  parse s1: SELECT 1\n\
            10.200 7 app LOG:  duration: 1.0 ms  execute s1: DELETE FROM a\n\tWHERE x\n\
            10.300 8 other LOG:  duration: 1.0 ms  statement: COMMIT\n\
            10.750 7 app LOG:  duration: 1.0 ms  statement: commit\n";
        let counted = count(log, "app");
        assert!((counted.statements - 3.0).abs() < 1e-9);
        assert!((counted.longest_s - 0.75).abs() < 1e-9);
        assert!((counted.longest_holding_s - 0.75).abs() < 1e-9);
        let reading = count(&log.replace("DELETE FROM a", "SELECT 2"), "app");
        assert!((reading.longest_s - 0.75).abs() < 1e-9 && reading.longest_holding_s < 1e-9);
        let temporary = count(&log.replace("DELETE FROM a", "DELETE FROM pg_temp.a"), "app");
        assert!(temporary.longest_holding_s < 1e-9);
    }
}
