//! What a store behind commands may do wrong, and what becomes of it.

use super::scene::Scene;
use crate::lab::fault;
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) const CONFIG: &str = r#"
[stores.main]
url = "env:MAIN_URL"
[stores.shop]
commands = { list = ["python3", "shop.py", "list"], archive = ["python3", "shop.py", "archive"], remove = ["python3", "shop.py", "remove"], verify = ["python3", "shop.py", "verify"], restore = ["python3", "shop.py", "restore"] }
subjects = ["tenant.slug"]
timeout_s = 60
"#;
pub(super) const ROOTS: [&str; 2] = ["--where", "tenants: slug LIKE 'test%'"];

/// Three tenants, of which two are tests, with three parcels each.
pub(super) fn scene() -> Scene {
    let mut scene = Scene::empty();
    scene.write("unseed.toml", CONFIG);
    scene.write("shop.py", include_str!("shop.py"));
    scene.write(
        "main.sql",
        "CREATE TABLE tenants (id INTEGER PRIMARY KEY, slug TEXT NOT NULL, name TEXT NOT NULL, created_at TEXT NOT NULL);
         INSERT INTO tenants VALUES (1, 'okafor', 'Okafor', '2025-01-02'), (2, 'test-a', 'Test A', '2026-01-02'), (3, 'test-b', 'Test B', '2026-01-02');",
    );
    let url = scene.sqlite("main.db", "main.sql");
    scene.set("MAIN_URL", &url);
    std::fs::create_dir(scene.path("parcels")).unwrap();
    for name in ["okafor", "test-a", "test-b"] {
        for n in 0..3 {
            scene.write(&format!("parcels/{name}-{n}"), &format!("parcel {n} of {name}"));
        }
    }
    scene
}

pub(super) fn parcels(scene: &Scene) -> Vec<(String, String)> {
    let names = std::fs::read_dir(scene.path("parcels")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut all: Vec<(String, String)> = names
        .map(|name| name.to_string_lossy().into_owned())
        .map(|name| (name.clone(), scene.read(&format!("parcels/{name}"))))
        .collect();
    all.sort();
    all
}

fn try_plan(scene: &Scene) -> crate::support::Answer {
    scene.run(&["plan", "-o", "plan.json", ROOTS[0], ROOTS[1]])
}

pub(super) fn try_purge(scene: &Scene) -> crate::support::Answer {
    let id = scene.plan_id();
    scene.run(&["purge", "plan.json", "--confirm", &id])
}

#[test]
fn a_store_that_cannot_be_seen_in_full_is_refused() {
    let mut scene = scene();
    for (wrong, says) in [
        (
            "fails",
            "command `list` of store `shop` ended with code 3: cannot log in at https://shop:***@shop.example/api",
        ),
        ("noise", "line 1 of the answer of command `list` of store `shop` is no object of JSON"),
        ("cut", "the answer of command `list` of store `shop` is not complete: 6 lines came"),
        ("count", "is not complete: 6 lines came"),
        ("all", "6 of 6 entries of store `shop` would leave"),
    ] {
        scene.set("WRONG", wrong);
        let text = fault(&try_plan(&scene), 3, &[says]);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!scene.path("plan.json").exists(), "{wrong}");
    }
}

#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let mut scene = scene();
    scene.set("WRONG", "hangs");
    // On a busy machine the program may not come as far as hanging before its time is over.
    let pids = [2, 8, 32, 128].into_iter().find_map(|timeout_s| {
        scene.write("unseed.toml", &CONFIG.replace("timeout_s = 60", &format!("timeout_s = {timeout_s}")));
        fault(&try_plan(&scene), 3, &[&format!("did not end within {timeout_s} s")]);
        std::fs::read_to_string(scene.path("pids")).ok()
    });
    let pids = pids.expect("the program starts within two minutes");
    let begun = Instant::now();
    let alive = |pid: &str| {
        let status = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    };
    while pids.split(' ').any(alive) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{pids} are still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_the_configuration_or_the_rows_contradict_is_refused() {
    let scene = scene();
    scene.plan(&ROOTS);
    scene.write(
        "unseed.toml",
        &CONFIG.replace("subjects = [\"tenant.slug\"]", "subjects = [\"tenant.slug\", \"tenant.id\"]"),
    );
    fault(&try_purge(&scene), 3, &["store `shop` is configured otherwise than when plan"]);
    scene.write("unseed.toml", CONFIG);
    scene.sql("main.db", "INSERT INTO tenants VALUES (4, 'Test-A', 'Somebody', '2025-03-04')");
    fault(
        &scene.run(&["plan", "-o", "other.json", "--where", "tenants: slug LIKE 'test%' AND id < 4"]),
        3,
        &["1 row that would leave has the same `tenant.slug` as a row that stays"],
    );
    scene.write("unseed.toml", &CONFIG.replace("timeout_s = 60", "before = [\"main\"]\nafter = [\"main\"]"));
    fault(&try_plan(&scene), 2, &["the order of the stores goes in a ring: shop, main"]);
    let parcels = parcels(&scene);
    assert_eq!(parcels.len(), 9, "nothing was removed");
}

