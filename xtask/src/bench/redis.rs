//! `cargo xtask bench --store redis`: the keys of nearly all tenants, unseed beside a script in Python.
//!
//! A private Redis gets ten keys of every type per tenant, a SQLite file the tenants themselves. Python archives the keys
//! of test tenants and removes them; then the server is filled anew, and unseed plans, purges, verifies and restores. At
//! the end unseed does so once more with a pause between round trips, while another client asks for a key all the time.
//!
//! Invariants
//! - both remove equally many keys; after a restore every key has the content and the expiry that it had.

use super::figures::{self, Figures, Samples};
use super::machine::Machine;
use super::subject::{Subject, number, text};
use super::targets::{Compared, Limited, Section, compared, limited};
use super::watch;
use super::{BenchArgs, document, publish};
use crate::install;
use crate::process::say;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use unseed_testkit::server::{Redis, RedisClient, RedisOptions, sqlite};
use unseed_testkit::workloads::keys::{self, KEYS_PER_TENANT};

/// The name between whose marks the tables stand in docs/performance.md.
const NAME: &str = "Redis";
/// Between two questions of the client that waits.
const ASKED_EVERY: Duration = Duration::from_micros(500);

const PYTHON: &str = "Python, scan and unlink";

const RATIOS: [Compared<'_>; 8] = [
    (
        "Python: SCAN 10,000, one regular expression, UNLINK",
        &["python.remove"],
        PYTHON,
        &["python.remove"],
        None,
    ),
    (
        "Python: archive by DUMP and PTTL, with its own scan",
        &["python.archive"],
        PYTHON,
        &["python.remove"],
        None,
    ),
    ("**unseed**: find and remove", &["full.find", "full.remove"], PYTHON, &["python.remove"], Some(0.6)),
    ("**unseed**: archive, compressed, on disk", &["full.archive"], PYTHON, &["python.remove"], Some(1.2)),
    ("… with finding the keys", &["full.find", "full.archive"], PYTHON, &["python.remove"], None),
    (
        "… find, archive and remove",
        &["full.find", "full.archive", "full.remove"],
        "Python, archive and removal",
        &["python.archive", "python.remove"],
        None,
    ),
    (
        "whole run: plan, purge (rows too), verify",
        &["full.plan", "full.purge", "full.verify"],
        "Python, archive and removal",
        &["python.archive", "python.remove"],
        None,
    ),
    (
        "restore everything",
        &["full.restore"],
        "Python, archive and removal",
        &["python.archive", "python.remove"],
        None,
    ),
];

const LIMITS: [Limited<'_>; 10] = [
    ("others wait for an answer, with a pause: p99", &["paused.p99_ms"], " ms", Some(10.0)),
    ("… median", &["paused.p50_ms"], " ms", None),
    ("… longest", &["paused.longest_ms"], " ms", None),
    ("… without a pause: p99", &["full.p99_ms"], " ms", None),
    ("… while Python works: p99", &["python.p99_ms"], " ms", None),
    ("… longest", &["python.longest_ms"], " ms", None),
    ("memory of plan", &["full.plan.mib", "paused.plan.mib"], " MiB", Some(200.0)),
    ("memory of purge", &["full.purge.mib", "paused.purge.mib"], " MiB", Some(200.0)),
    ("memory of verify", &["full.verify.mib", "paused.verify.mib"], " MiB", Some(200.0)),
    ("memory of restore", &["full.restore.mib", "paused.restore.mib"], " MiB", Some(200.0)),
];

const WHERE: [Limited<'_>; 8] = [
    ("keys removed", &["full.keys"], "", None),
    ("archive", &["full.archive_mib"], " MiB", None),
    ("find", &["full.find"], " s", None),
    ("archive", &["full.archive"], " s", None),
    ("remove", &["full.remove"], " s", None),
    ("look again", &["full.look"], " s", None),
    ("with a pause: purge", &["paused.purge"], " s", None),
    ("with a pause: restore", &["paused.restore"], " s", None),
];

