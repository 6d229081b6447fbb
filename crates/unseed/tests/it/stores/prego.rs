//! The example `prego`: a control plane, keys at the edge, sites behind commands, and the database of the sites.
//!
//! At every call of a command the edge is looked at: no key may point at a site that is not there.

use super::scene::{Pictures, Scene, steps};
use crate::property::number;
use crate::reliability::{When, killed};
use serde_json::Value;
use unseed_testkit::server::{Redis, RedisClient, RedisOptions, Reply};

const ROOTS: [&str; 4] =
    ["--where", "tenants: name LIKE 'QA Trial %'", "--where", "users: email LIKE '%@prego-test.example'"];
/// Kills by the clock of the journal, unless the environment says otherwise.
const CASES_DEFAULT: u64 = 4;

struct Prego {
    scene: Scene,
    edge: Redis,
}

impl Prego {
    fn new() -> Self {
        let mut scene = Scene::of("prego");
        let edge = Redis::start_own(&RedisOptions::default()).unwrap();
        let (main, site) =
            (scene.sqlite("control.db", "control-plane.sql"), scene.sqlite("site.db", "site.sql"));
        scene.set("CONTROL_PLANE_URL", &main);
        scene.set("SITE_URL", &site);
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
        Self { scene, edge }
    }

    fn pictures(&self) -> Pictures {
        let mut pictures = Pictures::new();
        pictures.insert("main".to_owned(), self.scene.dump("control.db"));
        pictures.insert("site".to_owned(), self.scene.dump("site.db"));
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

    /// At no moment that was looked at did a key point at a site that was not there.
    #[track_caller]
    fn assert_never_dangling(&self, context: &str) {
        let log = std::fs::read_to_string(self.scene.path("violations.log")).unwrap_or_default();
        assert_eq!(log, "", "{context}");
    }

    fn state(&self) -> Option<String> {
        let runs = self.scene.json(0, &["runs"]);
        Some(runs["runs"].as_array()?.first()?["state"].as_str()?.to_owned())
    }

    /// Goes on to the end from wherever a killed purge left, verifies, restores, compares.
    #[track_caller]
    fn goes_on(&self, before: &Pictures, context: &str) {
        let id = self.scene.plan_id();
        match self.state().as_deref() {
            None => drop(self.scene.json(0, &["purge", "plan.json", "--confirm", &id])),
            Some("running" | "stopped") => drop(self.scene.json(0, &["resume", "r-1", "--confirm", "r-1"])),
            Some(_) => {}
        }
        self.assert_purged(before, context);
        assert_eq!(self.scene.json(0, &["verify", "r-1"])["clean"], true, "{context}");
        self.scene.restore("r-1");
        assert_eq!(self.pictures(), *before, "{context}");
        self.assert_never_dangling(context);
        assert_eq!(self.scene.run(&["audit", "verify"]).code, Some(0), "{context}");
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
    for (step, rows) in [
        ("edge: origin:{tenant.subdomain}", 2),
        ("edge: user:map:{user.email|lower}", 2),
        ("edge: passcode_reset:{user.email|lower}:*", 1),
        ("edge: erp_cred:{tenant.id}", 1),
        ("bench: site", 2),
        ("site: sites", 2),
        ("site: documents", 4),
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
        prego.goes_on(&before, point);
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

/// `UNSEED_SEED=17 UNSEED_CASES=1` repeats the kill after the 17th write to the journal.
#[test]
fn a_run_killed_after_any_write_to_its_journal_goes_on_and_comes_back() {
    let cases = number("UNSEED_CASES", CASES_DEFAULT);
    let first = number("UNSEED_SEED", 0);
    // About as many writes has a purge that nobody disturbs.
    let step = if first > 0 { 1 } else { 60 / cases.max(1) };
    for case in 0..cases {
        let writes = (if first > 0 { first } else { 3 }) + case * step;
        let prego = Prego::new();
        let before = prego.pictures();
        prego.scene.plan(&ROOTS);
        let id = prego.scene.plan_id();
        let mut command = prego.scene.command(&["purge", "plan.json", "--confirm", &id]);
        let (status, seen) =
            killed(&mut command, prego.scene.path(".unseed/state.db-wal"), When::Writes(writes));
        prego.goes_on(&before, &format!("killed after {seen} writes ({status})"));
    }
}
