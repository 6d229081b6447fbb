//! A run over several stores beside others who use them: hooks around all of it, waits and windows in any of its stores.
//!
//! Not here: a process that dies at any step, a window that ends at any moment (`engine`, on reference stores).

use super::commands::{CONFIG, ROOTS, parcels, scene, try_purge};
use super::scene::Scene;
use crate::lab::{Lab, fault};
use crate::live::{self, LONG, PLACES, Running, assert_nothing_is_held, window};
use serde_json::Value;
use std::time::{Duration, Instant};
use unseed_testkit::server::{Redis, RedisClient, RedisOptions, Reply};

/// One hook; its command is a script in the folder of the scene.
fn hook(scene: &Scene, name: &str, place: &str, script: &str, more: &str) -> String {
    live::hook(&scene.path(&format!("{name}.sh")), (name, place), script, more)
}

/// Writes down that it ran, and what it was told.
const NOTED: &str = "echo \"$UNSEED_HOOK $UNSEED_AT $UNSEED_PHASE $UNSEED_RUN $UNSEED_STATE_OF_RUN: $UNSEED_STORES\" >> ran.txt";

fn ran(scene: &Scene) -> Vec<String> {
    live::lines(&scene.path("ran.txt"))
}

fn tenants(scene: &Scene) -> String {
    scene.sql("main.db", "SELECT count(*) FROM tenants")
}

fn configure(scene: &Scene, more: &str) {
    scene.write("unseed.toml", &format!("{CONFIG}\n{more}"));
}

#[test]
fn hooks_run_around_all_stores_and_the_plan_covers_them() {
    let scene = scene();
    let name = |place: &str| place.replace([' ', '_'], "-");
    let config: String = PLACES.iter().map(|place| hook(&scene, &name(place), place, NOTED, "")).collect();
    configure(&scene, &config);
    scene.plan(&ROOTS);
    let shown = scene.run(&["show", "plan.json"]).stdout;
    assert!(shown.contains("hook before purge: before-purge: "), "{shown}");
    for edited in [config.replace("\"after\"", "\"on_stop\""), String::new()] {
        configure(&scene, &edited);
        let says = format!("not those of plan `{}`", scene.plan_id());
        fault(&try_purge(&scene), 3, &[&says, "only in the plan: after purge: after-purge"]);
    }
    assert_eq!((ran(&scene).len(), parcels(&scene).len()), (0, 9));
    configure(&scene, &config);
    let before = parcels(&scene);
    let answer = try_purge(&scene);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(
        ran(&scene),
        ["before-purge before purge r-1 running: main shop", "after-purge after purge r-1 done: main shop"]
    );
    assert!(answer.stdout.contains("hook before-purge before purge succeeded in"), "{answer:?}");
    let report = scene.json(0, &["show", "r-1"]);
    assert_eq!(report["hooks"].as_array().map(Vec::len), Some(2), "{report}");
    for leg in report["legs"].as_array().unwrap() {
        assert_eq!(leg["report"]["hooks"], Value::Null, "hooks are the whole run's: {leg}");
    }
    let audit = scene.run(&["audit", "export"]).stdout;
    for outcome in ["before purge, started", "before purge, succeeded", "after purge, succeeded"] {
        assert_eq!(audit.matches(outcome).count(), 1, "{audit}");
    }
    scene.restore("r-1");
    assert_eq!((parcels(&scene), tenants(&scene).as_str()), (before, "3"));
    let restored = [
        "before-restore before restore r-1 done: main shop",
        "after-restore after restore r-1 restored: main shop",
    ];
    assert_eq!(ran(&scene)[2..], restored);
    assert_eq!(scene.run(&["audit", "verify"]).code, Some(0));
}

