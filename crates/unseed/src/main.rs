//! The `unseed` binary; everything is in the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    unseed::run(std::env::args_os())
}
