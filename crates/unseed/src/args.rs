//! From words on the command line to a command: clap's answers become results or faults of ours.
//!
//! Not here: what the commands do (`cli`).

use crate::cli::Cli;
use crate::ui::{Color, Format, Ui};
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;
use unseed_core::fault::Fault;

/// Parses the arguments; help, version and mistakes are printed and give the code to end with.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, ExitCode> {
    Cli::try_parse_from(arguments).map_err(|error| {
        let ui = Ui::new(wanted_format(arguments), Color::Auto, false);
        if [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind()) {
            ui.text(&error.render().to_string());
            return ExitCode::SUCCESS;
        }
        let fault = fault(&error, arguments);
        ui.fault(&fault);
        ExitCode::from(fault.category.exit_code())
    })
}

/// The format asked for, as far as it can be told before the arguments are understood.
fn wanted_format(arguments: &[OsString]) -> Format {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let json = words.contains(&"--format=json") || words.windows(2).any(|pair| pair == ["--format", "json"]);
    if json { Format::Json } else { Format::Table }
}

fn fault(error: &clap::Error, arguments: &[OsString]) -> Fault {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Fault::usage("no command was given").hint("run `unseed --help` to see the commands");
    }
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("the arguments were not understood");
    let first = first.strip_prefix("error: ").unwrap_or(first).trim_end_matches(':').replace('\'', "`");
    let mut fault = Fault::usage(first);
    for line in lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")) {
        fault = fault.detail(line.replace('\'', "`"));
    }
    let verb = arguments.get(1).and_then(|word| word.to_str()).filter(|word| !word.starts_with('-'));
    fault.hint(match verb.filter(|_| error.kind() != ErrorKind::InvalidSubcommand) {
        Some(verb) => format!("run `unseed {verb} --help` to see what it takes"),
        None => "run `unseed --help` to see the commands".to_owned(),
    })
}
