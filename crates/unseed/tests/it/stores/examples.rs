//! The examples `atom` and `dashboard`: load, configuration, expected result, as their pages say.

use super::scene::{Scene, steps};
use crate::lab::{Lab, assert_same};
use unseed_testkit::server::{Postgres, Redis, RedisOptions, SqliteFile};
use unseed_testkit::workloads::{Atom, Scale, load_dashboard_sqlite};

/// Checks the lines of a script that say what they expect: `tenants, 3 expected: 3`.
#[track_caller]
fn as_expected(lines: &str) {
    assert!(!lines.trim().is_empty(), "the script says something");
    for line in lines.lines() {
        let (what, found) = line.split_once(" expected: ").expect("a line of verify.sql");
        let expected = what.rsplit(", ").next().unwrap();
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn atom_and_its_cache_go_together_and_come_back() {
    let mut scene = Scene::of("atom");
    let database = Postgres::shared().unwrap().database("atom").unwrap();
    Atom::at(Scale::S).load(&database).unwrap();
    let lab = Lab::of(database);
    let redis = Redis::start_own(&RedisOptions::default()).unwrap();
    let mut client = redis.client().unwrap();
    let filled = lab.sql(&scene.read("cache.sql"));
    let commands = filled.lines().map(|line| line.split(' ').map(|word| word.as_bytes().to_vec()).collect());
    client.run_all(commands).unwrap();
    let size = |client: &mut unseed_testkit::server::RedisClient| client.run(&["DBSIZE"]).unwrap().text();
    let (before, entries) = (lab.picture(), size(&mut client));
    scene.set("DATABASE_URL", &lab.url());
    scene.set("REDIS_URL", &redis.url());
    let plan = scene.plan(&["--where", "tenants: plan_code = 'free'"]);
    let steps = steps(&plan);
    assert_eq!(steps["main: public.tenants"], 1826);
    assert_eq!(steps["cache: tenant:{tenant.id}:*"], 2 * 1826);
    assert_eq!(steps["cache: cache:branding:{tenant.subdomain}"], 1826);
    let report = scene.purge();
    let order: Vec<&str> =
        report["legs"].as_array().unwrap().iter().map(|leg| leg["store"].as_str().unwrap()).collect();
    assert_eq!(order, ["main", "cache"], "as `after` says");
    as_expected(&lab.sql(&scene.read("verify.sql")));
    // Whatever the cache still holds is of the tenants that stay.
    let stay: u64 =
        lab.sql("SELECT 3 * count(*) + 1 + (SELECT count(*) FROM users) FROM tenants").parse().unwrap();
    assert_eq!(size(&mut client), stay.to_string());
    assert_eq!(scene.json(0, &["verify", "r-1"])["clean"], true);
    scene.restore("r-1");
    assert_same(&lab.picture(), &before);
    assert_eq!(size(&mut client), entries);
}

#[test]
fn the_seeded_users_of_a_dashboard_go_and_come_back() {
    let mut scene = Scene::of("dashboard");
    let file = SqliteFile::create().unwrap();
    load_dashboard_sqlite(&file).unwrap();
    let lab = Lab::of_file(file.path());
    let before = lab.picture();
    scene.set("DASHBOARD_URL", &lab.url());
    scene.json(1, &["scan"]);
    scene.plan(&["--findings"]);
    scene.purge();
    as_expected(&lab.sql(&scene.read("verify.sql")));
    assert_eq!(scene.json(0, &["verify", "r-1"])["clean"], true);
    scene.restore("r-1");
    assert_same(&lab.picture(), &before);
}
