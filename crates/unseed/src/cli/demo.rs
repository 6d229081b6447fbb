//! `unseed demo`: the whole way on a small database of its own, with the same functions as the verbs.
//!
//! Invariants
//! - nothing outside the demo's folder is read or written, not even a configuration in the current folder;
//! - a folder that holds anything else than an earlier demo is refused;
//! - at the end the database is compared with the original, row by row.
//!
//! Not here: what is in the database (`demo::data`).

mod data;

use super::keys::{SealArgs, UnlockArgs};
use super::plan::PlanArgs;
use super::{Address, Done, Env, plan, purge, restore, scan, show, verify};
use crate::ui::{self, Tone};
use crate::wire::{self, STATE_FOLDER, Target, Wire};
use crate::{graph, report};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use unseed_core::approve::statement::Act;
use unseed_core::approve::{self, Gate, Given};
use unseed_core::fault::Fault;
use unseed_core::keys::WholePlan;
use unseed_core::port::clock::Clock;
use unseed_core::port::state::StateDb;
use unseed_engine::restore::Scope;
use unseed_engine::scan::Wanted;
use unseed_io::sample;

/// Contaminate a small database of its own, then scan, plan, purge, verify and restore it, explaining each step
#[derive(Debug, Args)]
#[command(after_help = "Example:
  unseed demo
  unseed demo --dir /tmp/look

Everything stays in the folder for you to look at; running it again starts afresh.")]
pub(crate) struct DemoArgs {
    /// Folder for the database, plan, archive, report and picture
    #[arg(long, value_name = "DIR", default_value = "unseed-demo")]
    dir: PathBuf,
}

/// Files that an earlier demo left.
const FILES: [&str; 7] =
    ["app.db", "original.db", "cleaned.db", "plan.json", "scan.json", "report.html", "closure.svg"];

/// The demo's surroundings.
struct Stage<'a> {
    env: Env<'a>,
    folder: PathBuf,
    database: PathBuf,
    target: Target,
}

pub(super) async fn run(env: &Env<'_>, args: &DemoArgs) -> Result<Done, Fault> {
    let begun = env.wire.clock.monotonic_ms();
    let stage = Stage::set(env, &args.dir)?;
    stage.contaminate()?;
    let findings = stage.scan().await?;
    let whole = stage.plan().await?;
    let run = stage.purge(whole).await?;
    stage.verify(&run).await?;
    stage.restore(&run).await?;
    let took_ms = env.wire.clock.monotonic_ms().saturating_sub(begun);
    stage.end(&json!({
        "format": "unseed.demo/1", "folder": args.dir, "findings": findings, "run": run, "took_ms": took_ms,
    }));
    Ok(Done::Success)
}