#[test]
fn a_hook_that_fails_hangs_or_kills_leaves_a_run_over_several_stores_that_goes_on() {
    let scene = scene();
    let before = parcels(&scene);
    let ready = "test -e ready || exit 7";
    let config = hook(&scene, "guard", "before purge", ready, "timeout = \"1s\"")
        + &hook(&scene, "undo", "on_stop purge", NOTED, "")
        + &hook(&scene, "tell", "after purge", "test -e told || exit 9", "")
        + &hook(&scene, "gate", "before restore", "exit 3", "");
    configure(&scene, &config);
    scene.plan(&ROOTS);
    let says = [
        "purge `r-1` stopped: hook `guard` exited with 7",
        "`shop` is untouched; `main` is untouched",
        "unseed resume r-1",
    ];
    fault(&try_purge(&scene), 4, &says);
    assert_eq!(
        (ran(&scene), parcels(&scene).len()),
        (vec!["undo on_stop purge r-1 stopped: main shop".to_owned()], 9)
    );
    // The command is the plan's; what it does may change.
    hook(&scene, "guard", "before purge", "sleep 1000", "");
    let resume = ["resume", "r-1", "--confirm", "r-1"];
    fault(
        &scene.run(&resume),
        4,
        &["hook `guard` took longer than 1 s and was ended", "`main` is untouched"],
    );
    hook(&scene, "guard", "before purge", "touch ready; kill -9 $PPID", "");
    let killed = scene.run(&resume);
    assert_eq!((killed.code, parcels(&scene).len()), (None, 9), "{killed:?}");
    hook(&scene, "guard", "before purge", ready, "");
    let answer = scene.run(&resume);
    fault(&answer, 1, &["run `r-1` is done, but hook `tell` exited with 9"]);
    assert_eq!((parcels(&scene).len(), tenants(&scene).as_str()), (3, "1"));
    assert_eq!(scene.json(0, &["verify", "r-1"])["clean"], true);
    let says = ["hook `gate` exited with 3", "nothing was put back", "--skip-hooks"];
    fault(&scene.run(&["restore", "r-1", "--confirm", "r-1"]), 4, &says);
    assert_eq!(parcels(&scene).len(), 3);
    scene.json(0, &["restore", "r-1", "--confirm", "r-1", "--skip-hooks"]);
    assert_eq!((parcels(&scene), tenants(&scene).as_str()), (before, "3"));
    assert!(scene.run(&["audit", "export"]).stdout.contains("without its hooks"));
}

#[test]
fn outside_of_its_windows_a_run_over_several_stores_waits_or_refuses() {
    let scene = scene();
    scene.plan(&ROOTS);
    let (closed, open) = (window(6), window(0));
    configure(&scene, &format!("[purge]\nwindow = \"{closed}\""));
    fault(
        &try_purge(&scene),
        3,
        &[&format!("it is outside of the maintenance window {closed}"), "nothing was changed"],
    );
    configure(&scene, "[purge]\nwindow = \"22:00-06:00 Europe/Nowhere\"");
    fault(&try_purge(&scene), 2, &["the time zone `Europe/Nowhere` is not known"]);
    // The plan was not used up.
    configure(&scene, &format!("[throttle]\nwindow = \"{closed}\""));
    let id = scene.plan_id();
    let mut purge = Running::of(scene.command(&["purge", "plan.json", "--confirm", &id]), &scene.path(""));
    purge.says(&format!("waiting: outside of the window {closed}, it is "));
    purge.signal("-INT");
    fault(&purge.end(), 130, &["purge `r-1` was interrupted", "`shop` is untouched; `main` is untouched"]);
    let report = scene.json(0, &["show", "r-1"]);
    assert_eq!(report["waits"]["window"]["times"], 1, "{report}");
    configure(&scene, &format!("[throttle]\nwindow = \"{open}\"\n[purge]\nwindow = \"{closed}\""));
    fault(&scene.run(&["resume", "r-1", "--confirm", "r-1"]), 3, &["run `r-1` is where it was"]);
    configure(&scene, &format!("[throttle]\nwindow = \"{open}\"\n[purge]\nwindow = \"{open}\""));
    scene.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!((parcels(&scene).len(), tenants(&scene).as_str()), (3, "1"));
}

/// Rows of one store that are gone for good, while those of another can be put back, would be neither.
#[test]
fn a_quarantine_over_several_stores_is_refused_before_anything_is_planned() {
    let scene = scene();
    let plan = |more: &[&str]| scene.run(&[&["plan", "-o", "plan.json", ROOTS[0], ROOTS[1]], more].concat());
    let says = ["a plan over several stores has no quarantine", "no plan was saved", "`--alone`"];
    fault(&plan(&["--quarantine", "30d"]), 2, &says);
    configure(&scene, "[quarantine]\nperiod = \"30d\"");
    fault(&plan(&[]), 2, &says);
    assert!(!scene.path("plan.json").exists());
    assert_eq!(plan(&["--alone"]).code, Some(0));
    configure(&scene, "");
    scene.plan(&ROOTS);
    let id = scene.plan_id();
    let answer = scene.run(&["purge", "plan.json", "--confirm", &id, "--quarantine", "30d"]);
    fault(&answer, 2, &["is about several stores, which have no quarantine"]);
    assert_eq!(parcels(&scene).len(), 9);
}

