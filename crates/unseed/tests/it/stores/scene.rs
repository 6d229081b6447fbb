//! A folder with the files of an example, its databases, and the binary run in it.

use crate::support::{Answer, answer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use unseed_testkit::server::sqlite;

/// What is where, store by store, as their own clients show it.
pub(crate) type Pictures = BTreeMap<String, Vec<String>>;

/// A folder of one test.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

/// The folder of an example in the repository.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

impl Scene {
    /// A folder without any file.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// A folder with a copy of every file of an example.
    #[track_caller]
    pub(crate) fn of(name: &str) -> Self {
        let scene = Self::empty();
        for entry in std::fs::read_dir(example(name)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                std::fs::copy(entry.path(), scene.folder.path().join(entry.file_name())).unwrap();
            }
        }
        scene
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A SQLite database from a script of the example; returns its address.
    #[track_caller]
    pub(crate) fn sqlite(&self, name: &str, script: &str) -> String {
        let path = self.path(name);
        sqlite::run(&path, &format!("BEGIN;\n{}\nCOMMIT;", self.read(script))).unwrap();
        format!("sqlite:{}", path.display())
    }

    /// Runs SQL in a SQLite database of the folder.
    #[track_caller]
    pub(crate) fn sql(&self, name: &str, sql: &str) -> String {
        sqlite::run(&self.path(name), sql).unwrap().trim_end().to_owned()
    }

    /// Every row of a SQLite database, as its client dumps them.
    #[track_caller]
    pub(crate) fn dump(&self, name: &str) -> Vec<String> {
        let mut lines: Vec<String> = self
            .sql(name, ".dump")
            .lines()
            .filter(|line| line.starts_with("INSERT"))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unseed"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for name in ["UNSEED_STATE", "UNSEED_ACTOR", "UNSEED_IDENTITY", "DATABASE_URL", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.env("USER", "dana").envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        answer(&mut self.command(arguments))
    }

    /// Runs a command that must end with this code; returns its JSON.
    #[track_caller]
    pub(crate) fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--format", "json"]);
        let answer = self.run(&all);
        assert_eq!(answer.code, Some(code), "{all:?}\n{}\n{}", answer.stdout, answer.stderr);
        serde_json::from_str(&answer.stdout).expect("one JSON document on standard output")
    }

    /// `unseed plan` with these arguments; returns the plan.
    #[track_caller]
    pub(crate) fn plan(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["plan", "-o", "plan.json"];
        all.extend(arguments);
        self.json(0, &all)
    }

    pub(crate) fn plan_id(&self) -> String {
        let plan: Value = serde_json::from_str(&self.read("plan.json")).unwrap();
        plan["id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn purge(&self) -> Value {
        let id = self.plan_id();
        self.json(0, &["purge", "plan.json", "--confirm", &id])
    }

    #[track_caller]
    pub(crate) fn restore(&self, run: &str) -> Value {
        self.json(0, &["restore", run, "--confirm", run])
    }
}

/// `store: table` → rows, of the steps of a plan.
pub(crate) fn steps(plan: &Value) -> BTreeMap<String, u64> {
    let steps = plan["steps"].as_array().unwrap().iter();
    let line = |step: &Value| {
        let name = format!("{}: {}", step["store"].as_str().unwrap(), step["table"].as_str().unwrap());
        (name, step["rows"].as_u64().unwrap())
    };
    steps.map(line).collect()
}