pub(super) fn run(args: &BenchArgs, folder: &Path) -> Result<()> {
    let python = install::python_with_redis()?;
    let subject = Subject::prepare(folder)?;
    let ground = Ground::prepare(args.keys / KEYS_PER_TENANT)?;
    let machine = Machine::look(ground.version()?, subject.version()?)?;
    let mut figures = Figures::default();
    for round in 0..args.rounds {
        for name in ["python", "full", "paused"] {
            ground.fill()?;
            let samples = match name {
                "python" => ground.python(python)?,
                "full" => Journey::begin(&subject, &ground, name, 0)?.finished()?,
                _ => Journey::begin(&subject, &ground, name, args.pause_ms)?.finished()?,
            };
            say(&format!("round {} {name}: {}", round + 1, figures::in_one_line(&samples)));
            document::record(folder, NAME, round, name, &samples)?;
            figures.add(samples);
        }
    }
    let sections = vec![
        Section { title: "Keys", lines: compared(&figures, &RATIOS) },
        Section {
            title: "Limits (the worst of all rounds)",
            lines: limited(&figures, &LIMITS, Figures::highest),
        },
        Section { title: "Where the time goes (medians)", lines: limited(&figures, &WHERE, Figures::median) },
    ];
    let scale = format!("{} keys", args.keys);
    publish(NAME, &document::markdown(&scale, args.rounds, &machine, &sections))
}

/// The server and the tenants.
struct Ground {
    server: Redis,
    tenants: u64,
    folder: tempfile::TempDir,
}

impl Ground {
    fn prepare(tenants: u64) -> Result<Self> {
        let server = Redis::start_own(&RedisOptions::default().line("enable-debug-command yes"))?;
        let ground = Self { server, tenants, folder: tempfile::tempdir()? };
        sqlite::run(&ground.database(), &format!("BEGIN;\n{}\nCOMMIT;", keys::tenants_sql(tenants)))?;
        Ok(ground)
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("tenants.db")
    }

    fn version(&self) -> Result<String> {
        let info = self.server.client()?.run(&["INFO", "server"])?.text();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(format!("Redis {}", version.context("the server says its version")?.trim()))
    }

    fn doomed(&self) -> usize {
        let tests = (0..self.tenants).filter(|tenant| keys::is_test(*tenant)).count();
        tests * usize::try_from(KEYS_PER_TENANT).unwrap_or(usize::MAX)
    }

    fn fill(&self) -> Result<()> {
        let mut client = self.server.client()?;
        client.run(&["FLUSHALL"])?;
        Ok(keys::fill(&mut client, self.tenants)?)
    }

    /// What a careful person writes: an archive first, then the removal.
    fn python(&self, python: &str) -> Result<Samples> {
        let mut script = Command::new(python);
        script.arg(super::ground::script("redis.py")).arg(self.server.folder().join("socket"));
        let (done, mut samples) =
            self.asked_meanwhile("python", || watch::run(&mut script, self.folder.path(), &[0]))?;
        for line in done.stdout.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, seconds, "s", count, "keys"] = words[..] else { continue };
            ensure!(count.parse() == Ok(self.doomed()), "the script worked on {count} keys");
            samples.insert(format!("python.{name}"), seconds.parse()?);
        }
        Ok(samples)
    }

    /// Does something while another client asks for a key all the time; how long that one waited is told with it.
    fn asked_meanwhile<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<(T, Samples)> {
        let stop = AtomicBool::new(false);
        let mut client = self.server.client()?;
        let (done, waits) = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| waits(&mut client, &stop));
            let done = work();
            stop.store(true, Ordering::Relaxed);
            (done, waiting.join().expect("whoever waits does not panic"))
        });
        let waits = waits?;
        let at = |per_mille: usize| waits[(waits.len() - 1) * per_mille / 1000];
        let names = [("p50_ms", 500), ("p99_ms", 990), ("longest_ms", 1000)];
        Ok((done?, names.map(|(what, share)| (format!("{name}.{what}"), at(share))).into()))
    }
}

