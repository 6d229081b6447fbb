//! What the tests need from the machine: PostgreSQL, MariaDB, Redis, SQLite's client, OpenSSH's, `age`, Python. Debian's and
//! Ubuntu's `apt-get` is
//! used if something is missing; elsewhere the list is printed.

use crate::process::{self, exists, say};
use anyhow::{Context as _, Result, bail};
use std::process::Command;
use unseed_testkit::server::{mariadb_is_installed, postgres_programs};

struct Need {
    packages: &'static [&'static str],
    is_there: fn() -> bool,
}

const NEEDS: [Need; 7] = [
    Need { packages: &["postgresql", "postgresql-contrib"], is_there: || postgres_programs().is_ok() },
    Need { packages: &["redis-server", "redis-tools"], is_there: has_redis },
    Need { packages: &["mariadb-server", "mariadb-client"], is_there: mariadb_is_installed },
    Need { packages: &["sqlite3"], is_there: || exists("sqlite3", "-version") },
    Need { packages: &["openssh-client"], is_there: || exists("ssh", "-V") },
    Need { packages: &["age"], is_there: || exists("age", "--version") },
    Need { packages: &["python3", "python3-venv"], is_there: has_python },
];

/// Installs whatever is missing, or fails with the command that would.
pub(crate) fn servers() -> Result<()> {
    let packages: Vec<&str> =
        NEEDS.iter().filter(|need| !(need.is_there)()).flat_map(|need| need.packages).copied().collect();
    if packages.is_empty() {
        return Ok(());
    }
    apt(&packages)?;
    if let Some(need) = NEEDS.iter().find(|need| !(need.is_there)()) {
        bail!("`{}` is installed, but its programs are not found", need.packages.join(" "));
    }
    Ok(())
}

/// A Python that has the `redis` module: what a careful person's script needs.
pub(crate) fn python_with_redis() -> Result<&'static str> {
    const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];
    let found = || PYTHONS.into_iter().find(|python| exists_module(python, "redis"));
    if let Some(python) = found() {
        return Ok(python);
    }
    apt(&["python3", "python3-redis"])?;
    found().context("`python3-redis` is installed, but no Python finds it")
}

fn exists_module(python: &str, module: &str) -> bool {
    process::capture(Command::new(python).args(["-c", &format!("import {module}")])).is_ok()
}

/// A package may have moved since the list was fetched, and a new machine has no list at all.
pub(crate) fn update_package_list() -> Result<()> {
    let Some(prefix) = root_prefix() else { bail!("run as root `apt-get update`, then try again") };
    process::run(&mut apt_get(prefix, &["-qq", "update"]))
}

/// Installs pt-archiver, beside which unseed is measured on MariaDB.
pub(crate) fn pt_archiver() -> Result<()> {
    if exists("pt-archiver", "--version") { Ok(()) } else { apt(&["percona-toolkit"]) }
}

fn apt(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install -y {}", packages.join(" "));
    let Some(prefix) = root_prefix() else {
        bail!(
            "the tests need {}\n  hint: run as root `{by_hand}`, or the like of your system",
            packages.join(", ")
        );
    };
    say(&format!("installing {}", packages.join(", ")));
    update_package_list()?;
    let mut arguments = vec!["-qq", "install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    process::run(&mut apt_get(prefix, &arguments))
}

/// What to put before a command to run it as root; nothing can be done without `apt-get` or without the right.
fn root_prefix() -> Option<&'static [&'static str]> {
    if !exists("apt-get", "--version") {
        return None;
    }
    if process::capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0") {
        return Some(&["env"]);
    }
    process::capture(Command::new("sudo").args(["-n", "true"])).is_ok().then_some(&["sudo", "-n", "env"])
}

fn apt_get(prefix: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]).arg("DEBIAN_FRONTEND=noninteractive").arg("apt-get").args(arguments);
    command
}

fn has_redis() -> bool {
    exists("redis-server", "--version") && exists("redis-cli", "--version")
}

fn has_python() -> bool {
    process::capture(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_ok()
}
