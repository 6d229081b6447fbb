//! The example `prego`: a control plane, keys at the edge, sites behind commands, and the database of the sites.
//!
//! At every call of a command the edge is looked at: no key may point at a site that is not there. Where the state is on a
//! server, the run is held at each of its commits, looked at, killed there, and has to go on or come back.

use super::scene::{Pictures, Scene, steps};
use crate::property::number;
use crate::reliability::{Line, kill};
use serde_json::Value;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;
use unseed_testkit::server::{
    Database, Mariadb, MariadbDatabase, Postgres, Redis, RedisClient, RedisOptions, Reply,
};

const ROOTS: [&str; 4] =
    ["--where", "tenants: name LIKE 'QA Trial %'", "--where", "users: email LIKE '%@prego-test.example'"];
/// Commits from one kill to the next, unless `UNSEED_STEPS` says otherwise: with 1 there is one at every commit.
const STRIDE_DEFAULT: u64 = 5;

struct Prego {
    scene: Scene,
    edge: Redis,
    site: MariadbDatabase<'static>,
}

impl Prego {
    fn new() -> Self {
        let mut scene = Scene::of("prego");
        let edge = Redis::start_own(&RedisOptions::default()).unwrap();
        let site = Mariadb::shared().unwrap().database("site").unwrap();
        site.sql(&scene.read("site.sql")).unwrap();
        let main = scene.sqlite("control.db", "control-plane.sql");
        scene.set("CONTROL_PLANE_URL", &main);
        scene.set("SITE_URL", &site.url());
        scene.set("EDGE_URL", &edge.url());
        for name in ["hanbit", "kowalski", "brennan", "qa-trial-1", "qa-trial-2"] {
            let folder = scene.path(&format!("sites/{name}.erp.example"));
            std::fs::create_dir_all(folder.join("private")).unwrap();
            std::fs::write(folder.join("site_config.json"), format!("{{\"db_name\": \"{name}\"}}")).unwrap();
            std::fs::write(folder.join("private/key"), [0, 255, 10, 13]).unwrap();
        }
        let mut client = edge.client().unwrap();
        for line in scene.read("edge.redis").lines() {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(!matches!(client.run(&words).unwrap(), Reply::Error(_)), "{line}");
        }
        scene.write("watched.py", include_str!("watched.py"));
        let config = scene.read("unseed.toml");
        assert!(config.contains("\"./sites.py\""), "the example calls its program");
        scene.write("unseed.toml", &config.replace("\"./sites.py\"", "\"python3\", \"watched.py\""));
        Self { scene, edge, site }
    }

    fn pictures(&self) -> Pictures {
        let mut pictures = Pictures::new();
        pictures.insert("main".to_owned(), self.scene.dump("control.db"));
        let rows = self.site.dump().unwrap();
        let mut rows: Vec<String> =
            rows.lines().filter(|line| line.starts_with("INSERT")).map(str::to_owned).collect();
        rows.sort();
        pictures.insert("site".to_owned(), rows);
        let mut sites = Vec::new();
        for entry in std::fs::read_dir(self.scene.path("sites")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            for file in ["site_config.json", "private/key"] {
                sites.push(format!("{name} {file} {:?}", std::fs::read(entry.path().join(file)).unwrap()));
            }
        }
        sites.sort();
        pictures.insert("bench".to_owned(), sites);
        pictures.insert("edge".to_owned(), keys(&mut self.edge.client().unwrap()));
        pictures
    }

    /// Nothing of the test data is left, and everything else is.
    #[track_caller]
    fn assert_purged(&self, before: &Pictures, context: &str) {
        let words = ["qa-trial", "QA", "prego-test", "u-10", "t-10"];
        let is_test = |line: &&String| words.iter().any(|word| line.contains(word));
        for (store, lines) in &self.pictures() {
            let expected: Vec<&String> = before[store].iter().filter(|line| !is_test(line)).collect();
            let stay: Vec<&String> = lines.iter().filter(|line| !is_test(line)).collect();
            let left: Vec<&String> = lines.iter().filter(is_test).collect();
            assert!(left.is_empty(), "{context}: {store} holds {left:#?}");
            // Sessions, one-time passwords and jobs are told by numbers only.
            if store != "main" && store != "site" {
                assert_eq!(stay, expected, "{context}: {store}");
            }
        }
        for (table, rows) in
            [("tenants", 3), ("users", 3), ("sessions", 3), ("otps", 3), ("jobs", 3), ("contracts", 3)]
        {
            let count = self.scene.sql("control.db", &format!("SELECT count(*) FROM {table}"));
            assert_eq!(count, rows.to_string(), "{context}: {table}");
        }
    }

