//! Many keys, of which nearly all belong to test tenants: found, archived, removed, verified, restored.
//!
//! `UNSEED_REDIS_KEYS=1000000` makes it as many; then it prints what each step took. With `UNSEED_REDIS_PEER` set to a
//! Python that has the `redis` module, the scripts of `bench/redis.py` run before it, on the same server. With
//! `UNSEED_REDIS_PAUSE` set to milliseconds, it pauses between steps, and tells how long others waited for an answer.

use super::scene::{self, Scene, contents, find, id, nearly_all, open, settings};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unseed_core::port::progress::Silent;
use unseed_io::store::RedisSettings;
use unseed_testkit::server::{Redis, RedisOptions, Reply};

const KEYS_PER_TENANT: u64 = 10;

fn fill(server: &Redis, tenants: u64) {
    let mut client = server.client().unwrap();
    let resp = "y".repeat(400);
    let session = "x".repeat(180);
    let keys = (0..tenants).flat_map(|n| {
        let id = id(n);
        let number = n.to_string();
        let mut all: Vec<Vec<Vec<u8>>> = ["minute", "hour", "day"]
            .map(|kind| scene::command(&["SET", &format!("tenant:{id}:rl:{kind}"), &number, "EX", "86400"]))
            .into();
        all.extend((0..4).map(|k| scene::command(&["SET", &format!("sess:{id}:{k}"), &session])));
        let branding = format!("cache:branding:t{n}");
        all.push(scene::command(&[
            "HSET",
            &branding,
            "logo",
            "https://cdn/x.png",
            "color",
            "#123456",
            "tenant",
            &id,
        ]));
        all.push(scene::command(&["SET", &format!("cache:resp:{id}:/api/agents"), &resp]));
        let mut recent = scene::command(&["ZADD", &format!("tenant:{id}:recent")]);
        (0..10).for_each(|j| recent.extend([format!("{j}").into_bytes(), format!("run{j}").into_bytes()]));
        all.push(recent);
        all
    });
    client.run_all(keys).unwrap();
}

/// Asks for a key all the time, until it is told to stop; returns microseconds, sorted.
fn others(server: &Redis, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<u128>> {
    let (mut client, stop) = (server.client().unwrap(), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut waits = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            client.run(&["GET", "nothing"]).unwrap();
            waits.push(start.elapsed().as_micros());
            std::thread::sleep(Duration::from_micros(500));
        }
        waits.sort_unstable();
        waits
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_nearly_all_tenants_leave_and_come_back() {
    let wanted = number("UNSEED_REDIS_KEYS");
    let pause_ms = number("UNSEED_REDIS_PAUSE");
    let (keys, is_bench) = (wanted.unwrap_or(20_000), wanted.is_some());
    let tenants = nearly_all(keys / KEYS_PER_TENANT);
    let doomed = keys - keys.div_ceil(100 * KEYS_PER_TENANT) * KEYS_PER_TENANT;
    let mut scene = Scene::new(&RedisOptions::default());
    fill(&scene.server, tenants.count);
    if is_bench && let Ok(python) = std::env::var("UNSEED_REDIS_PEER") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/redis.py");
        let socket = scene.server.folder().join("socket");
        assert!(
            Command::new(python).arg(script).arg(socket).arg(keys.to_string()).status().unwrap().success()
        );
        scene.client().run(&["FLUSHALL"]).unwrap();
        fill(&scene.server, tenants.count);
    }
    let before = (!is_bench).then(|| contents(&mut scene.client()));
    let settings = RedisSettings { pause_ms: pause_ms.unwrap_or(0), ..settings() };
    let mut store = open(&scene.server.url(), settings).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let waiting = pause_ms.map(|_| others(&scene.server, &stop));
    let mut clock = Instant::now();
    let mut lap = |what: &str| {
        if is_bench {
            println!("{what:10} {:8.3} s", clock.elapsed().as_secs_f64());
        }
        clock = Instant::now();
    };
    let found = find(store.as_mut(), &tenants).await.unwrap();
    lap("find");
    assert_eq!((found.entries(), found.ambiguous, found.seen >= keys), (doomed, 0, true));
    let (mut archived, mut removing) = (0, Duration::ZERO);
    loop {
        let written = scene.archive(store.as_mut(), 1_000_000).await.unwrap();
        let start = Instant::now();
        let cleared = store.remove(&Silent).await.unwrap();
        removing += start.elapsed();
        assert_eq!((cleared.removed.values().sum::<u64>(), cleared.changed, cleared.gone), (written, 0, 0));
        archived += written;
        if written == 0 {
            break;
        }
    }
    if is_bench {
        println!("remove     {:8.3} s, within the next", removing.as_secs_f64());
    }
    lap("both");
    assert_eq!(archived, doomed);
    assert_eq!(find(store.as_mut(), &tenants).await.unwrap().entries(), 0);
    lap("verify");
    assert_eq!(scene.client().run(&["DBSIZE"]).unwrap(), Reply::Int(i64::try_from(keys - doomed).unwrap()));
    let restored = scene.restore(store.as_mut()).await.unwrap();
    lap("restore");
    assert_eq!((restored.inserted["keys"], restored.conflicts.len(), restored.expired.len()), (doomed, 0, 0));
    stop.store(true, Ordering::Relaxed);
    if let Some(waits) = waiting.map(|thread| thread.join().unwrap()) {
        let at = |share: usize| waits[(waits.len() - 1) * share / 1000];
        println!("others waited: median {} us, p99 {} us, longest {} us", at(500), at(990), at(1000));
    }
    if is_bench {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    }
    if let Some(before) = before {
        assert!(contents(&mut scene.client()) == before, "everything is as it was");
    }
}
