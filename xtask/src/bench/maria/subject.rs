//! The release binary: plan, purge, verify, restore, each a process of its own.
//!
//! Its roots are the tenants, so it removes these too, and finds their messages by the foreign key.

use super::Samples;
use super::ground::Ground;
use crate::bench::ground::script;
use crate::bench::subject::{number, text};
use crate::bench::watch;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROOTS: &str = "tenants: id % 100 <> 0";

pub(super) fn journey(ground: &Ground, program: &Path, folder: &Path) -> Result<Samples> {
    let work = folder.join("work");
    if work.exists() {
        std::fs::remove_dir_all(&work)?;
    }
    std::fs::create_dir_all(&work)?;
    let mut journey = Journey { program, work, samples: Samples::new() };
    let url = ground.url();
    let plan = journey.step("plan", &["plan", &url, "--where", ROOTS, "-o", "plan.json"])?;
    let report = journey.step("purge", &["purge", "plan.json", "--confirm", &text(&plan, "/id")?])?;
    ground.agree("unseed")?;
    for stage in ["prepare", "close", "archive", "remove", "finish"] {
        journey.note(stage, number(&report, &format!("/timings/{stage}_ms"))? / 1e3);
    }
    let (total, archive) = (number(&report, "/statements/total")?, number(&report, "/statements/archive")?);
    journey.note("statements.not_archive", total - archive);
    journey.note("longest", number(&report, "/statements/longest_transaction_us")? / 1e6);
    journey.note("batches", number(&report, "/batches/done")?);
    journey.note("rows", number(&report, "/rows/deleted")?);
    let run = text(&report, "/run")?;
    journey.step("verify", &["verify", &run, "--url", &url])?;
    journey.step("restore", &["restore", &run, "--url", &url, "--confirm", &run])?;
    ensure!(ground.is_as_loaded()?, "the restored database differs from the original");
    Ok(journey.samples)
}

struct Journey<'a> {
    program: &'a Path,
    work: PathBuf,
    samples: Samples,
}

impl Journey<'_> {
    /// Runs a verb; its time, memory and JSON are the outcome.
    fn step(&mut self, verb: &str, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new(self.program);
        command.args(arguments).args(["--quiet", "--format", "json"]);
        command.arg("--config").arg(script("mariadb.toml")).arg("--state").arg(self.work.join("state"));
        command.current_dir(&self.work).stdin(Stdio::null());
        for name in ["UNSEED_STATE", "UNSEED_ACTOR", "DATABASE_URL"] {
            command.env_remove(name);
        }
        let done = watch::run(&mut command, &self.work, &[0])?;
        self.note(verb, done.seconds);
        if let Some(mib) = done.peak_mib {
            self.note(&format!("{verb}.mib"), mib);
        }
        serde_json::from_str(&done.stdout).with_context(|| format!("`unseed {verb}` printed no JSON"))
    }

    fn note(&mut self, part: &str, value: f64) {
        self.samples.insert(format!("unseed.{part}"), value);
    }
}