impl<'a> Stage<'a> {
    fn set(env: &Env<'a>, folder: &Path) -> Result<Self, Fault> {
        clear(folder)?;
        let database = folder.join("app.db");
        sample::create(&database, &data::script())?;
        let wire = Wire::bare(folder.join(STATE_FOLDER));
        let target = wire.target(Some(&format!("sqlite:{}", database.display())))?;
        let env = Env { wire, ui: env.ui, interrupt: env.interrupt };
        Ok(Self { env, folder: folder.to_path_buf(), database, target })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Explains what comes next, and the command for it.
    fn say(&self, title: &str, explanation: &str, command: &str) {
        if !self.env.ui.is_table() {
            return;
        }
        let command = if command.is_empty() { String::new() } else { format!("\n\n  $ {command}") };
        let title = self.env.ui.painted(title, Tone::Strong);
        self.env
            .ui
            .text(&format!("\n{title}\n{explanation}{}\n", self.env.ui.painted(&command, Tone::Faint)));
    }

    fn show(&self, text: &str) {
        if self.env.ui.is_table() {
            self.env.ui.text(&indented(text));
        }
    }

    fn contaminate(&self) -> Result<(), Fault> {
        let original = self.file("original.db");
        std::fs::copy(&self.database, &original).map_err(|error| cannot_write(&original, &error))?;
        self.say("1. A production database with test data in it", data::STORY, "");
        let lines: Vec<String> = sample::counts(&self.database)?
            .iter()
            .map(|(table, rows)| format!("{:>7}  {table}", ui::count(*rows)))
            .collect();
        self.show(&lines.join("\n"));
        Ok(())
    }

    async fn scan(&self) -> Result<u64, Fault> {
        self.say(
            "2. Scan: what looks like test data, and why",
            "No configuration: tables, keys and roles are inferred. Every finding carries its reasons, and what\n\
             speaks against it. Nothing is changed.",
            &format!("unseed scan {}", self.database.display()),
        );
        let mut store = self.env.wire.open(&self.target).await?;
        let wanted = (Wanted::Findings, &self.env.wire.config.policy());
        let scanned = scan::scan(&self.env, store.as_mut(), &self.target.name, wanted).await?;
        let found = scanned.whole()?;
        self.show(&report::table::text(&found, self.env.ui));
        let page = scan::page(&self.env, &found, &self.target.address, None);
        wire::write_file(&self.file("report.html"), page.as_bytes())?;
        let bytes =
            serde_json::to_vec_pretty(&found).expect("a report is plain data, which JSON can always hold");
        wire::write_file(&self.file("scan.json"), &bytes)?;
        Ok(u64::try_from(found.test_findings().count()).unwrap_or(u64::MAX))
    }

    async fn plan(&self) -> Result<WholePlan, Fault> {
        let output = self.file("plan.json");
        let protect = data::PROTECT.map(ToOwned::to_owned).to_vec();
        let flags: Vec<String> = protect.iter().map(|p| format!("--protect '{p}'")).collect();
        self.say(
            "3. Plan: everything that would leave, decided before anything is touched",
            "The findings are the roots. Their closure over all foreign keys is computed in the database. Had it\n\
             reached a protected row, the plan would be refused with the path.",
            &format!("unseed plan {} --findings -o {} \\\n      {}", self.database.display(), output.display(), flags.join(" ")),
        );
        let args = PlanArgs {
            output,
            findings: Some(Some(self.file("scan.json"))),
            protect,
            batch_rows: Some(data::BATCH_ROWS),
            ..PlanArgs::default()
        };
        let (whole, _) = plan::make(&self.env, &args, &self.target).await?;
        self.show(&show::plan_text(self.env.ui, whole.plan()));
        wire::write_file(&self.file("closure.svg"), graph::svg(whole.plan()).as_bytes())?;
        Ok(whole)
    }

    async fn purge(&self, whole: WholePlan) -> Result<String, Fault> {
        let id = whole.plan().id.clone();
        self.say(
            "4. Purge: archive, remove, prove, batch by batch",
            "Each batch is written to the archive and flushed to the disk before a row goes; the database's own\n\
             counters must agree with the plan before it is committed.",
            &format!("unseed purge {} --confirm {id}", self.file("plan.json").display()),
        );
        let archive = SealArgs::default().archive(&self.env, &whole)?;
        let confirmed = approve::confirm(whole, &Gate::default(), Given::Id(&id))?;
        let report = purge::execute(&self.env, confirmed, archive, &Address::default()).await?;
        self.show(&show::run_text(self.env.ui, &report));
        let cleaned = self.file("cleaned.db");
        std::fs::copy(&self.database, &cleaned).map_err(|error| cannot_write(&cleaned, &error))?;
        Ok(report.run)
    }

    async fn verify(&self, run: &str) -> Result<(), Fault> {
        self.say(
            "5. Verify: look again",
            "Roots gone, no row that points at nothing, protected rows unchanged, archive whole.",
            &format!("unseed verify {run} --state {}", self.file(STATE_FOLDER).display()),
        );
        let (_, whole) = super::run_and_plan(&self.env, run)?;
        let report =
            verify::execute(&self.env, run, &whole, (&Address::default(), &UnlockArgs::default())).await?;
        self.show(&verify::text(&self.env, &report));
        unseed_engine::verify::fault(&report).map_or(Ok(()), Err)
    }

    async fn restore(&self, run: &str) -> Result<(), Fault> {
        self.say(
            "6. Restore: change your mind",
            "Everything is put back, parents first, detached references included. Nothing would be overwritten.",
            &format!("unseed restore {run} --state {} --confirm {run}", self.file(STATE_FOLDER).display()),
        );
        let (found, whole) = super::run_and_plan(&self.env, run)?;
        let agreed = Act::Restore { run: run.to_owned() };
        let confirmed = approve::confirm_run(found, whole, &Gate::default(), agreed, Given::Id(run))?;
        let (address, unlock) = (Address::default(), UnlockArgs::default());
        let scope = &Scope::Everything;
        let wanted = restore::Wanted { scope, address: &address, unlock: &unlock, skip_hooks: false };
        let (restored, _) = restore::execute(&self.env, &confirmed, &wanted).await?;
        if let Some(fault) = unseed_engine::restore::fault(run, &restored.conflicts) {
            return Err(fault);
        }
        self.show(&restore::text(run, &Scope::Everything, &restored));
        let different = sample::differences(&self.database, &self.file("original.db"))?;
        if !different.is_empty() {
            let message =
                format!("after the restore these tables differ from the original: {}", different.join(", "));
            return Err(Fault::store(message).hint("please report this as a fault of unseed"));
        }
        self.show("every row of every table equals the original");
        let mut state = self.env.wire.state()?;
        state.run(run).map(drop)
    }

    fn end(&self, summary: &Value) {
        if !self.env.ui.is_table() {
            self.env.ui.json(summary);
            return;
        }
        let shown = self.folder.display();
        self.say(
            "What is left for you to look at",
            &format!(
                "  {shown}/app.db           the database, as it was again\n  \
                 {shown}/original.db      a copy from before\n  \
                 {shown}/cleaned.db       a copy from after the purge\n  \
                 {shown}/report.html      the findings as a page\n  \
                 {shown}/closure.svg      what leaves because of what\n  \
                 {shown}/plan.json        the plan\n  \
                 {shown}/.unseed/archive  the archive, with restore.sql for sqlite3 alone\n\n\
                 Now on a database of yours, for a start read-only: `unseed scan URL`"
            ),
            "",
        );
    }
}

/// Makes the folder, or removes what an earlier demo left in it.
fn clear(folder: &Path) -> Result<(), Fault> {
    let known = |name: &str| FILES.contains(&name) || name == STATE_FOLDER || name.starts_with("keys-");
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error));
        }
        Err(error) => return Err(cannot_write(folder, &error)),
    };
    let mut old = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| cannot_write(folder, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !known(&name) {
            let message = format!("folder `{}` holds `{name}`, which is not from a demo", folder.display());
            return Err(Fault::usage(message).hint("name a new folder with `--dir DIR`"));
        }
        old.push(entry.path());
    }
    for path in old {
        let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        gone.map_err(|error| cannot_write(&path, &error))?;
    }
    Ok(())
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Fault {
    Fault::usage(format!("`{}` cannot be written: {error}", path.display()))
        .hint("name a folder that can be written with `--dir DIR`")
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| if line.is_empty() { String::new() } else { format!("    {line}") })
        .collect::<Vec<_>>()
        .join("\n")
}
