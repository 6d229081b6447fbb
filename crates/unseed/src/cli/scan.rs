//! `unseed scan`: finds test data and says why.

use super::{Done, Env};
use crate::report;
use crate::wire;
use clap::Args;
use std::path::PathBuf;
use unseed_core::fault::Fault;
use unseed_core::scan::Report;
use unseed_engine::scan::Options;
use unseed_io::store::AnyStore;

/// Find test data; exits with 1 when there is some
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed scan postgres://me@db.example/app
  unseed scan app.db --html report.html
  unseed scan --format json > scan.json          the store of unseed.toml")]
pub(crate) struct ScanArgs {
    /// Store: a URL, the path of a SQLite file, env:NAME, or a name of the configuration
    pub(crate) url: Option<String>,
    /// Also write the report as a page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Also write the report as JSON, for `plan --findings FILE`
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

pub(super) async fn run(env: &Env<'_>, args: &ScanArgs) -> Result<Done, Fault> {
    let target = env.wire.target(args.url.as_deref())?;
    let mut store = env.wire.open(&target).await?;
    let report = scan(env, store.as_mut(), &target.name).await?;
    if let Some(path) = &args.output {
        let bytes =
            serde_json::to_vec_pretty(&report).expect("a report is plain data, which JSON can always hold");
        wire::write_file(path, &bytes)?;
        env.ui.note(&format!("report written to {}", path.display()));
    }
    if let Some(path) = &args.html {
        wire::write_file(path, report::html::page(&report).as_bytes())?;
        env.ui.note(&format!("page written to {}", path.display()));
    }
    if env.ui.is_table() {
        env.ui.text(&report::table::text(&report, env.ui));
    } else {
        env.ui.json(&report);
    }
    Ok(if report.is_clean() { Done::Success } else { Done::Findings })
}

/// Scans an open store with the overrides of the configuration.
pub(super) async fn scan(env: &Env<'_>, store: &mut dyn AnyStore, name: &str) -> Result<Report, Fault> {
    let catalog = store.store().inspect().await?;
    let overrides = env.wire.config.entities.clone();
    let options = Options { store: name.to_owned(), overrides, ..Options::default() };
    unseed_engine::scan::scan(store.source(), &catalog.schema, &options, env.ui.progress()).await
}
