//! The binary as it is shipped, verb by verb, as a person would call it.
//!
//! Invariants
//! - what is measured is the program that people run: process start, connection and files included;
//! - after a purge the copy holds what the expert leaves, after a restore it is the workload again.

use super::figures::Samples;
use super::ground::{COPY, CROWDED, Ground, SPARSE, script};
use super::statements;
use super::watch::{self, Watched};
use crate::process::{self, cargo, say};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROOTS: &str = "tenants: plan_code = 'free'";

/// How rows are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Fast,
    /// Fast, and no batch is archived while another is removed, so that each stage has the machine for itself.
    FastInTurn,
    Checked,
    /// Checked, all rows in one transaction.
    CheckedWhole,
    /// Tables are emptied, and what stays is put back.
    Rewrite,
}

impl Variant {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::FastInTurn => "turns",
            Self::Checked => "checked",
            Self::CheckedWhole => "whole",
            Self::Rewrite => "rewrite",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Fast | Self::FastInTurn => &["--path", "fast"],
            Self::Checked => &["--path", "checked"],
            Self::CheckedWhole => &["--path", "checked", "--batch-rows", "1000000000"],
            Self::Rewrite => &["--path", "rewrite"],
        }
    }

    /// Lines beside those of `bench/unseed.toml`.
    fn configured(self) -> &'static str {
        match self {
            Self::FastInTurn => "\n[throttle]\narchive_ahead = false\n",
            Self::Fast | Self::Checked | Self::CheckedWhole | Self::Rewrite => "",
        }
    }

    /// Those that tell what a stage takes, not what a person would run.
    fn is_for_stages(self) -> bool {
        matches!(self, Self::FastInTurn | Self::CheckedWhole)
    }
}

pub(super) struct Subject {
    binary: PathBuf,
    folder: PathBuf,
}

/// One journey: its own state folder, and what each verb said.
struct Journey<'a> {
    subject: &'a Subject,
    config: PathBuf,
    url: String,
    name: &'static str,
    samples: Samples,
}

impl Subject {
    pub(super) fn prepare(folder: &Path) -> Result<Self> {
        let binary = program(folder)?;
        Ok(Self { binary, folder: folder.join("work") })
    }

    pub(super) fn version(&self) -> Result<String> {
        version(&self.binary)
    }

    pub(super) fn scans(&self, ground: &Ground) -> Result<Samples> {
        let mut samples = Samples::new();
        self.clear()?;
        for (name, database) in [("crowded", CROWDED), ("sparse", SPARSE)] {
            let done =
                self.run(&script("accounts.toml"), &["scan", &ground.url(database), "--quiet"], &[1])?;
            samples.insert(format!("scan.{name}"), done.seconds);
            samples.extend(done.peak_mib.map(|mib| (format!("scan.{name}.mib"), mib)));
        }
        Ok(samples)
    }

    /// plan, purge, verify, restore.
    pub(super) fn journey(&self, ground: &Ground, variant: Variant) -> Result<Samples> {
        ground.fresh()?;
        let mut journey = Journey::begin(self, ground, variant)?;
        let scan = journey.step("scan", &["scan", &ground.url(COPY)], &[1])?;
        drop(scan);
        let id = journey.plan(variant)?;
        let run = journey.purge(&id)?;
        ground.agree(variant.name())?;
        journey.verify(&run)?;
        if !variant.is_for_stages() {
            journey.step(
                "restore",
                &["restore", &run, "--url", &journey.url.clone(), "--confirm", &run],
                &[0],
            )?;
            ensure!(
                ground.is_as_loaded()?,
                "`{}`: the restored database differs from the original",
                variant.name()
            );
        }
        Ok(journey.samples)
    }

    /// The same, with every statement in the server's log.
    pub(super) fn counted(&self, ground: &Ground, variant: Variant) -> Result<Samples> {
        ground.fresh()?;
        statements::log_all(ground)?;
        let mut journey = Journey::begin(self, ground, variant)?;
        let mut samples = Samples::new();
        let name = variant.name();
        let (counted, id) = statements::during(ground, || journey.plan(variant))?;
        samples.insert(format!("{name}.log.plan"), counted.statements);
        let (counted, run) = statements::during(ground, || journey.purge(&id))?;
        samples.insert(format!("{name}.log.purge"), counted.statements);
        samples.insert(format!("{name}.log.longest_holding"), counted.longest_holding_s);
        samples.insert(format!("{name}.log.longest"), counted.longest_s);
        let (counted, ()) = statements::during(ground, || journey.verify(&run))?;
        samples.insert(format!("{name}.log.verify"), counted.statements);
        Ok(samples)
    }