/// Tenants with a user each, and what a cache holds of them: the first four stay.
fn traffic() -> (Scene, Lab<'static>, Redis) {
    let lab = Lab::postgres(
        "CREATE TABLE tenants (id int PRIMARY KEY, name text NOT NULL);
         CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants (id), email text NOT NULL);
         CREATE INDEX ON users (tenant_id);
         CREATE TABLE queue (depth int); INSERT INTO queue VALUES (0);
         INSERT INTO tenants SELECT g, 'Tenant ' || g FROM generate_series(1, 40) g;
         INSERT INTO users SELECT g, g, 'u' || g || '@tenant-' || g || '.example' FROM generate_series(1, 40) g;",
    );
    let redis = Redis::start_own(&RedisOptions::default()).unwrap();
    let mut client = redis.client().unwrap();
    for n in 1..=40 {
        client.run(&["SET", &format!("user:map:u{n}@tenant-{n}.example"), &n.to_string()]).unwrap();
    }
    let mut scene = Scene::empty();
    scene.set("MAIN_URL", &lab.url());
    scene.set("CACHE_URL", &redis.url());
    (scene, lab, redis)
}

const TRAFFIC: &str = "
[stores.main]
url = \"env:MAIN_URL\"
[stores.cache]
url = \"env:CACHE_URL\"
keys = [\"user:map:{users.email}\"]
";

fn keys(client: &mut RedisClient) -> Vec<String> {
    let Reply::List(found) = client.run(&["KEYS", "user:map:*"]).unwrap() else { panic!("a list of keys") };
    found.iter().map(Reply::text).collect()
}

#[test]
fn a_run_waits_in_the_cache_and_in_the_database_and_holds_nothing() {
    let (scene, lab, redis) = traffic();
    let mut client = redis.client().unwrap();
    let query =
        "query_max = 10\nquery = \"SELECT depth FROM queue\"\nprobe_max = \"20s\"\nfailing_max = \"3s\"";
    scene.write("unseed.toml", &format!("{TRAFFIC}\n[throttle]\nrows_per_second = 8\n{query}"));
    scene.plan(&["--where", "tenants: id > 4"]);
    let id = scene.plan_id();
    let mut purge = Running::of(scene.command(&["purge", "plan.json", "--confirm", &id]), &scene.path(""));
    purge.until("some keys are gone", |_| keys(&mut client).len() < 40);
    lab.sql("UPDATE queue SET depth = 50");
    purge.says("waiting: the throttle query returned 50 > 10");
    let left = keys(&mut client);
    assert!((5..40).contains(&left.len()), "it is in the cache: {left:?}");
    assert_nothing_is_held(&lab);
    // Somebody who stays comes to have an address by which a key would be found.
    let doomed = |key: &&String| !["u1@", "u2@", "u3@", "u4@"].iter().any(|stays| key.contains(stays));
    let taken = left.iter().find(doomed).unwrap().clone();
    let email = taken.strip_prefix("user:map:").unwrap();
    lab.sql(&format!("SET lock_timeout = '2s'; INSERT INTO users VALUES (900, 1, '{email}')"));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        assert_eq!(keys(&mut client).len(), left.len(), "nothing leaves while it waits");
        std::thread::sleep(Duration::from_millis(200));
    }
    lab.sql("UPDATE queue SET depth = 0");
    purge.until("some tenants are gone", |_| lab.count("tenants") < 40);
    assert_eq!(keys(&mut client).len(), 5, "those of four who stay, and that of the fifth");
    assert!(keys(&mut client).contains(&taken));
    let before = purge.stderr().lines().count();
    lab.sql("UPDATE queue SET depth = 60");
    purge.until("it waits again", |said| {
        said.lines().skip(before).any(|line| line.starts_with("waiting: the throttle query returned 60 > 10"))
    });
    let tenants = lab.count("tenants");
    assert_nothing_is_held(&lab);
    lab.sql("DROP TABLE queue");
    let says = [
        "stopped in store `main`",
        "whether it may go on could not be told",
        "`cache` is done",
        "unseed resume r-1",
    ];
    fault(&purge.end(), 4, &says);
    assert_eq!(lab.count("tenants"), tenants);
    let resume = ["resume", "r-1", "--confirm", "r-1"];
    fault(&scene.run(&resume), 4, &["relation \"queue\" does not exist", "run `r-1` is where it was"]);
    lab.sql("CREATE TABLE queue AS SELECT 1 AS depth");
    scene.write("unseed.toml", &format!("{TRAFFIC}\n[throttle]\n{query}"));
    let answer = scene.run(&resume);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(
        answer.stdout.contains("store cache: waited ") && answer.stdout.contains("returned 50 > 10"),
        "{answer:?}"
    );
    assert_eq!((lab.count("tenants"), lab.count("users"), keys(&mut client).len()), (4, 5, 5));
    assert_eq!(scene.json(0, &["verify", "r-1"])["clean"], true);
    lab.sql("DELETE FROM users WHERE id = 900");
    scene.restore("r-1");
    assert_eq!((lab.count("tenants"), lab.count("users"), keys(&mut client).len()), (40, 40, 40));
}

