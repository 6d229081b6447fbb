//! `cargo xtask bench`: unseed beside what people do today, on one machine, in one run.
//!
//! A private PostgreSQL gets the workload `atom` once. Every contestant of every round gets a fresh, warmed file
//! copy of it, so all start alike; the order turns from round to round, so that no contestant always comes last.
//! What counts are ratios within a round: absolute times tell more about the machine.
//!
//! Code map
//! - `ground`: the server, the workload, its copies; `watch`: one process, its time and memory;
//! - `catalog`, `script`: the SQL of the peers, made from the catalog; `peers`: running them;
//! - `subject`: the verbs of the binary as it is shipped; `statements`: what the server's log says about them;
//! - `redis`: the same for keys in Redis, beside a script in Python;
//! - `maria`: the same on MariaDB, beside other peers;
//! - `figures`: what was measured; `targets`: ratios and limits; `document`: tables, JSON lines, docs/performance.md.
//!
//! Invariants
//! - a contestant that leaves other rows than the others ends the benchmark: its time would mean nothing;
//! - a missed target is told, and is no failure.

mod catalog;
mod document;
mod figures;
mod ground;
mod machine;
mod maria;
mod peers;
mod redis;
mod script;
mod statements;
mod subject;
mod targets;
mod watch;

use crate::install;
use crate::process::{self, say};
use anyhow::Result;
use catalog::Catalog;
use figures::Figures;
use ground::Ground;
use machine::Machine;
use peers::Peers;
use std::path::PathBuf;
use subject::{Subject, Variant};
use unseed_testkit::workloads::Scale;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Whose rows or keys are removed; on mariadb, a million rows of one table
    #[arg(long, value_enum, default_value_t = StoreArg::Postgres)]
    store: StoreArg,
    /// How much data: s is 34 thousand rows, m 2 million, l 10 million
    #[arg(long, value_enum, default_value_t = Size::S)]
    scale: Size,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only this path of unseed [default: both, and the checked one in a single transaction]
    #[arg(long, value_enum)]
    path: Option<PathArg>,
    /// Of Redis: how many keys there are
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Of Redis: milliseconds between round trips while it is measured how long others wait
    #[arg(long, default_value_t = 1)]
    pause_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StoreArg {
    Postgres,
    Mariadb,
    Redis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PathArg {
    Fast,
    Checked,
}

/// `--scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Size {
    S,
    M,
    L,
}

impl Size {
    fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::M => "M",
            Self::L => "L",
        }
    }

    fn scale(self) -> Scale {
        match self {
            Self::S => Scale::S,
            Self::M => Scale::M,
            Self::L => Scale::L,
        }
    }

    /// Accounts per tenant in the table that is scanned; two million rows at M and L.
    fn account_copies(self) -> u32 {
        match self {
            Self::S | Self::M => 100,
            Self::L => 20,
        }
    }

    /// Tenants that the naive script is timed on; the whole of it takes hours.
    fn naive_tenants(self) -> usize {
        match self {
            Self::S => 150,
            Self::M => 40,
            Self::L => 15,
        }
    }
}

/// One thing that is timed on a database of its own.
#[derive(Debug, Clone, Copy)]
enum Contestant {
    Expert,
    ExpertReplica,
    ExpertArchive,
    Naive,
    Stages,
    Scans,
    Unseed(Variant),
}

pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    if args.store == StoreArg::Mariadb {
        return maria::run(args.rounds);
    }
    install::servers()?;
    let folder = process::root().join("target/bench");
    if args.store == StoreArg::Redis {
        return redis::run(args, &folder);
    }
    let bench = Bench::prepare(args, folder)?;
    let mut figures = Figures::default();
    for round in 0..args.rounds {
        bench.round(round, &mut figures)?;
    }
    bench.count_statements(&mut figures)?;
    let report = targets::compare(&figures);
    let text = document::markdown(&scale(args.scale), args.rounds, &bench.machine, &report);
    publish(args.scale.name(), &text)
}