#[test]
fn an_entry_that_changes_is_archived_again_before_it_leaves() {
    let mut scene = scene();
    let before = parcels(&scene);
    scene.plan(&ROOTS);
    scene.set("WRONG", "changes once");
    scene.purge();
    assert_eq!(parcels(&scene).len(), 3);
    assert_eq!(scene.json(0, &["verify", "r-1"])["clean"], true);
    let checked = scene.run(&["archive", "check", "r-1"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let log = scene.read(".unseed/archive/r-1/shop/commands.log");
    assert!(log.lines().count() >= 10 && !log.contains("test-a") && !log.contains("parcel 0"), "{log}");
    scene.restore("r-1");
    let mut changed = before;
    changed.iter_mut().find(|(name, _)| name == "test-a-0").unwrap().1.push('!');
    assert_eq!(parcels(&scene), changed, "the last version came back");
}

#[test]
fn entries_that_keep_changing_stop_the_run_and_stay() {
    let mut scene = scene();
    scene.plan(&ROOTS);
    scene.set("WRONG", "changes");
    let says = ["stopped in store `shop`", "6 entries of store `shop` came back", "`main` is untouched"];
    fault(&try_purge(&scene), 4, &says);
    assert_eq!(scene.sql("main.db", "SELECT count(*) FROM tenants"), "3");
    scene.set("WRONG", "");
    scene.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(
        (parcels(&scene).len(), scene.sql("main.db", "SELECT count(*) FROM tenants").as_str()),
        (3, "1")
    );
}

#[test]
fn what_is_in_the_way_of_an_entry_stays_and_is_listed() {
    let scene = scene();
    let before = parcels(&scene);
    scene.plan(&ROOTS);
    scene.purge();
    scene.write("parcels/test-a-1", "of somebody else");
    let verified = scene.json(1, &["verify", "r-1"]);
    assert_eq!(verified["verification"]["leftovers"]["shop: parcel"], 1);
    let restored = scene.json(1, &["restore", "r-1", "--confirm", "r-1"]);
    assert_eq!(restored["conflicts"][0]["key"], "test-a-1");
    assert_eq!(scene.read("parcels/test-a-1"), "of somebody else");
    std::fs::remove_file(scene.path("parcels/test-a-1")).unwrap();
    scene.restore("r-1");
    assert_eq!(parcels(&scene), before);
}

#[test]
fn an_encrypted_run_needs_its_key_to_look_again() {
    let mut scene = scene();
    let before = parcels(&scene);
    let key = crate::archives::age_key_at(&scene.path("key.txt"));
    scene.plan(&ROOTS);
    let id = scene.plan_id();
    scene.json(0, &["purge", "plan.json", "--confirm", &id, "--recipient", &key]);
    let archive = scene.path(".unseed/archive/r-1/batch-0001/subjects.tenant.jsonl.gz.age");
    assert!(archive.is_file(), "the values are encrypted too");
    let without = scene.run(&["verify", "r-1"]);
    assert_ne!(without.code, Some(0), "{without:?}");
    let identity = scene.path("key.txt").display().to_string();
    scene.set("UNSEED_IDENTITY", &identity);
    assert_eq!(scene.json(0, &["verify", "r-1"])["clean"], true);
    scene.restore("r-1");
    assert_eq!(parcels(&scene), before);
}
