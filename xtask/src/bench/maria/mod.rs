//! `cargo xtask bench --store mariadb`: a table of a million rows, of which 99 in 100 leave.
//!
//! A private MariaDB with durable writes gets `workloads/child_mysql.sql` once. Every contestant of every round gets a
//! fresh copy of it, with nothing left over that the server still had to clean up; the order turns from round to
//! round. Ratios are taken within a round.
//!
//! Code map
//! - `ground`: the server, the workload, its copies; `peers`: what people do today; `subject`: the verbs of unseed;
//! - `targets`: ratios.
//!
//! Invariants
//! - a contestant that leaves other rows than the others ends the benchmark: its time would mean nothing;
//! - a missed target is told, and is no failure.

mod ground;
mod peers;
mod subject;
mod targets;

use super::figures::{self, Figures, Samples};
use super::machine::Machine;
use super::{document, subject as binary};
use crate::install;
use crate::process::{self, say};
use anyhow::Result;
use ground::Ground;
use std::path::Path;

/// One thing that is timed on a copy of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contestant {
    Delete,
    Ranges,
    PtBulk,
    PtBulkFile,
    Unseed,
}

const CONTESTANTS: [Contestant; 5] =
    [Contestant::Delete, Contestant::Unseed, Contestant::PtBulkFile, Contestant::Ranges, Contestant::PtBulk];

/// Rows of the table that loses most of its rows.
pub(super) const ROWS: u64 = 1_000_000;

pub(super) fn run(rounds: usize) -> Result<()> {
    install::servers()?;
    install::pt_archiver()?;
    let folder = process::root().join("target/bench/mariadb");
    std::fs::create_dir_all(&folder)?;
    let program = binary::program(&folder)?;
    say("loading the workload");
    let ground = Ground::prepare(ROWS)?;
    let machine = Machine::look(format!("MariaDB {}", ground.version()?), binary::version(&program)?)?;
    let mut figures = Figures::default();
    for round in 0..rounds {
        for place in 0..CONTESTANTS.len() {
            let contestant = CONTESTANTS[(place + round) % CONTESTANTS.len()];
            let samples = measure(&ground, contestant, &program, &folder)?;
            let name = format!("{contestant:?}");
            say(&format!("round {} {name}: {}", round + 1, figures::in_one_line(&samples)));
            document::record(&folder, "mariadb", round, &name, &samples)?;
            figures.add(samples);
        }
    }
    let text = document::markdown("MariaDB", rounds, &machine, &targets::compare(&figures));
    say(&text);
    document::rewrite("MariaDB", &text)?;
    say(
        "docs/performance.md has the new tables; every single measurement is in target/bench/mariadb/results.jsonl",
    );
    Ok(())
}

fn measure(ground: &Ground, contestant: Contestant, program: &Path, folder: &Path) -> Result<Samples> {
    ground.fresh()?;
    let samples = match contestant {
        Contestant::Delete => peers::delete(ground, folder)?,
        Contestant::Ranges => peers::ranges(ground, folder)?,
        Contestant::PtBulk => peers::pt_archiver(ground, folder, peers::File::None)?,
        Contestant::PtBulkFile => peers::pt_archiver(ground, folder, peers::File::Kept)?,
        Contestant::Unseed => return subject::journey(ground, program, folder),
    };
    ground.agree(&format!("{contestant:?}"))?;
    Ok(samples)
}
