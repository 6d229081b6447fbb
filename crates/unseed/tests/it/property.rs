//! Random schemas with random rows on both real stores, against a brute-force reading of the same rules.
//!
//! Each case is planned, purged in small batches, sometimes stopped and resumed, verified and restored: as a
//! whole, one root of it, or by the database's own client alone. After each step every row is compared as text:
//! with what the oracle expects after a purge, with the original after a restore, and with the memory store where
//! one root came back.
//!
//! The seeds are the same on every run. `UNSEED_SEED` is the first one and `UNSEED_CASES` how many there are:
//! `UNSEED_SEED=17 UNSEED_CASES=1 cargo test -p unseed --test it property` repeats the case of seed 17.

mod compare;
mod journey;
mod mariadb;
mod memory;
mod postgres;
mod regressions;
mod sqlite;

use journey::Server;
use std::fmt::Write as _;
use std::path::PathBuf;
use unseed_core::plan::Path;

/// Cases of each test unless the environment says otherwise.
const CASES_DEFAULT: u64 = 300;
/// Failures that are told in full.
const TOLD_MAX: usize = 3;

#[test]
fn postgresql_purges_and_restores_random_cases_on_the_fast_path() {
    check(&mut postgres::Bench::new(Path::Fast));
}

#[test]
fn postgresql_purges_and_restores_random_cases_with_checks_on() {
    check(&mut postgres::Bench::new(Path::Checked));
}

/// Of the cases in which nearly all rows leave, those that the rewrite path takes.
#[test]
fn postgresql_empties_tables_and_puts_back_what_stays_in_random_cases() {
    let mut bench = postgres::Bench::new(Path::Rewrite);
    check(&mut bench);
    let (cases, taken) = bench.counts();
    assert!(cases < 100 || taken * 20 > cases, "{taken} of {cases} cases take the path");
}

#[test]
fn sqlite_purges_and_restores_random_cases() {
    check(&mut sqlite::Bench::new());
}

/// A third of the cases: each makes and drops a database, which costs more here than elsewhere.
#[test]
fn mariadb_purges_and_restores_random_cases() {
    check_some(&mut mariadb::Bench::new(Path::Fast), CASES_DEFAULT / 3);
}

#[test]
fn mariadb_purges_and_restores_random_cases_with_checks_on() {
    check_some(&mut mariadb::Bench::new(Path::Checked), CASES_DEFAULT / 12);
}

pub(crate) fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not `{text}`")),
        Err(_) => default,
    }
}

/// Runs all cases; the panic tells each seed that failed and how to repeat it.
#[track_caller]
fn check(server: &mut dyn Server) {
    check_some(server, CASES_DEFAULT);
}

#[track_caller]
fn check_some(server: &mut dyn Server, cases: u64) {
    let (first, count) = (number("UNSEED_SEED", 0), number("UNSEED_CASES", cases));
    let mut failures: Vec<(u64, String)> = Vec::new();
    for seed in first..first + count {
        if let Err(failure) = journey::run(server, seed) {
            failures.push((seed, failure));
        }
    }
    if failures.is_empty() {
        return;
    }
    let seeds: Vec<String> = failures.iter().map(|(seed, _)| seed.to_string()).collect();
    let mut text = format!("{} of {count} cases failed: seeds {}\n", failures.len(), seeds.join(", "));
    for (seed, failure) in failures.iter().take(TOLD_MAX) {
        let again = format!("UNSEED_SEED={seed} UNSEED_CASES=1 cargo test -p unseed --test it property");
        let script = keep_script(server, *seed);
        writeln!(text, "\nseed {seed}: {failure}\nthe case: {}\nagain: {again}", script.display())
            .expect("writing to a string cannot fail");
    }
    panic!("{text}");
}

/// Writes tables and rows of a case where a person can look at them.
fn keep_script(server: &dyn Server, seed: u64) -> PathBuf {
    let kind = server.kind();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("property-{kind}-{seed}.sql"));
    std::fs::write(&file, server.script(&server.case(seed))).unwrap();
    file
}
