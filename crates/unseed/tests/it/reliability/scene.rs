//! A database of several batches, and a purge of it that nobody disturbed, to compare with.

use super::books::{assert_chained, assert_settled};
use super::line::Line;
use crate::lab::{Lab, Picture, assert_same};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Tenants with users and sessions, and notes that lose a reference. `{serial}` keys, small batches.
pub(super) const SHOPS: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY, name text NOT NULL);
    CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants (id), email text);
    CREATE TABLE sessions (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users (id) ON DELETE CASCADE, agent text);
    CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users (id) ON DELETE SET NULL, body text);
    CREATE INDEX users_tenant ON users (tenant_id); CREATE INDEX sessions_user ON sessions (user_id);
    CREATE INDEX notes_user ON notes (user_id);";

/// Rows of `SHOPS`, with a way to count that both kinds of databases know.
pub(super) const ROWS: &str = "
    CREATE TABLE numbers AS WITH RECURSIVE n (g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < 600) SELECT g FROM n;
    INSERT INTO tenants SELECT g, 'Tenant ' || g FROM numbers WHERE g <= 60;
    INSERT INTO users SELECT g, 1 + g % 60, 'u' || g || '@test.com' FROM numbers WHERE g <= 300;
    INSERT INTO sessions SELECT g, 1 + g % 300, 'agent ' || g FROM numbers;
    INSERT INTO notes SELECT g, 1 + g % 300, 'note ' || g FROM numbers WHERE g <= 200;";

/// More than 1,000 rows per batch of a table whose trigger has to fire: its checks are off meanwhile.
pub(super) const DOCUMENTS: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY);
    CREATE TABLE documents (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
    CREATE TABLE pages (id int PRIMARY KEY, document_id int NOT NULL REFERENCES documents);
    CREATE INDEX ON documents (tenant_id); CREATE INDEX ON pages (document_id);
    INSERT INTO tenants SELECT g FROM generate_series(1, 10) g;
    INSERT INTO documents SELECT g, 1 + g % 10 FROM generate_series(1, 7000) g;
    INSERT INTO pages SELECT g, g FROM generate_series(1, 7000) g;
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
    CREATE TRIGGER nothing BEFORE DELETE ON documents FOR EACH ROW EXECUTE FUNCTION nothing();";

/// A key without an index that is worth one for the time of the run, where checks are on.
pub(super) const UNINDEXED: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY);
    CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
    CREATE TABLE sessions (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users);
    CREATE INDEX ON users (tenant_id);
    INSERT INTO tenants SELECT g FROM generate_series(1, 20) g;
    INSERT INTO users SELECT g, 1 + g % 20 FROM generate_series(1, 4000) g;
    INSERT INTO sessions SELECT g, 1 + g % 4000 FROM generate_series(1, 7000) g; ANALYZE;";

/// Triggers as they are enabled, and indexes: none of this may change.
const OBJECTS: &str = "SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger ORDER BY 1, 2; \
    SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid > 16000 ORDER BY 1";

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// So long after its start.
    After(Duration),
    /// Right after so many writes to the state database.
    Writes(u64),
}

pub(super) struct Scene {
    pub(super) lab: Lab<'static>,
    pub(super) before: Picture,
    pub(super) after: Picture,
    /// How long a purge takes that nobody disturbs, and how often it writes to the state database.
    pub(super) took: Duration,
    pub(super) writes: u64,
    roots: &'static str,
    more: Vec<&'static str>,
    objects: String,
    /// The way to the state database, if that is on a server.
    line: Option<Line>,
}