    /// Forgets all runs.
    pub(super) fn clear(&self) -> Result<()> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        Ok(std::fs::create_dir_all(&self.folder)?)
    }

    /// Runs a verb with a configuration; other exit codes than these are errors.
    fn run(&self, config: &Path, arguments: &[&str], codes: &[i32]) -> Result<Watched> {
        watch::run(&mut self.command(config, arguments), &self.folder, codes)
    }

    /// A verb with a configuration and the state folder of this benchmark.
    pub(super) fn command(&self, config: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--config").arg(config);
        command.arg("--state").arg(self.folder.join("state"));
        command.current_dir(&self.folder).stdin(Stdio::null());
        for name in ["UNSEED_STATE", "UNSEED_ACTOR", "DATABASE_URL"] {
            command.env_remove(name);
        }
        command
    }

    /// Where it works.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl<'a> Journey<'a> {
    fn begin(subject: &'a Subject, ground: &Ground, variant: Variant) -> Result<Self> {
        subject.clear()?;
        let config = subject.folder.join("unseed.toml");
        let lines = std::fs::read_to_string(script("unseed.toml"))? + variant.configured();
        std::fs::write(&config, lines)?;
        Ok(Self { subject, config, url: ground.url(COPY), name: variant.name(), samples: Samples::new() })
    }

    fn plan(&mut self, variant: Variant) -> Result<String> {
        let url = self.url.clone();
        let mut arguments = vec!["plan", &url, "--where", ROOTS, "-o", "plan.json"];
        arguments.extend(variant.arguments());
        let plan = self.step("plan", &arguments, &[0])?;
        text(&plan, "/id")
    }

    fn purge(&mut self, id: &str) -> Result<String> {
        let report = self.step("purge", &["purge", "plan.json", "--confirm", id], &[0])?;
        for stage in ["prepare", "close", "archive", "remove", "finish"] {
            self.note(stage, number(&report, &format!("/timings/{stage}_ms"))? / 1e3);
        }
        let (total, archive) =
            (number(&report, "/statements/total")?, number(&report, "/statements/archive")?);
        self.note("statements", total);
        self.note("statements.not_archive", total - archive);
        self.note("longest", number(&report, "/statements/longest_transaction_us")? / 1e6);
        self.note("batches", number(&report, "/batches/done")?);
        self.note("rows", number(&report, "/rows/deleted")?);
        text(&report, "/run")
    }

    fn verify(&mut self, run: &str) -> Result<()> {
        let url = self.url.clone();
        let report = self.step("verify", &["verify", run, "--url", &url], &[0])?;
        self.note("archive_mib", number(&report, "/verification/archive_bytes")? / 1024.0 / 1024.0);
        Ok(())
    }

    /// Runs a verb; its time, memory and JSON are the outcome.
    fn step(&mut self, verb: &str, arguments: &[&str], codes: &[i32]) -> Result<Value> {
        let mut all = arguments.to_vec();
        all.extend(["--quiet", "--format", "json"]);
        let done = self.subject.run(&self.config, &all, codes)?;
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

/// Builds the binary, or takes the one that `UNSEED_BIN` names, and copies it, so that nobody changes it meanwhile.
pub(super) fn program(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let source = match std::env::var_os("UNSEED_BIN") {
        Some(path) => PathBuf::from(path),
        None => build()?,
    };
    let binary = folder.join("unseed");
    // A running program cannot be written to, but its name can be given to another file.
    drop(std::fs::remove_file(&binary));
    std::fs::copy(&source, &binary).with_context(|| format!("`{}`", source.display()))?;
    Ok(binary)
}

/// Name and version.
pub(super) fn version(binary: &Path) -> Result<String> {
    Ok(process::capture(Command::new(binary).arg("--version"))?.trim().to_owned())
}

fn build() -> Result<PathBuf> {
    say("building the binary as it is shipped");
    process::run(cargo().args(["build", "--profile", "dist", "--quiet", "-p", "unseed"]))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| process::root().join("target"), PathBuf::from);
    Ok(target.join("dist/unseed"))
}

pub(super) fn number(report: &Value, pointer: &str) -> Result<f64> {
    report.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("the report has no `{pointer}`"))
}

pub(super) fn text(report: &Value, pointer: &str) -> Result<String> {
    let value = report.pointer(pointer).and_then(Value::as_str);
    value.map(str::to_owned).with_context(|| format!("the report has no `{pointer}`"))
}