/// Milliseconds that each question took to be answered, sorted.
fn waits(client: &mut RedisClient, stop: &AtomicBool) -> Result<Vec<f64>> {
    let mut waits = Vec::new();
    while waits.is_empty() || !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        client.run(&["GET", "nothing"])?;
        waits.push(begun.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(ASKED_EVERY);
    }
    waits.sort_by(f64::total_cmp);
    Ok(waits)
}

/// unseed from the plan to the restore.
struct Journey<'a> {
    subject: &'a Subject,
    ground: &'a Ground,
    name: &'static str,
    config: PathBuf,
    samples: Samples,
}

impl<'a> Journey<'a> {
    fn begin(subject: &'a Subject, ground: &'a Ground, name: &'static str, pause_ms: u64) -> Result<Self> {
        subject.clear()?;
        let text = std::fs::read_to_string(super::ground::script("redis.toml"))?;
        let config = subject.folder().join("unseed.toml");
        std::fs::write(&config, text.replace("pause_ms = 0", &format!("pause_ms = {pause_ms}")))?;
        Ok(Self { subject, ground, name, config, samples: Samples::new() })
    }

    fn finished(mut self) -> Result<Samples> {
        let mut client = self.ground.server.client()?;
        let before = keys::picture(&mut client)?;
        let plan =
            self.step("plan", &["plan", "main", "--where", "tenants: is_test = 1", "-o", "plan.json"])?;
        let id = text(&plan, "/id")?;
        let (report, waits) = self
            .ground
            .asked_meanwhile(self.name, || self.verb(&["purge", "plan.json", "--confirm", &id]))?;
        self.samples.extend(waits);
        let report = self.told("purge", &report)?;
        self.figures(&report)?;
        let run = text(&report, "/run")?;
        let verified = self.step("verify", &["verify", &run])?;
        self.note("archive_mib", number(&verified, "/verification/archive_bytes")? / 1024.0 / 1024.0);
        self.step("restore", &["restore", &run, "--confirm", &run])?;
        let after = keys::picture(&mut client)?;
        ensure!(before == after, "`{}`: {} keys came back otherwise, of {}", self.name, after.0, before.0);
        Ok(self.samples)
    }

    fn figures(&mut self, report: &Value) -> Result<()> {
        let legs = report["legs"].as_array().context("a report over several stores")?;
        let cache = legs.iter().find(|leg| leg["store"] == "cache").context("the leg of the keys")?;
        for (what, stage) in
            [("find", "close"), ("archive", "archive"), ("remove", "remove"), ("look", "finish")]
        {
            self.note(what, number(cache, &format!("/report/timings/{stage}_ms"))? / 1e3);
        }
        let keys = number(cache, "/report/rows/deleted")?;
        self.note("keys", keys);
        ensure!(format!("{keys}") == self.ground.doomed().to_string(), "{keys} keys were removed");
        Ok(())
    }

    fn step(&mut self, verb: &str, arguments: &[&str]) -> Result<Value> {
        let done = self.verb(arguments)?;
        self.told(verb, &done)
    }

    fn verb(&self, arguments: &[&str]) -> Result<watch::Watched> {
        let mut all = arguments.to_vec();
        all.extend(["--quiet", "--format", "json"]);
        let mut command = self.subject.command(&self.config, &all);
        command.env("TENANTS_URL", format!("sqlite:{}", self.ground.database().display()));
        command.env("KEYS_URL", self.ground.server.socket_url());
        watch::run(&mut command, self.subject.folder(), &[0])
    }

    /// Time and memory of a verb become figures; its JSON is the outcome.
    fn told(&mut self, verb: &str, done: &watch::Watched) -> Result<Value> {
        self.note(verb, done.seconds);
        if let Some(mib) = done.peak_mib {
            self.note(&format!("{verb}.mib"), mib);
        }
        serde_json::from_str(&done.stdout).with_context(|| format!("`unseed {verb}` printed no JSON"))
    }

    fn note(&mut self, part: &str, value: f64) {
        self.samples.insert(format!("{}.{part}", self.name), value);
    }
}
