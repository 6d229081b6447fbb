//! Runs what people do today, with psql and pg_dump, each on a fresh copy.

use super::catalog::Catalog;
use super::figures::Samples;
use super::ground::{COPY, CROWDED, Ground, SPARSE, script};
use super::script::{self as text, ARCHIVE, Archive, Checks};
use super::watch;
use crate::process;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the expert works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Checked,
    Replica,
    /// Checked, and the rows are kept before.
    Archived,
}

pub(super) struct Peers {
    catalog: Catalog,
    /// For scripts, output and archives.
    folder: PathBuf,
    naive_tenants: usize,
}

impl Peers {
    pub(super) fn new(catalog: Catalog, folder: &Path, naive_tenants: usize) -> Result<Self> {
        let folder = folder.join("peers");
        ensure!(
            process::exists("zstd", "--version"),
            "`zstd` is not installed\n  hint: the expert archives with it"
        );
        std::fs::create_dir_all(folder.join(ARCHIVE))?;
        Ok(Self { catalog, folder, naive_tenants })
    }

    pub(super) fn expert(&self, ground: &Ground, way: Way) -> Result<Samples> {
        let (name, checks) = match way {
            Way::Checked => ("expert", Checks::On),
            Way::Replica => ("replica", Checks::Replica),
            Way::Archived => ("archived", Checks::On),
        };
        let archive = if way == Way::Archived { Archive::Kept } else { Archive::None };
        let sql = text::expert(&self.catalog, checks, archive)?;
        ground.fresh()?;
        let samples = self.timed(ground, name, &sql)?;
        ground.agree(name)?;
        Ok(samples)
    }

    /// The script on some of the tenants, spread evenly; the whole is what that means for all of them.
    pub(super) fn naive(&self, ground: &Ground) -> Result<Samples> {
        let all = &self.catalog.doomed;
        let step = (all.len() / self.naive_tenants).max(1);
        let tenants: Vec<&String> = all.iter().step_by(step).take(self.naive_tenants).collect();
        ground.fresh()?;
        let mut samples = self.timed(ground, "naive", &text::naive(&self.catalog, &tenants)?)?;
        let share = f64::from(u32::try_from(all.len())?) / f64::from(u32::try_from(tenants.len())?);
        let sampled = samples.remove("naive.naive").unwrap_or_default();
        samples.insert("naive.sampled".to_owned(), sampled);
        samples.insert("naive".to_owned(), sampled * share);
        Ok(samples)
    }

    /// Single stages, which change nothing.
    pub(super) fn stages(&self, ground: &Ground) -> Result<Samples> {
        ground.fresh()?;
        let keys = format!("BEGIN;\n{}ROLLBACK;\n", text::key_tables(&self.catalog, false)?);
        let mut samples = Samples::from([("keys".to_owned(), self.psql(ground, COPY, "keys", &keys)?)]);
        let mut copy = ground.psql(COPY);
        copy.arg("-f").arg(self.write("copy", &text::copies(&self.catalog))?);
        samples.insert("copy".to_owned(), self.to_nowhere(&copy)?);
        let mut dump = ground.client("pg_dump", COPY);
        dump.arg("-Fc").arg("-f").arg(self.folder.join("dump"));
        samples.insert("dump".to_owned(), watch::run(&mut dump, &self.folder, &[0])?.seconds);
        Ok(samples)
    }

    /// What looking through accounts costs without unseed.
    pub(super) fn scans(&self, ground: &Ground) -> Result<Samples> {
        let mut samples = Samples::new();
        for (name, database) in [("crowded", CROWDED), ("sparse", SPARSE)] {
            let columns = "COPY (SELECT id, name, subdomain, email, created_at FROM accounts) TO STDOUT;\n";
            let mut copy = ground.psql(database);
            copy.arg("-f").arg(self.write("copy-accounts", columns)?);
            samples.insert(format!("scan.{name}.copy"), self.to_nowhere(&copy)?);
            let mut regex = ground.psql(database);
            regex.arg("-f").arg(script("regex.sql"));
            let seconds = watch::run(&mut regex, &self.folder, &[0])?.seconds;
            samples.insert(format!("scan.{name}.regex"), seconds);
        }
        Ok(samples)
    }

    fn timed(&self, ground: &Ground, name: &str, sql: &str) -> Result<Samples> {
        let mut client = ground.psql(COPY);
        client.current_dir(&self.folder);
        let done = watch::run(client.arg("-f").arg(self.write(name, sql)?), &self.folder, &[0])?;
        let mut samples = text::phases(&done.stdout, name)?;
        samples.insert(name.to_owned(), done.seconds);
        Ok(samples)
    }

    fn psql(&self, ground: &Ground, database: &str, name: &str, sql: &str) -> Result<f64> {
        let mut client = ground.psql(database);
        Ok(watch::run(client.arg("-f").arg(self.write(name, sql)?), &self.folder, &[0])?.seconds)
    }

    /// With the output thrown away by a shell: a file of it would cost more than the reading.
    fn to_nowhere(&self, command: &Command) -> Result<f64> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec \"$0\" \"$@\" > /dev/null"])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Ok(watch::run(&mut shell, &self.folder, &[0])?.seconds)
    }

    /// The scripts stay, for whoever wants to read what was measured.
    fn write(&self, name: &str, sql: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}.sql"));
        std::fs::write(&path, sql)?;
        Ok(path)
    }
}
