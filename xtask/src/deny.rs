//! Licences, bans and sources of dependencies, by `cargo deny`; the rules are in `deny.toml`.
//!
//! Known vulnerabilities are asked for apart: their database comes from the network, and a landing must not depend
//! on what was published an hour ago.

use crate::process::{self, cargo, exists, is_ci, say};
use anyhow::Result;

/// Keeps a developer's machine from building cargo-deny, which takes a few minutes.
const SKIP: &str = "UNSEED_SKIP_DENY";

pub(crate) fn run(advisories: bool) -> Result<()> {
    if !exists("cargo-deny", "--version") {
        if std::env::var_os(SKIP).is_some() && !is_ci() {
            say(&format!("cargo-deny is not installed, and {SKIP} is set: dependencies are not checked"));
            return Ok(());
        }
        say(&format!("cargo-deny is not installed; building it (set {SKIP}=1 to go on without)"));
        process::run(cargo().args(["install", "cargo-deny", "--locked", "--quiet"]))?;
    }
    let mut command = cargo();
    command.args(["deny", "--workspace", "check", "licenses", "bans", "sources"]);
    if advisories {
        command.arg("advisories");
    }
    process::run(&mut command)
}