#[test]
fn a_probe_that_fails_in_the_cache_stops_a_run_over_several_stores() {
    let (scene, lab, redis) = traffic();
    let mut client = redis.client().unwrap();
    let config = format!(
        "{TRAFFIC}\n[throttle]\nrows_per_second = 8\nfailing_max = \"2s\"\nprobe_max = \"20s\"\n\
         query_max = 10\nquery = \"SELECT depth FROM queue\""
    );
    scene.write("unseed.toml", &config);
    scene.plan(&["--where", "tenants: id > 4"]);
    let id = scene.plan_id();
    let mut purge = Running::of(scene.command(&["purge", "plan.json", "--confirm", &id]), &scene.path(""));
    purge.until("some keys are gone", |_| keys(&mut client).len() < 40);
    lab.sql("DROP TABLE queue");
    let says = ["stopped in store `cache`: whether it may go on could not be told", "`main` is untouched"];
    fault(&purge.end(), 4, &says);
    assert!(keys(&mut client).len() > 4);
    lab.sql("CREATE TABLE queue AS SELECT 1 AS depth");
    scene.write("unseed.toml", TRAFFIC);
    scene.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!((lab.count("tenants"), keys(&mut client).len()), (4, 4));
}

#[test]
fn a_store_that_cannot_be_measured_is_refused_and_named() {
    let (mut scene, lab, redis) = traffic();
    scene.write("site.sql", "CREATE TABLE sites (id INTEGER PRIMARY KEY, owner TEXT NOT NULL); INSERT INTO sites VALUES (1, 'u40@tenant-40.example'), (2, 'u1@tenant-1.example');");
    let site = scene.sqlite("site.db", "site.sql");
    scene.set("SITE_URL", &site);
    let config = format!(
        "{TRAFFIC}[stores.site]\nurl = \"env:SITE_URL\"\nroots = [\"sites.owner = {{users.email}}\"]\n"
    );
    scene.write("unseed.toml", &config);
    scene.plan(&["--where", "tenants: id > 4"]);
    scene.write("unseed.toml", &format!("{config}[throttle]\nlock_waits_max = 3"));
    let says = "store `site`: `throttle.lock_waits_max` cannot be measured on this kind of store";
    fault(&try_purge(&scene), 2, &[says]);
    // The query is about the source alone.
    let query = "[throttle]\nprobe_max = \"20s\"\nquery_max = 10\nquery = \"SELECT depth FROM queue\"";
    scene.write("unseed.toml", &format!("{config}{query}"));
    let begun = Instant::now();
    let answer = try_purge(&scene);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(begun.elapsed() < LONG);
    assert_eq!(scene.sql("site.db", "SELECT count(*) FROM sites"), "1");
    assert_eq!((lab.count("tenants"), keys(&mut redis.client().unwrap()).len()), (4, 4));
}