fn scale(size: Size) -> String {
    format!("scale {}", size.name())
}

/// Prints the tables and puts them in place of the ones that are there.
fn publish(name: &str, tables: &str) -> Result<()> {
    say(tables);
    document::rewrite(name, tables)?;
    say("docs/performance.md has the new tables; every single measurement is in target/bench/results.jsonl");
    Ok(())
}

struct Bench {
    folder: PathBuf,
    size: Size,
    ground: Ground,
    peers: Peers,
    subject: Subject,
    machine: Machine,
    contestants: Vec<Contestant>,
}

impl Bench {
    fn prepare(args: &BenchArgs, folder: PathBuf) -> Result<Self> {
        let subject = Subject::prepare(&folder)?;
        say(&format!("loading the workload, scale {}", args.scale.name()));
        let ground = Ground::prepare(args.scale)?;
        let machine = Machine::look(ground.version()?, subject.version()?)?;
        let peers = Peers::new(Catalog::read(&ground)?, &folder, args.scale.naive_tenants())?;
        let contestants = contestants(args.path, args.scale);
        Ok(Self { folder, size: args.scale, ground, peers, subject, machine, contestants })
    }

    fn round(&self, round: usize, figures: &mut Figures) -> Result<()> {
        let count = self.contestants.len();
        for place in 0..count {
            let contestant = self.contestants[(place + round) % count];
            let samples = self.measure(contestant)?;
            let name = format!("{contestant:?}");
            say(&format!("round {} {name}: {}", round + 1, figures::in_one_line(&samples)));
            document::record(&self.folder, self.size.name(), round, &name, &samples)?;
            figures.add(samples);
        }
        Ok(())
    }

    fn measure(&self, contestant: Contestant) -> Result<figures::Samples> {
        let (ground, peers) = (&self.ground, &self.peers);
        match contestant {
            Contestant::Expert => peers.expert(ground, peers::Way::Checked),
            Contestant::ExpertReplica => peers.expert(ground, peers::Way::Replica),
            Contestant::ExpertArchive => peers.expert(ground, peers::Way::Archived),
            Contestant::Naive => peers.naive(ground),
            Contestant::Stages => peers.stages(ground),
            Contestant::Scans => {
                let mut samples = peers.scans(ground)?;
                samples.extend(self.subject.scans(ground)?);
                Ok(samples)
            }
            Contestant::Unseed(variant) => self.subject.journey(ground, variant),
        }
    }

    /// One more run, not timed, of which the server logs every statement.
    fn count_statements(&self, figures: &mut Figures) -> Result<()> {
        for contestant in &self.contestants {
            if let Contestant::Unseed(variant) = contestant
                && *variant != Variant::FastInTurn
            {
                let samples = self.subject.counted(&self.ground, *variant)?;
                say(&format!("in the server's log, {variant:?}: {}", figures::in_one_line(&samples)));
                figures.add(samples);
            }
        }
        Ok(())
    }
}

/// At S too much stays for the rewrite path, which refuses it.
fn contestants(path: Option<PathArg>, size: Size) -> Vec<Contestant> {
    let variants: &[Variant] = match path {
        None => {
            &[Variant::Fast, Variant::FastInTurn, Variant::Checked, Variant::CheckedWhole, Variant::Rewrite]
        }
        Some(PathArg::Fast) => &[Variant::Fast, Variant::FastInTurn, Variant::Rewrite],
        Some(PathArg::Checked) => &[Variant::Checked, Variant::CheckedWhole],
    };
    let mut list = vec![Contestant::Expert];
    let possible = |variant: &Variant| *variant != Variant::Rewrite || !matches!(size, Size::S);
    list.extend(variants.iter().copied().filter(possible).map(Contestant::Unseed));
    list.extend([
        Contestant::ExpertReplica,
        Contestant::Stages,
        Contestant::ExpertArchive,
        Contestant::Scans,
        Contestant::Naive,
    ]);
    list
}