    /// Every address at the edge is that of a site that is there: its folder, and its row.
    #[track_caller]
    fn assert_none_dangles(&self, context: &str) {
        let Reply::List(keys) = self.edge.client().unwrap().run(&["KEYS", "origin:*"]).unwrap() else {
            panic!("a list of keys")
        };
        let rows = self.site.sql("SELECT name FROM sites").unwrap();
        for key in keys {
            let key = key.text();
            let name = key.strip_prefix("origin:").unwrap();
            let folder = self.scene.path(&format!("sites/{name}.erp.example/site_config.json"));
            let has_row = rows.lines().any(|row| row == name);
            assert!(folder.is_file() && has_row, "{context}: {key} points at no site");
        }
    }

    /// At no moment that was looked at did a key point at a site that was not there.
    #[track_caller]
    fn assert_never_dangling(&self, context: &str) {
        let log = std::fs::read_to_string(self.scene.path("violations.log")).unwrap_or_default();
        assert_eq!(log, "", "{context}");
    }

    /// The name that the next run gets.
    fn next_run(&self) -> String {
        format!("r-{}", 1 + self.scene.json(0, &["runs"])["runs"].as_array().map_or(0, Vec::len))
    }

    /// The state of a run; `None` where it was not registered.
    fn state(&self, run: &str) -> Option<String> {
        let runs = self.scene.json(0, &["runs"]);
        let found = runs["runs"].as_array()?.iter().find(|known| known["id"] == run)?;
        Some(found["state"].as_str()?.to_owned())
    }

    /// Goes on to the end from wherever a killed purge left, verifies, restores, compares.
    #[track_caller]
    fn goes_on(&self, before: &Pictures, run: &str, context: &str) {
        let id = self.scene.plan_id();
        match self.state(run).as_deref() {
            None => drop(self.scene.json(0, &["purge", "plan.json", "--confirm", &id])),
            Some("running" | "stopped") => drop(self.scene.json(0, &["resume", run, "--confirm", run])),
            Some(_) => {}
        }
        self.assert_purged(before, context);
        assert_eq!(self.scene.json(0, &["verify", run])["clean"], true, "{context}");
        self.comes_back(before, run, context);
        let audit = self.scene.run(&["audit", "verify"]);
        assert_eq!(audit.code, Some(0), "{context}: {audit:?}");
    }

    /// Puts back what a run removed, however far it came.
    #[track_caller]
    fn comes_back(&self, before: &Pictures, run: &str, context: &str) {
        let answer = self.scene.run(&["restore", run, "--confirm", run]);
        let done =
            answer.stderr.contains("already restored") || answer.stderr.contains("has removed nothing");
        assert!(answer.code == Some(0) || done || self.state(run).is_none(), "{context}: {answer:?}");
        assert_eq!(self.pictures(), *before, "{context}");
        self.assert_never_dangling(context);
    }
}

/// The example with its state on a server, where it can be held at any commit.
struct Stepped {
    prego: Prego,
    line: Line,
    _state: Database<'static>,
}

