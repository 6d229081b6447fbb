//! Finds the programs of the newest PostgreSQL on this machine.
//!
//! Distributions keep `initdb` and `pg_ctl` out of PATH, one folder per major version.

use super::ServerError;
use std::path::{Path, PathBuf};
use std::process::Command;

const DISTRIBUTION_FOLDERS: [&str; 3] = ["/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt"];

/// The folder with `initdb`, `pg_ctl`, `psql` and `pg_dump`: the highest version found, else what `pg_config` says.
pub fn postgres_programs() -> Result<PathBuf, ServerError> {
    DISTRIBUTION_FOLDERS
        .iter()
        .flat_map(|folder| versions(Path::new(folder)))
        .max_by_key(|(version, _)| *version)
        .map(|(_, bin)| bin)
        .or_else(told_by_pg_config)
        .ok_or_else(|| ServerError::Missing { program: "initdb (the PostgreSQL server)".to_owned() })
}

fn versions(folder: &Path) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let version = entry.file_name().to_string_lossy().trim_start_matches("postgresql@").parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    named.filter(|(_, bin)| is_server(bin)).collect()
}

fn told_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let bin = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    is_server(&bin).then_some(bin)
}

fn is_server(bin: &Path) -> bool {
    bin.join("initdb").is_file() && bin.join("pg_ctl").is_file()
}
