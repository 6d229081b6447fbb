//! `unseed scan`: finds test data and says why.

pub(crate) mod baseline;
pub(crate) mod explain;

use super::{Done, Env};
use crate::report;
use crate::report::html::Circumstances;
use crate::report::json::{Document, Failure};
use crate::wire;
use clap::Args;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unseed_core::fault::Fault;
use unseed_core::policy::Policy;
use unseed_core::port::clock::Clock as _;
use unseed_core::scan::Report;
use unseed_engine::scan::{Options, Scanned, Wanted};
use unseed_io::scratch::TemporaryFiles;
use unseed_io::store::AnyStore;

/// Find test data; exits with 1 when there is some
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed scan postgres://me@db.example/app
  unseed scan app.db --html report.html
  unseed scan --format json > scan.json          the store of unseed.toml
  unseed scan app.db --explain tenants:17        why a row is test data, or is not
  unseed scan --baseline scan.json               what came in since")]
pub(crate) struct ScanArgs {
    /// Store: a URL, the path of a SQLite file, env:NAME, or a name of the configuration
    pub(crate) url: Option<String>,
    /// Also write the report as a page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Also write the report as JSON, for `plan --findings FILE`
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Show the whole sum of one row: its key, `TABLE:KEY` where tables share keys, `a,b` for several columns
    #[arg(long, value_name = "KEY", conflicts_with_all = ["html", "output", "baseline"])]
    pub(crate) explain: Option<String>,
    /// Leave out what an earlier report, written by `--output`, lists already
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
}

pub(super) async fn run(env: &Env<'_>, args: &ScanArgs) -> Result<Done, Fault> {
    let target = env.wire.target(args.url.as_deref())?;
    let mut store = env.wire.open(&target).await?;
    let mut options = options(env, &target.name);
    if let Some(key) = &args.explain {
        options.explain = Some(explain::asked(key));
        options.wanted = Wanted::Samples;
        let scanned = scan_with(env, store.as_mut(), &options).await?;
        return explain::show(env, &scanned, key);
    }
    if let Some(path) = &args.baseline {
        options.baseline = Some(Arc::new(baseline::read(path)?));
    }
    let needs_all = args.output.is_some() || !env.ui.is_table();
    options.wanted = if needs_all { Wanted::Findings } else { Wanted::Samples };
    let mut scanned = scan_with(env, store.as_mut(), &options).await?;
    if let Some(path) = &args.output {
        write_json(&mut scanned, path)?;
        env.ui.note(&format!("report written to {}", path.display()));
    }
    if let Some(path) = &args.html {
        let baseline = args.baseline.as_deref().map(|p| p.file_name().unwrap_or(p.as_os_str()));
        let baseline = baseline.map(OsStr::to_string_lossy);
        let page = page(env, &scanned.report, &target.address, baseline.as_deref());
        wire::write_file(path, page.as_bytes())?;
        env.ui.note(&format!("page written to {}", path.display()));
    }
    match (env.ui.is_table(), &args.output) {
        (true, _) => env.ui.text(&report::table::text(&scanned.report, env.ui)),
        // Findings are told once, and they stand in the file.
        (false, Some(path)) => env.ui.copy(&mut wire::open_file(path)?),
        (false, None) => {
            let failure = Failure::default();
            env.ui.json(&Document::new(&mut scanned, &failure));
            failure.into_inner().map_or(Ok(()), Err)?;
        }
    }
    Ok(if scanned.report.is_clean() { Done::Success } else { Done::Findings })
}

/// The report as a page.
pub(super) fn page(env: &Env<'_>, report: &Report, address: &str, baseline: Option<&str>) -> String {
    let made = Circumstances {
        at: &env.wire.clock.now(),
        address,
        thresholds: env.wire.config.detection.thresholds,
        baseline,
    };
    report::html::page(report, &made)
}

fn write_json(scanned: &mut Scanned, path: &Path) -> Result<(), Fault> {
    let mut out = wire::create_file(path)?;
    let failure = Failure::default();
    let written = serde_json::to_writer_pretty(&mut out, &Document::new(scanned, &failure));
    failure.into_inner().map_or(Ok(()), Err)?;
    let written =
        written.map_err(std::io::Error::from).and_then(|()| writeln!(out)).and_then(|()| out.flush());
    written.map_err(|error| wire::not_written(path, &error))
}

/// Scans an open store with what the configuration says, and with what else is protected.
pub(super) async fn scan(
    env: &Env<'_>,
    store: &mut dyn AnyStore,
    name: &str,
    (wanted, policy): (Wanted, &Policy),
) -> Result<Scanned, Fault> {
    let protected = policy.protect.clone();
    scan_with(env, store, &Options { wanted, protected, ..options(env, name) }).await
}

fn options(env: &Env<'_>, name: &str) -> Options {
    let config = &env.wire.config;
    Options {
        store: name.to_owned(),
        overrides: config.entities.clone(),
        thresholds: config.detection.thresholds,
        rules: Arc::new(config.detection.rules.clone()),
        protected: config.policy().protect,
        ..Options::default()
    }
}

async fn scan_with(env: &Env<'_>, store: &mut dyn AnyStore, options: &Options) -> Result<Scanned, Fault> {
    let catalog = store.store().inspect().await?;
    let scratch = Arc::new(TemporaryFiles);
    unseed_engine::scan::scan(store.source(), &catalog.schema, options, scratch, env.ui.progress()).await
}
