//! A control plane, the database of its sites, and the sites themselves behind commands.

use super::scene::{Pictures, Scene, steps};
use serde_json::Value;

const ROOTS: [&str; 4] =
    ["--where", "tenants: name LIKE 'QA Trial %'", "--where", "users: email LIKE '%@prego-test.example'"];

fn scene() -> Scene {
    let mut scene = Scene::of("prego");
    let (main, site) = (scene.sqlite("control.db", "control-plane.sql"), scene.sqlite("site.db", "site.sql"));
    scene.set("CONTROL_PLANE_URL", &main);
    scene.set("SITE_URL", &site);
    for name in ["hanbit", "kowalski", "brennan", "qa-trial-1", "qa-trial-2"] {
        let folder = scene.path(&format!("sites/{name}.erp.example"));
        std::fs::create_dir_all(folder.join("private")).unwrap();
        std::fs::write(folder.join("site_config.json"), format!("{{\"db_name\": \"{name}\"}}")).unwrap();
        std::fs::write(folder.join("private/key"), [0, 255, 10, 13]).unwrap();
    }
    let config = scene.read("unseed.toml");
    let (before, rest) = config.split_once("# Addresses at the edge").unwrap();
    let (_, rest) = rest.split_once("# The sites on their node").unwrap();
    scene.write("unseed.toml", &format!("{before}# The sites on their node{rest}"));
    scene
}

fn pictures(scene: &Scene) -> Pictures {
    let mut pictures = Pictures::new();
    pictures.insert("main".to_owned(), scene.dump("control.db"));
    pictures.insert("site".to_owned(), scene.dump("site.db"));
    let mut sites = Vec::new();
    for entry in std::fs::read_dir(scene.path("sites")).unwrap() {
        let entry = entry.unwrap();
        for file in ["site_config.json", "private/key"] {
            let content = std::fs::read(entry.path().join(file)).unwrap();
            sites.push(format!("{} {file} {content:?}", entry.file_name().to_string_lossy()));
        }
    }
    sites.sort();
    pictures.insert("bench".to_owned(), sites);
    pictures
}

fn legs(report: &Value) -> Vec<String> {
    let legs = report["legs"].as_array().unwrap().iter();
    legs.map(|leg| format!("{} {}", leg["store"].as_str().unwrap(), leg["state"].as_str().unwrap_or("-"))).collect()
}

#[test]
fn one_plan_removes_verifies_and_restores_over_all_stores() {
    let scene = scene();
    let before = pictures(&scene);
    let plan = scene.plan(&ROOTS);
    let steps = steps(&plan);
    assert_eq!(steps["bench: site"], 2);
    assert_eq!(steps["site: sites"], 2);
    assert_eq!(steps["site: documents"], 4);
    assert_eq!(steps["main: tenants"], 2);
    assert_eq!(steps["main: users"], 2);
    assert_eq!(pictures(&scene), before, "a plan changes nothing");
    let report = scene.purge();
    assert_eq!(legs(&report), ["bench done", "site done", "main done"]);
    let after = pictures(&scene);
    let is_test = |line: &String| line.contains("qa-trial") || line.contains("QA") || line.contains("prego-test");
    for (store, lines) in &after {
        assert!(!lines.iter().any(is_test), "{store}: {lines:#?}");
    }
    assert_eq!(after["bench"].len(), 6);
    let verified = scene.json(0, &["verify", "r-1"]);
    assert_eq!(verified["clean"], true, "{verified}");
    let restored = scene.restore("r-1");
    assert_eq!(restored["inserted"]["bench: site"], 2);
    assert_eq!(pictures(&scene), before);
    assert_eq!(scene.json(0, &["runs"])["runs"][0]["state"], "restored");
}
