//! `cargo xtask ci`: all checks in the order of their price, each with its duration.

use crate::process::{self, cargo, say};
use crate::{deny, test, tidy};
use anyhow::{Context as _, Result};
use std::time::{Duration, Instant};

type Step = (&'static str, fn() -> Result<()>);

const CHECKS: [Step; 5] = [
    ("format", format),
    ("clippy", clippy),
    ("tidy", tidy::run),
    ("documentation", documentation),
    ("licences, bans, sources", without_advisories),
];

/// Whether the last step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    Run,
    Skipped,
}

pub(crate) fn run(tests: Tests) -> Result<()> {
    let mut durations = Vec::new();
    let mut steps = CHECKS.to_vec();
    if tests == Tests::Run {
        steps.push(("tests", all_tests));
    }
    for (name, step) in steps {
        say(&format!("== {name}"));
        let start = Instant::now();
        step().with_context(|| format!("`{name}` failed"))?;
        durations.push((name, start.elapsed()));
        say(&format!("== {name}: {}", seconds(start.elapsed())));
    }
    say("");
    durations.iter().for_each(|(name, duration)| say(&format!("{:>8}  {name}", seconds(*duration))));
    Ok(())
}

fn format() -> Result<()> {
    process::run(cargo().args(["fmt", "--all", "--", "--check"]))
}

fn clippy() -> Result<()> {
    process::run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

fn documentation() -> Result<()> {
    let flags = ["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"];
    process::run(cargo().args(flags).env("RUSTDOCFLAGS", "-D warnings"))
}

fn without_advisories() -> Result<()> {
    deny::run(false)
}

fn all_tests() -> Result<()> {
    test::run(&[])
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
