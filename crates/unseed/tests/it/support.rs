//! A folder with a contaminated database, and the binary run in it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use unseed_io::sample;
use unseed_testkit::server::{Database, Postgres, sqlite};

/// Two real tenants, some test tenants with users and invoices, one real note that a test user reviewed.
pub(crate) fn script(test_tenants: u64) -> String {
    let mut sql = "
        CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at TEXT NOT NULL);
        CREATE TABLE users (id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL REFERENCES tenants (id),
            email TEXT NOT NULL, created_at TEXT NOT NULL);
        CREATE TABLE invoices (id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL REFERENCES tenants (id)
            ON DELETE RESTRICT, cents INTEGER NOT NULL);
        CREATE TABLE notes (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES users (id),
            reviewer_id INTEGER REFERENCES users (id) ON DELETE SET NULL, body TEXT);
        CREATE INDEX users_tenant ON users (tenant_id);
        CREATE INDEX invoices_tenant ON invoices (tenant_id);
        CREATE INDEX notes_author ON notes (author_id);
        CREATE INDEX notes_reviewer ON notes (reviewer_id);
        INSERT INTO tenants VALUES (1, 'Brennan Machinery', '2024-02-05 09:12:44'),
            (2, 'Okafor & Sons', '2024-05-06 10:13:45');
        INSERT INTO users VALUES (1, 1, 'maria.keller@brennan-machinery.com', '2024-02-05 09:20:00'),
            (2, 2, 'j.okafor@okafor-sons.co.uk', '2024-05-06 10:20:00');
        INSERT INTO invoices VALUES (1, 1, 48900), (2, 2, 12900);"
        .to_owned();
    for n in 0..test_tenants {
        let id = 100 + n;
        let at = "2026-01-05 03:11:07";
        sql.push_str(&format!(
            "INSERT INTO tenants VALUES ({id}, 'Test Tenant 17123{id:05}', '{at}');
             INSERT INTO users VALUES ({id}, {id}, 'user{id}@example.com', '{at}'), (1{id:06}, {id}, 'test+{id}@example.com', '{at}');
             INSERT INTO invoices VALUES ({id}, {id}, 100);"
        ));
    }
    sql.push_str("INSERT INTO notes VALUES (1, 1, NULL, 'ours'), (2, 1, 100, 'reviewed by a test user');");
    sql
}

pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    /// Where the state is kept, if not in a file.
    state: Option<Database<'static>>,
}

/// What the binary answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    /// A folder with `app.db` and a copy of it.
    pub(crate) fn new(test_tenants: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        sample::create(&folder.path().join("app.db"), &script(test_tenants)).unwrap();
        std::fs::copy(folder.path().join("app.db"), folder.path().join("original.db")).unwrap();
        Self { folder, state: None }
    }

    /// With the state on the server that all tests share.
    pub(crate) fn with_state_server(mut self) -> Self {
        self.state = Some(Postgres::shared().and_then(|server| server.database("state")).unwrap());
        self
    }

    /// The database of the state, if it is not kept in a file.
    pub(crate) fn state_database(&self) -> Option<&Database<'static>> {
        self.state.as_ref()
    }

    /// The answer of the state database, asked with its own client.
    #[track_caller]
    pub(crate) fn state(&self, sql: &str) -> String {
        let said = match &self.state {
            None => sqlite::run(&self.path(".unseed/state.db"), &format!("{sql};")),
            Some(database) => database.psql(&format!("SET search_path = unseed; {sql};")),
        };
        said.unwrap_or_else(|error| panic!("{error}")).trim_end().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The command with these arguments, in the folder, with nothing of ours in the environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unseed"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for name in ["UNSEED_STATE", "UNSEED_ACTOR", "UNSEED_IDENTITY", "DATABASE_URL", "NO_COLOR"] {
            command.env_remove(name);
        }
        if let Some(state) = &self.state {
            command.env("UNSEED_STATE", state.url());
        }
        command.env("USER", "dana");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        answer(&mut self.command(arguments))
    }

    /// Runs a command that must end with this code; returns what it printed on standard output.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_eq!(answer.code, Some(code), "{arguments:?}\n{}\n{}", answer.stdout, answer.stderr);
        answer.stdout
    }

    #[track_caller]
    pub(crate) fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--format", "json"]);
        serde_json::from_str(&self.expect(code, &all)).expect("one JSON document on standard output")
    }

    /// A plan over all test tenants; returns its id.
    #[track_caller]
    pub(crate) fn plan(&self, more: &[&str]) -> String {
        let mut arguments = vec!["plan", "app.db", "--where", "tenants: id >= 100", "-o", "plan.json"];
        arguments.extend(more);
        let plan = self.json(0, &arguments);
        plan["id"].as_str().unwrap().to_owned()
    }

    /// A plan that was purged; returns the run.
    #[track_caller]
    pub(crate) fn purged(&self) -> String {
        let id = self.plan(&[]);
        let report = self.json(0, &["purge", "plan.json", "--confirm", &id]);
        report["run"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        assert_same(&self.path("app.db"), &self.path("original.db"));
    }

    pub(crate) fn count(&self, table: &str) -> u64 {
        let counts = sample::counts(&self.path("app.db")).unwrap();
        counts.into_iter().find(|(name, _)| name == table).map(|(_, rows)| rows).unwrap()
    }
}

#[track_caller]
pub(crate) fn assert_same(one: &Path, other: &Path) {
    assert_eq!(sample::differences(one, other).unwrap(), Vec::<String>::new());
}

pub(crate) fn answer(command: &mut Command) -> Answer {
    let output = command.output().unwrap();
    Answer {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file system of its own, where this process may mount one.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn make_read_only(&self) {
        self.remount("ro");
    }

    pub(crate) fn resize(&self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        let status = mount.args(["-o", &format!("remount,{options}")]).arg(self.path()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.path()).status());
    }
}
