//! `cargo xtask schemas`: the schemas of public applications, as plain SQL under `target/schemas`.
//!
//! Each recipe brings an application from a package registry, lets it create its tables in an empty database, and
//! dumps them. What was dumped stays until the recipe changes; the applications themselves are removed again.
//!
//! Not here: which schemas the tests expect and how they load them (`unseed_testkit::schemas`).

mod fetch;
mod recipes;

use crate::process::{self, say};
use anyhow::{Context as _, Result, bail, ensure};
use fetch::Fetch;
use recipes::{RECIPES, Recipe, Source};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;
use unseed_testkit::schemas::{self, Engine};
use unseed_testkit::server::{Postgres, Settings, SqliteFile, sqlite};

/// Most of a recipe is one program on one core.
const WORKERS: usize = 2;

/// All of a SQLite database, without the tables that virtual tables and SQLite itself create.
const SQLITE_DUMP: &str = "SELECT m.sql || ';' FROM sqlite_master m LEFT JOIN pragma_table_list t
    ON t.schema = 'main' AND t.name = m.tbl_name WHERE m.sql IS NOT NULL AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!'
    AND coalesce(t.type, '') <> 'shadow' ORDER BY m.rowid;";

/// Makes what is missing or made by an older recipe; with names, only those.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let folder = schemas::folder();
    for name in names {
        ensure!(RECIPES.iter().any(|recipe| recipe.name == name), "no schema is called `{name}`");
    }
    let wanted =
        RECIPES.iter().filter(|recipe| names.is_empty() || names.iter().any(|name| name == recipe.name));
    let due: Vec<&Recipe> = wanted.filter(|recipe| !is_made(&folder, recipe)).collect();
    if due.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("`{}`", folder.display()))?;
    // pg_dump and the applications live outside this folder; a leftover of a broken run is in the way.
    let packages = folder.join("pkg");
    remove(&packages)?;
    let kitchen = Kitchen {
        server: Postgres::start_own(&Settings::default())?,
        fetch: Fetch::prepare(&packages, &due)?,
        folder,
    };
    kitchen.make_all(&due)?;
    remove(&packages)
}

struct Kitchen {
    server: Postgres,
    fetch: Fetch,
    folder: PathBuf,
}

impl Kitchen {
    fn make_all(&self, due: &[&Recipe]) -> Result<()> {
        let queue = Mutex::new(due.iter());
        let next = || queue.lock().expect("no worker panics while it takes a recipe").next();
        let work = || -> Result<()> {
            while let Some(recipe) = next() {
                let start = Instant::now();
                self.make(recipe)
                    .with_context(|| format!("the schema of `{}` could not be made", recipe.name))?;
                say(&format!("schema of {}: {:.1} s", recipe.name, start.elapsed().as_secs_f64()));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker returns its error"))
        })
    }

    fn make(&self, recipe: &Recipe) -> Result<()> {
        let Source::Python { script, .. } = recipe.source else {
            return self.make_from_package(recipe);
        };
        let (python, scratch) = self.fetch.python(recipe)?;
        let script_file = scratch.join("make.py");
        std::fs::write(&script_file, script)?;
        for engine in recipe.engines() {
            let create = |url: &str| -> Result<()> {
                let mut command = Command::new(&python);
                command.arg(&script_file).arg(url).current_dir(&scratch).env("PYTHONWARNINGS", "ignore");
                process::capture(&mut command).map(drop)
            };
            let dump = match engine {
                Engine::Postgres => self.dump_postgres(recipe.name, |_, url| create(url))?,
                Engine::Mariadb => bail!("`{}` makes no tables in MariaDB", recipe.name),
                Engine::Sqlite => {
                    dump_sqlite(|file| create(&format!("sqlite:///{}", file.path().display())))?
                }
            };
            self.keep(recipe, *engine, &dump)?;
        }
        self.finish(recipe)
    }

    /// The package brings SQL, not a program.
    fn make_from_package(&self, recipe: &Recipe) -> Result<()> {
        for engine in recipe.engines() {
            let script = self.fetch.debian(recipe, *engine)?;
            let dump = match engine {
                Engine::Postgres => self.dump_postgres(recipe.name, |name, _| {
                    Ok(self.server.psql_file(name, &script, &[]).map(drop)?)
                })?,
                // Loaded as it is, since rows belong to it.
                Engine::Mariadb => std::fs::read_to_string(&script)?,
                Engine::Sqlite => dump_sqlite(|file| Ok(file.load(&script).map(drop)?))?,
            };
            self.keep(recipe, *engine, &dump)?;
        }
        self.finish(recipe)
    }

    fn dump_postgres(&self, name: &str, create: impl Fn(&str, &str) -> Result<()>) -> Result<String> {
        let database = self.server.database(name)?;
        // Python's drivers agree on this spelling of the scheme.
        let url = format!("postgresql://postgres@127.0.0.1:{}/{}", self.server.port(), database.name());
        create(database.name(), &url)?;
        Ok(self.server.dump_schema(database.name())?)
    }

    fn keep(&self, recipe: &Recipe, engine: Engine, dump: &str) -> Result<()> {
        ensure!(dump.contains("CREATE TABLE"), "no table was created");
        let path = schemas::file(&self.folder, recipe.name, engine);
        std::fs::write(&path, dump).with_context(|| format!("`{}`", path.display()))
    }

    /// From now on the schema counts as made.
    fn finish(&self, recipe: &Recipe) -> Result<()> {
        let path = stamp(&self.folder, recipe);
        std::fs::write(&path, recipe.text()).with_context(|| format!("`{}`", path.display()))
    }
}

fn dump_sqlite(create: impl Fn(&SqliteFile) -> Result<()>) -> Result<String> {
    let file = SqliteFile::create()?;
    create(&file)?;
    Ok(sqlite::run(&file.path(), SQLITE_DUMP)?)
}

fn is_made(folder: &Path, recipe: &Recipe) -> bool {
    let made_by = std::fs::read_to_string(stamp(folder, recipe)).unwrap_or_default();
    made_by == recipe.text()
        && recipe.engines().iter().all(|engine| schemas::file(folder, recipe.name, *engine).is_file())
}

fn stamp(folder: &Path, recipe: &Recipe) -> PathBuf {
    folder.join(format!("{}.recipe", recipe.name))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("`{}` could not be removed", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expected_schema_has_a_recipe() {
        let recipes: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
        for (name, _) in schemas::EXPECTED {
            assert!(recipes.contains(&name), "`{name}` has no recipe");
        }
        assert_eq!(recipes.len(), schemas::EXPECTED.len());
    }
}
