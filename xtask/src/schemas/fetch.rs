//! Brings packages into a folder without installing them on the machine.

use super::recipes::{Recipe, Source};
use crate::process;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use unseed_testkit::schemas::Engine;

/// Installs Python packages several times faster than pip.
const INSTALLER: &str = "uv>=0.8,<1";

pub(super) struct Fetch {
    packages: PathBuf,
}

impl Fetch {
    /// Gets ready for what these recipes need, in an empty folder.
    pub(super) fn prepare(packages: &Path, due: &[&Recipe]) -> Result<Self> {
        std::fs::create_dir_all(packages).with_context(|| format!("`{}`", packages.display()))?;
        let fetch = Self { packages: packages.to_owned() };
        if due.iter().any(|recipe| matches!(recipe.source, Source::Python { .. })) {
            let tools = packages.join("tools");
            process::capture(Command::new("python3").args(["-m", "venv"]).arg(&tools))?;
            process::capture(Command::new(tools.join("bin/pip")).args(["install", "--quiet", INSTALLER]))?;
        }
        Ok(fetch)
    }

    /// The interpreter of a fresh environment with the recipe's packages, and a folder to work in.
    pub(super) fn python(&self, recipe: &Recipe) -> Result<(PathBuf, PathBuf)> {
        let Source::Python { requirements, .. } = recipe.source else {
            bail!("`{}` is not a Python program", recipe.name)
        };
        let (scratch, environment) =
            (self.packages.join(recipe.name), self.packages.join(format!("{}-env", recipe.name)));
        std::fs::create_dir_all(&scratch)?;
        let list = scratch.join("requirements.txt");
        std::fs::write(&list, requirements)?;
        process::capture(
            self.installer(&environment).args(["venv", "--python", "python3"]).arg(&environment),
        )?;
        process::capture(self.installer(&environment).args(["pip", "install", "--requirement"]).arg(&list))?;
        Ok((environment.join("bin/python"), scratch))
    }

    /// The scripts of a Debian package, unpacked and put together.
    pub(super) fn debian(&self, recipe: &Recipe, engine: Engine) -> Result<PathBuf> {
        let Source::Debian(scripts) = recipe.source else {
            bail!("`{}` is not a Debian package", recipe.name)
        };
        let script =
            scripts.iter().find(|script| script.engine == engine).context("the recipe has no such script")?;
        let folder = self.packages.join(script.package);
        std::fs::create_dir_all(&folder)?;
        download(script.package, &folder)?;
        let mut whole = String::new();
        for path in script.paths.iter().map(|path| folder.join(path)) {
            let is_packed = path.extension().is_some_and(|extension| extension == "gz");
            whole.push_str(&match is_packed {
                true => process::capture(Command::new("gzip").arg("-dc").arg(&path))?,
                false => std::fs::read_to_string(&path)?,
            });
        }
        let path = folder.join("whole.sql");
        std::fs::write(&path, whole)?;
        Ok(path)
    }

    fn installer(&self, environment: &Path) -> Command {
        let mut command = Command::new(self.packages.join("tools/bin/uv"));
        command.arg("--quiet").env("VIRTUAL_ENV", environment).env("UV_PYTHON_DOWNLOADS", "never");
        // Removed with the packages, and on the same disk, so that installing is linking.
        command.env("UV_CACHE_DIR", self.packages.join("cache"));
        command
    }
}

/// Downloads and unpacks one package. The list of packages may be old or empty, so a failure is tried once more
/// with a fresh one.
fn download(package: &str, folder: &Path) -> Result<()> {
    let get =
        || process::capture(Command::new("apt-get").args(["-qq", "download", package]).current_dir(folder));
    if get().is_err() {
        crate::install::update_package_list()?;
        get()?;
    }
    let archives = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let archive =
        archives.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let archive = archive.with_context(|| format!("`apt-get download {package}` left no file"))?;
    process::capture(Command::new("dpkg-deb").arg("-x").arg(archive).arg(folder)).map(drop)
}
