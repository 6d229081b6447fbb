//! `cargo xtask VERB`: everything one does with this repository beyond `cargo build`.

mod bench;
mod ci;
mod crash;
mod deny;
mod eval;
mod fuzz;
mod install;
mod mutants;
mod process;
mod schemas;
mod test;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Chores of the unseed repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Everything CI checks: format, clippy, tidy, tests, documentation, licences
    Ci {
        /// All but the tests
        #[arg(long)]
        skip_tests: bool,
    },
    /// Installs what the tests need and runs them
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Checks rules of this repository that neither the compiler nor clippy knows
    Tidy,
    /// Licences, bans and sources of dependencies
    Deny {
        /// Also look for known vulnerabilities, which needs the advisory database from the network
        #[arg(long)]
        advisories: bool,
    },
    /// Measures unseed beside what people do today, and writes the tables of docs/performance.md
    Bench(bench::BenchArgs),
    /// Measures how well test data are told from real ones, on records whose truth is known
    Eval(eval::EvalArgs),
    /// Feeds every parser with damaged inputs, and saves the first that breaks it
    Fuzz(fuzz::FuzzArgs),
    /// Kills purges at random instants and at every step, on all combinations of store and state
    Crash(crash::CrashArgs),
    /// Puts faults into a copy of the code, one after the other, and looks whether the tests notice
    Mutants {
        /// Only those whose names contain one of these
        names: Vec<String>,
    },
    /// Makes the schemas of public applications that tests use, under target/schemas
    Schemas {
        /// Only these
        names: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Ci { skip_tests } => ci::run(if skip_tests { ci::Tests::Skipped } else { ci::Tests::Run }),
        Verb::Test { arguments } => test::run(&arguments),
        Verb::Tidy => tidy::run(),
        Verb::Deny { advisories } => deny::run(advisories),
        Verb::Bench(args) => bench::run(&args),
        Verb::Eval(args) => eval::run(&args),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Crash(args) => crash::run(&args),
        Verb::Mutants { names } => mutants::run(&names),
        Verb::Schemas { names } => schemas::run(&names),
    }
}
