//! `unseed classify`: scores records of a file or of standard input, without a database.

use super::{Done, Env};
use crate::classify::output::{Output, Style};
use crate::classify::{self, Form, Options};
use crate::{ui, wire};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::Arc;
use unseed_core::entity::Entity;
use unseed_core::fault::Fault;

/// Score records from CSV or NDJSON without a database
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed classify users.csv                            columns kind,name,slug,email,… by their names
  unseed classify --format ndjson < users.ndjson       one line of JSON per record, in order
  psql -c \"COPY (SELECT name, email FROM users) TO STDOUT CSV HEADER\" | unseed classify --format ndjson")]
pub(crate) struct ClassifyArgs {
    /// File with records; standard input without one, or with `-`
    file: Option<PathBuf>,
    /// Form of the records [default: NDJSON where the first character is `{`, else CSV]
    #[arg(long, value_enum)]
    input: Option<InputArg>,
    /// What records are that have no column `kind`
    #[arg(long, value_enum, default_value_t = KindArg::User)]
    kind: KindArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InputArg {
    Csv,
    Ndjson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    Tenant,
    User,
}

pub(super) fn run(env: &Env<'_>, args: &ClassifyArgs) -> Result<Done, Fault> {
    let detection = &env.wire.config.detection;
    let options = Options {
        form: args.input.map(|form| match form {
            InputArg::Csv => Form::Csv,
            InputArg::Ndjson => Form::Ndjson,
        }),
        kind: match args.kind {
            KindArg::Tenant => Entity::Tenant,
            KindArg::User => Entity::User,
        },
        thresholds: detection.thresholds,
        rules: Arc::new(detection.rules.clone()),
    };
    let style = if env.ui.is_table() { Style::People } else { Style::Programs };
    let mut output = Output::new(env.ui.stream(), style);
    let done = match args.file.as_deref().filter(|path| path.as_os_str() != "-") {
        Some(path) => classify::run(wire::open_file(path)?, &options, &mut output),
        None => classify::run(std::io::stdin().lock(), &options, &mut output),
    };
    output.flush();
    let seen = done?;
    if seen.records == 0 {
        env.ui.note("there was no record to score");
    }
    if !seen.ignored.is_empty() {
        env.ui.note(&format!("not looked at: {}", seen.ignored));
    }
    let counts = output.counts;
    drop(output);
    env.ui.note(&format!(
        "{} test, {} suspect, {} real",
        ui::count(counts.test),
        ui::count(counts.suspect),
        ui::count(counts.real)
    ));
    Ok(Done::Success)
}
