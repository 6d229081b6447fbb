//! Runs one program to its end and returns what it printed, or an error that shows everything it said.

use super::ServerError;
use std::io::ErrorKind;
use std::process::{Command, Output, Stdio};

/// Runs the command with no terminal and no input (unless its standard input is set) and returns standard output.
pub(super) fn run(command: &mut Command) -> Result<String, ServerError> {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = output.map_err(|error| not_started(command, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(ServerError::Failed {
        command: format!("{command:?}"),
        status: output.status.to_string(),
        output: everything_said(&output),
    })
}

pub(super) fn not_started(command: &Command, error: &std::io::Error) -> ServerError {
    let program = command.get_program().to_string_lossy().into_owned();
    if error.kind() == ErrorKind::NotFound {
        return ServerError::Missing { program };
    }
    ServerError::Failed { command: program, status: "not started".to_owned(), output: error.to_string() }
}

fn everything_said(output: &Output) -> String {
    let said =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim_end().to_owned());
    said.join("\n").trim().to_owned()
}
