//! The command line: arguments, configuration and wiring around the engine.
//!
//! | module | does |
//! |---|---|
//! | [`cli`] | one file per verb: its arguments and one function |
//! | [`wire`] | environment, configuration, URLs → stores, state, archive, clock, actor |
//! | [`ui`] | the only printer: results, faults, progress, questions |
//! | [`classify`] | records of CSV or NDJSON, scored one by one |
//! | [`report`] | a scan as a table and as a page |
//! | [`plan_file`] | reading and writing plans and their key files |
//! | [`graph`] | a plan's closure as a picture |
//!
//! Invariants
//! - only [`ui`] prints, and only [`wire`] reads the environment;
//! - exit codes come from the category of a fault and from nowhere else.

mod args;
pub mod classify;
pub mod cli;
pub mod graph;
pub mod plan_file;
pub mod report;
mod signals;
pub mod table;
pub mod ui;
pub mod wire;

use signals::Ending;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command; the process ends with the returned code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match args::parse(&arguments) {
        Ok(parsed) => parsed,
        Err(ending) => return ending,
    };
    // The command runs on threads of its own, so that a second interrupt can end the process at once, in
    // whatever call the command is.
    match signals::guarded(parsed) {
        Ending::Done(code) => code,
        Ending::Aborted => ExitCode::from(unseed_core::fault::Category::Interrupted.exit_code()),
    }
}