impl Scene {
    /// Purges and restores once, undisturbed.
    pub(super) fn new(lab: Lab<'static>, roots: &'static str, more: &[&'static str]) -> Self {
        let before = lab.picture();
        let mut scene = Self {
            lab,
            after: Picture::new(),
            before,
            took: Duration::MAX,
            writes: u64::MAX,
            roots,
            more: [&["--max-share", "1"], more].concat(),
            objects: String::new(),
            line: None,
        };
        scene.line = scene.lab.state_database().map(Line::before);
        scene.objects = scene.objects_now();
        let id = scene.plan();
        let begun = Instant::now();
        let (status, writes) =
            scene.killed(&["purge", "plan.json", "--confirm", &id], When::Writes(u64::MAX));
        (scene.took, scene.writes) = (begun.elapsed(), writes);
        assert!(status.success(), "{status}");
        scene.after = scene.lab.picture();
        assert!(scene.runs() == 1 && scene.before != scene.after);
        assert_settled(&scene.lab, "r-1", "undisturbed");
        scene.restore("r-1", "undisturbed");
        scene
    }

    /// A plan like all others; returns its id.
    pub(super) fn plan(&self) -> String {
        self.lab.plan(self.roots, &self.more);
        self.lab.plan_id()
    }

    pub(super) fn runs(&self) -> usize {
        self.lab.json(0, &["runs"])["runs"].as_array().map_or(0, Vec::len)
    }

    /// The state of a run; `None` where it did not come as far as being registered.
    pub(super) fn state_of(&self, run: &str) -> Option<String> {
        let runs = self.lab.json(0, &["runs"]);
        let found = runs["runs"].as_array()?.iter().find(|known| known["id"] == run)?;
        found["state"].as_str().map(str::to_owned)
    }

    /// Runs the binary and kills it; returns how it ended and how often the state database was written to.
    pub(super) fn killed(&self, arguments: &[&str], when: When) -> (ExitStatus, u64) {
        let mut command = self.lab.command(arguments);
        if let Some(line) = &self.line {
            line.hold_at(match when {
                When::Writes(times) => times,
                When::After(_) => u64::MAX,
            });
            command.env("UNSEED_STATE", line.url());
        }
        let mut written = Written::of(self.lab.path(".unseed/state.db-wal"));
        let ended = killed_when(&mut command, when, || match &self.line {
            Some(line) => line.commits(),
            None => written.look(),
        });
        if ended.0.code().is_none() {
            self.line.iter().for_each(Line::cut);
        }
        ended
    }

    /// Settled and verified: rows, archive, journal, audit log, triggers and indexes.
    pub(super) fn assert_purged(&self, run: &str, context: &str) {
        let lab = &self.lab;
        let now = lab.picture();
        assert!(now == self.after, "{context}: the survivors are those of a purge that nobody disturbed");
        super::books::assert_archived(lab, run, &self.before, &now, context);
        assert_settled(lab, run, context);
        assert_chained(lab, context);
        assert_eq!(self.objects_now(), self.objects, "{context}");
        lab.verify(run);
    }

    /// Restores what is left to restore, and everything is as it was.
    pub(super) fn restore(&self, run: &str, context: &str) {
        let answer = self.lab.run(&["restore", run, "--confirm", run]);
        let done =
            answer.stderr.contains("already restored") || answer.stderr.contains("has removed nothing");
        assert!(answer.code == Some(0) || done, "{context}: {answer:?}");
        assert_same(&self.lab.picture(), &self.before);
        assert_chained(&self.lab, context);
        assert_eq!(self.objects_now(), self.objects, "{context}");
    }

    fn objects_now(&self) -> String {
        if self.lab.url().starts_with("postgres") { self.lab.sql(OBJECTS) } else { String::new() }
    }
}

/// Runs a command and kills it; returns how it ended and how often the state was written to.
fn killed_when(command: &mut Command, when: When, mut writes: impl FnMut() -> u64) -> (ExitStatus, u64) {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    loop {
        let ended = child.try_wait().unwrap();
        let times = writes();
        let due = match when {
            When::After(wait) => begun.elapsed() >= wait,
            When::Writes(at) => times >= at,
        };
        match ended {
            Some(status) => return (status, times),
            None if due => return (kill(&mut child), times),
            None => std::thread::yield_now(),
        }
    }
}

/// Ends a process as a power cut would.
pub(crate) fn kill(child: &mut Child) -> ExitStatus {
    // It fails only where the process has ended by itself.
    drop(child.kill());
    child.wait().unwrap()
}

/// Counts the changes of a file from outside.
struct Written {
    path: PathBuf,
    seen: Option<(u64, std::time::SystemTime)>,
    times: u64,
}

impl Written {
    fn of(path: PathBuf) -> Self {
        Self { path, seen: None, times: 0 }
    }

    fn look(&mut self) -> u64 {
        let now =
            std::fs::metadata(&self.path).ok().and_then(|data| Some((data.len(), data.modified().ok()?)));
        if now.is_some() && now != self.seen {
            (self.seen, self.times) = (now, self.times + 1);
        }
        self.times
    }
}
