//! `cargo xtask eval`: precision, recall and calibration of detection on records whose truth is known.
//!
//! The binary classifies the corpus of the testkit as anybody would. The held-out part says how well it does; the
//! train part is for looking at mistakes.

use crate::process::{self, say};
use anyhow::{Context as _, Result, ensure};
use std::process::Command;
use unseed_testkit::corpus::measure::{Summary, measure};
use unseed_testkit::corpus::{Part, lines, records};

/// Where the tables stand in the documentation.
const DOCUMENT: &str = "docs/detection.md";
const BEGIN: &str = "<!-- eval begins -->\n";
const END: &str = "<!-- eval ends -->";

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct EvalArgs {
    /// The part that may be looked at while signals are made, with every mistake
    #[arg(long)]
    train: bool,
    /// Write the tables into docs/detection.md
    #[arg(long, conflicts_with = "train")]
    write: bool,
}

pub(crate) fn run(args: &EvalArgs) -> Result<()> {
    process::run(process::cargo().args(["build", "--release", "-p", "unseed"]))?;
    let part = if args.train { Part::Train } else { Part::HeldOut };
    let summary = classify(part)?;
    say(&summary.markdown());
    if args.train {
        summary.mistakes.iter().for_each(|mistake| say(mistake));
    }
    if args.write {
        write(&summary)?;
    }
    for (kind, counts) in &summary.by_kind {
        let kept = counts.precision() >= 0.995 && counts.recall() >= 0.90;
        ensure!(kept, "{kind}: precision or recall is below what is promised: {counts:?}");
    }
    Ok(())
}

fn classify(part: Part) -> Result<Summary> {
    let records = records(part);
    let folder = process::root().join("target/eval");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("records.ndjson");
    std::fs::write(&file, lines(&records))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| process::root().join("target"), Into::into);
    let mut unseed = Command::new(target.join("release/unseed"));
    unseed.args(["classify", "--format", "ndjson", "--quiet"]).arg(&file).current_dir(&folder);
    Ok(measure(&records, &process::capture(&mut unseed)?))
}

fn write(summary: &Summary) -> Result<()> {
    let path = process::root().join(DOCUMENT);
    let text = std::fs::read_to_string(&path).with_context(|| format!("`{DOCUMENT}`"))?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("`{DOCUMENT}` has no `{BEGIN}`"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("`{DOCUMENT}` has no `{END}`"))?;
    Ok(std::fs::write(&path, format!("{before}{BEGIN}\n{}\n{END}{after}", summary.markdown()))?)
}