impl Stepped {
    fn new() -> Self {
        let mut prego = Prego::new();
        let state = Postgres::shared().unwrap().database("state").unwrap();
        prego.scene.set("UNSEED_STATE", &state.url());
        // Heartbeats are commits too: here there are none, or a slow machine would count more of them than a quick one.
        let config = prego.scene.read("unseed.toml");
        prego.scene.write("unseed.toml", &format!("{config}\n[state]\nlease_s = 3600\n"));
        Self { prego, line: Line::before(&state), _state: state }
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.prego.scene.command(arguments);
        command.env("UNSEED_STATE", self.line.url()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Waits until a process is held at this commit; how it ended, if it did without coming there.
    fn held(&self, child: &mut Child, commit: u64) -> Option<ExitStatus> {
        loop {
            let ended = child.try_wait().unwrap();
            if self.line.commits() >= commit || ended.is_some() {
                return ended.filter(|_| self.line.commits() < commit);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Runs a command, holds it behind each of its commits and looks at the edge; returns how many there were.
    #[track_caller]
    fn watched(&self, arguments: &[&str]) -> u64 {
        self.line.hold_behind(1);
        let mut child = self.spawn(arguments);
        for commit in 1.. {
            if let Some(status) = self.held(&mut child, commit) {
                assert!(status.success(), "{arguments:?}: {status}");
                return commit - 1;
            }
            self.prego.assert_none_dangles(&format!("{} behind commit {commit}", arguments[0]));
            self.line.hold_next(commit + 1);
        }
        unreachable!("a command ends");
    }

    /// Kills a command at a commit: every second one has arrived, the others have not.
    #[track_caller]
    fn killed(&self, arguments: &[&str], commit: u64, context: &str) {
        self.line.hold_at(commit);
        let mut child = self.spawn(arguments);
        let ended = self.held(&mut child, commit);
        assert_eq!(ended, None, "{context}: it comes to this commit");
        self.prego.assert_none_dangles(context);
        kill(&mut child);
        self.line.cut();
    }
}

/// Every key with what it holds.
fn keys(client: &mut RedisClient) -> Vec<String> {
    let Reply::List(found) = client.run(&["KEYS", "*"]).unwrap() else { panic!("a list of keys") };
    let mut lines = Vec::new();
    for key in found {
        let key = key.text();
        let content = match client.run(&["TYPE", &key]).unwrap().text().as_str() {
            "string" => client.run(&["GET", &key]).unwrap(),
            "hash" => client.run(&["HGETALL", &key]).unwrap(),
            other => panic!("{key} is a {other}"),
        };
        lines.push(format!("{key} {content:?}"));
    }
    lines.sort();
    lines
}

fn legs(report: &Value) -> Vec<String> {
    let legs = report["legs"].as_array().unwrap().iter();
    legs.map(|leg| format!("{} {}", leg["store"].as_str().unwrap(), leg["state"].as_str().unwrap_or("-")))
        .collect()
}

#[test]
fn one_plan_removes_verifies_and_restores_over_all_stores() {
    let prego = Prego::new();
    let (scene, before) = (&prego.scene, prego.pictures());
    let plan = scene.plan(&ROOTS);
    let steps = steps(&plan);
    let site = prego.site.name();
    let (sites, documents) = (format!("site: {site}.sites"), format!("site: {site}.documents"));
    for (step, rows) in [
        ("edge: origin:{tenant.subdomain}", 2),
        ("edge: user:map:{user.email|lower}", 2),
        ("edge: passcode_reset:{user.email|lower}:*", 1),
        ("edge: erp_cred:{tenant.id}", 1),
        ("bench: site", 2),
        (sites.as_str(), 2),
        (documents.as_str(), 4),
        ("main: tenants", 2),
        ("main: users", 2),
    ] {
        assert_eq!(steps.get(step), Some(&rows), "{step} in {steps:#?}");
    }
    assert_eq!(prego.pictures(), before, "a plan changes nothing");
    let text = scene.read("plan.json");
    assert!(!text.contains("prego-test.example\""), "no mail address travels with a plan");
    let inventory = scene.json(1, &["inventory", "--tenant", "t-101"]);
    assert_eq!(inventory["stores"], serde_json::json!(["main", "bench", "edge", "site"]));
    assert!(inventory["items"].as_array().unwrap().iter().any(|i| i["store"] == "edge" && i["rows"] == 1));
    let report = scene.purge();
    assert_eq!(legs(&report), ["edge done", "bench done", "site done", "main done"]);
    prego.assert_purged(&before, "undisturbed");
    let verified = scene.json(0, &["verify", "r-1"]);
    assert_eq!(verified["verification"]["leftovers"], Value::Null, "{verified}");
    let checked = scene.run(&["archive", "check", "r-1"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(scene.json(0, &["inventory", "--tenant", "t-101"])["total"], 0);
    let restored = scene.restore("r-1");
    assert_eq!(restored["inserted"]["bench: site"], 2);
    assert_eq!(prego.pictures(), before);
    prego.assert_never_dangling("undisturbed");
    assert_eq!(scene.json(0, &["runs"])["runs"][0]["state"], "restored");
}

#[test]
fn a_run_killed_in_a_command_goes_on_and_comes_back() {
    for point in ["list:after", "archive:before", "archive:after", "remove:before", "remove:after"] {
        let mut prego = Prego::new();
        let before = prego.pictures();
        prego.scene.plan(&ROOTS);
        let id = prego.scene.plan_id();
        prego.scene.set("KILL_AT", point);
        let answer = prego.scene.run(&["purge", "plan.json", "--confirm", &id]);
        assert_eq!(answer.code, None, "{point}: unseed was killed: {answer:?}");
        prego.scene.set("KILL_AT", "");
        prego.goes_on(&before, "r-1", point);
    }
}

#[test]
fn a_restore_killed_in_a_command_goes_on() {
    for point in ["restore:before", "restore:after"] {
        let mut prego = Prego::new();
        let before = prego.pictures();
        prego.scene.plan(&ROOTS);
        prego.scene.purge();
        prego.scene.set("KILL_AT", point);
        let answer = prego.scene.run(&["restore", "r-1", "--confirm", "r-1"]);
        assert_eq!(answer.code, None, "{point}: unseed was killed: {answer:?}");
        prego.scene.set("KILL_AT", "");
        prego.scene.restore("r-1");
        assert_eq!(prego.pictures(), before, "{point}");
        prego.assert_never_dangling(point);
    }
}

#[test]
fn a_run_killed_between_two_steps_goes_on_or_comes_back() {
    let stepped = Stepped::new();
    let (prego, before) = (&stepped.prego, stepped.prego.pictures());
    let plan = || {
        prego.scene.plan(&ROOTS);
        prego.scene.plan_id()
    };
    // What only the first run of all commits would be missed by those that are killed.
    plan();
    prego.scene.purge();
    prego.scene.restore("r-1");
    let commits = stepped.watched(&["purge", "plan.json", "--confirm", &plan()]);
    prego.assert_purged(&before, "looked at behind every commit");
    let back = stepped.watched(&["restore", "r-2", "--confirm", "r-2"]);
    assert_eq!(prego.pictures(), before, "looked at behind every commit");
    assert!(commits > 30 && back > 8, "{commits} commits of a purge, {back} of a restore");
    let stride = usize::try_from(number("UNSEED_STEPS", STRIDE_DEFAULT)).unwrap();
    for commit in (1..=commits).step_by(stride) {
        let (id, run) = (plan(), prego.next_run());
        let context = format!("{run} killed at commit {commit} of {commits}");
        stepped.killed(&["purge", "plan.json", "--confirm", &id], commit, &context);
        if commit % 3 == 0 {
            prego.comes_back(&before, &run, &context);
        } else {
            prego.goes_on(&before, &run, &context);
        }
    }
}

#[test]
fn a_restore_killed_between_two_steps_goes_on() {
    let stepped = Stepped::new();
    let (prego, before) = (&stepped.prego, stepped.prego.pictures());
    prego.scene.plan(&ROOTS);
    prego.scene.purge();
    let back = stepped.watched(&["restore", "r-1", "--confirm", "r-1"]);
    let stride = usize::try_from(number("UNSEED_STEPS", STRIDE_DEFAULT)).unwrap();
    for commit in (1..=back).step_by(stride) {
        let run = prego.next_run();
        prego.scene.plan(&ROOTS);
        prego.scene.purge();
        let context = format!("restore of {run} killed at commit {commit} of {back}");
        stepped.killed(&["restore", &run, "--confirm", &run], commit, &context);
        prego.comes_back(&before, &run, &context);
    }
}
