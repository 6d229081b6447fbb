//! Others write between the archive of a key and its removal: what they wrote stays, by whatever command, at whatever moment.

use super::scene::{Scene, command, contents, find, id, odd, open, settings};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use unseed_core::port::derived::DerivedStore;
use unseed_core::port::progress::{Progress, Silent};
use unseed_testkit::server::{RedisClient, RedisOptions, Reply};

fn session(of: u64) -> String {
    format!("sess:{}:{of}", id(1))
}

fn sessions(client: &mut RedisClient, count: u64) {
    client.run_all((0..count).map(|of| command(&["SET", &session(of), "value"]))).unwrap();
}

/// A line of INFO.
fn told(client: &mut RedisClient, section: &str, name: &str) -> String {
    let text = client.run(&["INFO", section]).unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

fn changes(client: &mut RedisClient) -> u64 {
    told(client, "persistence", "rdb_changes_since_last_save").parse().unwrap()
}

/// How often a payload was asked for: for the archive, and to compare it.
fn dumps(client: &mut RedisClient) -> String {
    told(client, "commandstats", "cmdstat_dump").split(',').next().unwrap_or_default().to_owned()
}

/// A server is not believed to be quiet right after it was saved or started.
fn settle(client: &mut RedisClient) {
    loop {
        let saved: i64 = told(client, "persistence", "rdb_last_save_time").parse().unwrap();
        let Reply::List(now) = client.run(&["TIME"]).unwrap() else { panic!("a time") };
        if now[0].text().parse::<i64>().unwrap() - saved >= 2 {
            return;
        }
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_writes_keys_leave_without_being_compared() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    sessions(&mut client, 2_500);
    settle(&mut client);
    client.run(&["PEXPIRE", &session(7), "4000"]).unwrap();
    let before = contents(&mut client);
    let mut store = scene.store().await;
    find(store.as_mut(), &odd()).await.unwrap();
    // The first key of all shows that the server counts what is removed.
    assert_eq!(scene.archive(store.as_mut(), 1).await.unwrap(), 1);
    store.remove(&Silent).await.unwrap();
    assert_eq!(scene.archive(store.as_mut(), 10_000).await.unwrap(), 2_499);
    let asked = dumps(&mut client);
    // Nobody writes what expires, and it is gone.
    while client.run(&["EXISTS", &session(7)]).unwrap() != Reply::Int(0) {
        std::thread::yield_now();
    }
    let cleared = store.remove(&Silent).await.unwrap();
    assert_eq!((cleared.removed["sess:{tenant.id}:*"], cleared.changed, cleared.gone), (2_498, 0, 1));
    assert_eq!(dumps(&mut client), asked, "no payload was looked at again");
    assert_eq!(client.run(&["DBSIZE"]).unwrap(), Reply::Int(0));
    let restored = scene.restore(store.as_mut()).await.unwrap();
    assert_eq!((restored.inserted["keys"], restored.expired.len()), (2_499, 1));
    let mut before = before;
    before.remove(session(7).as_bytes());
    assert!(contents(&mut client) == before);
}

/// While nobody writes, the server shows that it counts what is removed: from then on it is believed.
async fn warm_up(scene: &mut Scene, store: &mut dyn DerivedStore) {
    let mut client = scene.client();
    settle(&mut client);
    sessions(&mut client, 1);
    find(store, &odd()).await.unwrap();
    assert_eq!(scene.clear(store, 100).await.unwrap().0, 1);
}

/// What others do to the first of some doomed keys, and what it holds then.
type Write = (&'static str, fn(&mut RedisClient, &str), &'static str);

fn all(client: &mut RedisClient, commands: &[&[&str]]) {
    for parts in commands {
        let answer = client.run(parts).unwrap();
        assert!(!matches!(answer, Reply::Error(_)), "{parts:?}: {answer:?}");
    }
}

const WRITES: [Write; 15] = [
    ("another value", |c, key| all(c, &[&["SET", key, "new"]]), "new"),
    ("one byte", |c, key| all(c, &[&["SETRANGE", key, "4", "s"]]), "valus"),
    ("an expiry", |c, key| all(c, &[&["EXPIRE", key, "1000"]]), "value"),
    ("the same value with an expiry", |c, key| all(c, &[&["SET", key, "value", "EX", "1000"]]), "value"),
    ("gone and back", |c, key| all(c, &[&["DEL", key], &["SET", key, "new"]]), "new"),
    ("another key's name", |c, key| all(c, &[&["SET", "other", "new"], &["RENAME", "other", key]]), "new"),
    ("a copy", |c, key| all(c, &[&["SET", "other", "new"], &["COPY", "other", key, "REPLACE"]]), "new"),
    (
        "a transaction",
        |c, key| all(c, &[&["MULTI"], &["APPEND", key, "s"], &["APPEND", key, "!"], &["EXEC"]]),
        "values!",
    ),
    ("a script", |c, key| all(c, &[&["EVAL", "redis.call('SET', KEYS[1], 'new')", "1", key]]), "new"),
    (
        "another database",
        |c, key| {
            all(
                c,
                &[
                    &["DEL", key],
                    &["SELECT", "1"],
                    &["SET", key, "new"],
                    &["MOVE", key, "0"],
                    &["SELECT", "0"],
                ],
            );
        },
        "new",
    ),
    ("everything flushed", |c, key| all(c, &[&["FLUSHDB"], &["SET", key, "new"]]), "new"),
    (
        "databases swapped",
        |c, key| all(c, &[&["SELECT", "1"], &["SET", key, "new"], &["SELECT", "0"], &["SWAPDB", "0", "1"]]),
        "new",
    ),
    ("a save behind it", |c, key| all(c, &[&["SET", key, "new"], &["SAVE"]]), "new"),
    ("a save, and as many writes as before it", |c, key| as_many(c, key, &["SAVE"]), "new"),
    (
        "a save in the background, and as many writes as before it",
        |c, key| as_many(c, key, &["BGSAVE"]),
        "new",
    ),
];

/// Saves, and writes until the server has counted as many changes as there were before.
fn as_many(client: &mut RedisClient, key: &str, save: &[&str]) {
    let before = changes(client);
    all(client, &[&["CONFIG", "RESETSTAT"], save]);
    while told(client, "persistence", "rdb_bgsave_in_progress") != "0" {
        std::thread::yield_now();
    }
    while changes(client) < before {
        all(client, &[&["SET", key, "new"]]);
    }
    settle(client);
    assert_eq!(changes(client), before, "the count is the same again");
}

/// What changed stays, and is archived anew before it leaves.
async fn writes_stay(scene: &mut Scene, url: &str) {
    let mut client = scene.client();
    let mut store = open(url, settings()).await.unwrap();
    warm_up(scene, store.as_mut()).await;
    for (what, write, left) in WRITES {
        all(&mut client, &[&["FLUSHALL"]]);
        sessions(&mut client, 40);
        settle(&mut client);
        assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 40, "{what}");
        assert_eq!(scene.archive(store.as_mut(), 100).await.unwrap(), 40, "{what}");
        write(&mut client, &session(0));
        let cleared = store.remove(&Silent).await.unwrap();
        assert_eq!(cleared.changed, 1, "{what}: {cleared:?}");
        assert_eq!(cleared.removed.values().sum::<u64>() + cleared.gone, 39, "{what}: {cleared:?}");
        assert_eq!(client.run(&["GET", &session(0)]).unwrap().text(), left, "{what}");
        assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 1, "{what}");
        let (archived, cleared) = scene.clear(store.as_mut(), 100).await.unwrap();
        assert_eq!((archived, cleared.changed), (1, 0), "{what}");
        assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_writes_to_a_doomed_key_after_its_archive_it_stays() {
    let mut scene = Scene::new(&RedisOptions::default());
    let url = scene.server.url();
    writes_stay(&mut scene, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_writes_to_a_doomed_key_it_stays_where_scripts_are_forbidden() {
    let mut scene = Scene::new(&RedisOptions::default().line("user bob on >word ~* &* +@all -@scripting"));
    let url = scene.server.url_as("bob", "word");
    writes_stay(&mut scene, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_writes_to_a_doomed_key_it_stays_where_transactions_are_forbidden() {
    let mut scene = Scene::new(&RedisOptions::default().line("user bob on >word ~* &* +@all -@transaction"));
    let url = scene.server.url_as("bob", "word");
    writes_stay(&mut scene, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_its_scripts_is_told_them_again() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    sessions(&mut client, 200);
    settle(&mut client);
    let mut store = scene.store().await;
    find(store.as_mut(), &odd()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(scene.archive(store.as_mut(), 100).await.unwrap(), 100);
        client.run(&["SCRIPT", "FLUSH"]).unwrap();
        let cleared = store.remove(&Silent).await.unwrap();
        assert_eq!((cleared.removed["sess:{tenant.id}:*"], cleared.changed, cleared.gone), (100, 0, 0));
    }
}

/// Writes to every key that is left, as soon as the first keys were removed.
struct WritesToAll {
    client: Mutex<RedisClient>,
    keys: u64,
    written: Mutex<Vec<u64>>,
}

impl Progress for WritesToAll {
    fn update(&self, stage: &str, _done: u64, _total: Option<u64>) {
        let mut written = self.written.lock().unwrap();
        if stage != "removed entries" || !written.is_empty() {
            return;
        }
        let mut client = self.client.lock().unwrap();
        let is_there =
            |of: &u64| client.run(&["SET", &session(*of), "new", "XX"]).unwrap().text().starts_with("OK");
        written.extend((0..self.keys).rev().filter(is_there));
    }

    fn note(&self, _text: &str) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_out_ahead_stays_once_somebody_wrote() {
    const KEYS: u64 = 6_000;
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    let mut store = scene.store().await;
    warm_up(&mut scene, store.as_mut()).await;
    sessions(&mut client, KEYS);
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), KEYS);
    assert_eq!(scene.archive(store.as_mut(), KEYS).await.unwrap(), KEYS);
    let progress =
        WritesToAll { client: Mutex::new(scene.client()), keys: KEYS, written: Mutex::new(Vec::new()) };
    let cleared = store.remove(&progress).await.unwrap();
    let written = progress.written.into_inner().unwrap();
    // Of six thousand, one thousand was removed at once, without being compared, and another one was at most on its way.
    assert!((4_000..=5_000).contains(&written.len()), "{}", written.len());
    let left = u64::try_from(written.len()).unwrap();
    assert_eq!(
        (cleared.removed["sess:{tenant.id}:*"], cleared.changed, cleared.gone),
        (KEYS - left, left, 0)
    );
    let there = texts(&mut client);
    let expected = written.iter().map(|of| (session(*of), "new".to_owned())).collect();
    assert!(there == expected, "{} are there, {left} were written to", there.len());
}

/// Something that goes on until it is dropped.
struct Meanwhile {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Meanwhile {
    fn begin(mut step: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                step();
            }
        });
        Self { stop, thread: Some(thread) }
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_who_write_all_the_time_keep_nothing_from_leaving() {
    for line in ["user bob on >word ~* &* +@all", "user bob on >word ~* &* +@all -@scripting"] {
        let mut scene = Scene::new(&RedisOptions::default().line(line));
        let mut client = scene.client();
        sessions(&mut client, 3_000);
        let mut other = scene.client();
        let mut written = 0_u64;
        let writer = Meanwhile::begin(move || {
            other.run(&["SET", "unrelated", &written.to_string()]).unwrap();
            written += 1;
        });
        let mut store = open(&scene.server.url_as("bob", "word"), settings()).await.unwrap();
        assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 3_000);
        let (archived, cleared) = scene.clear(store.as_mut(), 1_000).await.unwrap();
        writer.end();
        assert_eq!((archived, cleared.changed, cleared.gone), (3_000, 0, 0));
        assert_eq!(client.run(&["DBSIZE"]).unwrap(), Reply::Int(1));
    }
}

const SEED: u64 = 0x5eed_0f5e;
const STRESSED: u64 = 240;
const WRITERS: u64 = 4;
const ROUNDS: u32 = 60;

/// A writer of its own keys: each value carries the number of the write, which is also kept beside.
fn writer(mut client: RedisClient, number: u64, last: Arc<Vec<AtomicU64>>) -> impl FnMut() + Send + 'static {
    let mut state = SEED ^ number;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = state >> 33;
        // Bursts, and times in which nobody writes.
        if pick.is_multiple_of(50) {
            (0..pick % 20_000).for_each(|_| std::thread::yield_now());
        }
        let of = pick % (STRESSED / WRITERS) * WRITERS + number;
        let place = &last[usize::try_from(of).unwrap()];
        let next = place.load(Ordering::SeqCst) + 1;
        let (key, value) = (session(of), next.to_string());
        match pick / 7 % 4 {
            0 => all(&mut client, &[&["SET", &key, &value]]),
            1 => all(&mut client, &[&["SET", &key, &value, "EX", "100000"]]),
            2 => all(&mut client, &[&["MULTI"], &["DEL", &key], &["SET", &key, &value], &["EXEC"]]),
            _ => all(
                &mut client,
                &[
                    &["SET", "aside", "x"],
                    &["EVAL", "redis.call('SET', KEYS[1], ARGV[1])", "1", &key, &value],
                ],
            ),
        }
        place.store(next, Ordering::SeqCst);
    }
}

/// Of each key, its last version is either there or was archived, however many write while keys are archived and removed.
async fn nothing_is_lost(scene: &mut Scene, user: Option<&str>) {
    let url = user.map_or_else(|| scene.server.url(), |name| scene.server.url_as(name, "word"));
    let mut store = open(&url, settings()).await.unwrap();
    warm_up(scene, store.as_mut()).await;
    let last: Arc<Vec<AtomicU64>> = Arc::new((0..STRESSED).map(|_| AtomicU64::new(0)).collect());
    let writers: Vec<Meanwhile> =
        (0..WRITERS).map(|n| Meanwhile::begin(writer(scene.client(), n, Arc::clone(&last)))).collect();
    let (mut removed, mut changed) = (0, 0);
    for _ in 0..ROUNDS {
        find(store.as_mut(), &odd()).await.unwrap();
        let (_, cleared) = scene.clear(store.as_mut(), 60).await.unwrap();
        removed += cleared.removed.values().sum::<u64>();
        changed += cleared.changed;
    }
    writers.into_iter().for_each(Meanwhile::end);
    assert!(removed > 0, "{changed} had changed, seed {SEED:#x}");
    let mut client = scene.client();
    client.run(&["DEL", "aside"]).unwrap();
    let there = texts(&mut client);
    client.run(&["FLUSHALL"]).unwrap();
    scene.restore(store.as_mut()).await.unwrap();
    let archived = texts(&mut client);
    for of in 0..STRESSED {
        let (key, wanted) = (session(of), last[usize::try_from(of).unwrap()].load(Ordering::SeqCst));
        if wanted == 0 {
            continue;
        }
        match there.get(&key) {
            Some(value) => assert_eq!(value, &wanted.to_string(), "{key} is there, seed {SEED:#x}"),
            None => {
                assert_eq!(
                    archived.get(&key),
                    Some(&wanted.to_string()),
                    "{key} was removed, seed {SEED:#x}"
                );
            }
        }
    }
}

fn texts(client: &mut RedisClient) -> BTreeMap<String, String> {
    let Reply::List(keys) = client.run(&["KEYS", "*"]).unwrap() else { panic!("keys") };
    keys.iter().map(|key| (key.text(), client.run(&["GET", &key.text()]).unwrap().text())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_keys_that_many_write_no_version_is_lost() {
    nothing_is_lost(&mut Scene::new(&RedisOptions::default()), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_keys_that_many_write_no_version_is_lost_where_scripts_are_forbidden() {
    let options = RedisOptions::default().line("user bob on >word ~* &* +@all -@scripting");
    nothing_is_lost(&mut Scene::new(&options), Some("bob")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_keys_that_many_write_no_version_is_lost_while_the_server_is_saved_all_the_time() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    let saver = Meanwhile::begin(move || {
        (0..20_000).for_each(|_| std::thread::yield_now());
        drop(client.run(&["BGSAVE"]).unwrap());
    });
    nothing_is_lost(&mut scene, None).await;
    saver.end();
}
