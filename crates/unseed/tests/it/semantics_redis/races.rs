//! Others go on meanwhile: entries change, expire, are evicted, appear; the table grows and shrinks; we or the server die.

use super::scene::{self, Scene, command, contents, find, id, nearly_all, odd, open, settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use unseed_core::port::progress::Silent;
use unseed_io::store::RedisSettings;
use unseed_testkit::server::{RedisClient, RedisOptions, Reply};

fn session(number: u64, of: u64) -> String {
    format!("sess:{}:{of}", id(number))
}

fn sessions(client: &mut RedisClient, tenants: u64, each: u64) {
    let all = (0..tenants).flat_map(|n| (0..each).map(move |k| command(&["SET", &session(n, k), "value"])));
    client.run_all(all).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_archive_and_removal_loses_nothing() {
    let mut scene = Scene::new(&RedisOptions::default().durable());
    let mut client = scene.client();
    sessions(&mut client, 10, 3);
    let before = contents(&mut client);
    {
        let mut store = scene.store().await;
        find(store.as_mut(), &odd()).await.unwrap();
        assert_eq!(scene.archive(store.as_mut(), 5).await.unwrap(), 5);
        store.remove(&Silent).await.unwrap();
        // Archived, and then this process is gone; the server dies as well.
        assert_eq!(scene.archive(store.as_mut(), 5).await.unwrap(), 5);
        scene.server.kill().unwrap();
        let fault = store.remove(&Silent).await.unwrap_err();
        assert_eq!((fault.category.exit_code(), fault.hint.is_empty()), (4, false), "{fault}");
        assert!(fault.state.contains("in the archive"), "{}", fault.state);
    }
    scene.server.start().unwrap();
    let mut client = scene.client();
    assert_eq!(client.run(&["DBSIZE"]).unwrap(), Reply::Int(25));
    let mut store = scene.store().await;
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 10);
    let (archived, cleared) = scene.clear(store.as_mut(), 4).await.unwrap();
    assert_eq!((archived, cleared.changed, cleared.gone), (10, 0, 0));
    let restored = scene.restore(store.as_mut()).await.unwrap();
    assert_eq!((restored.inserted["keys"], restored.conflicts.len()), (15, 0));
    assert!(contents(&mut client) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_keys_those_stay_that_changed() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    sessions(&mut client, 400, 10);
    let mut store = scene.store().await;
    let found = find(store.as_mut(), &nearly_all(400)).await.unwrap().entries();
    assert_eq!(found, 10 * (400 - 4));
    assert_eq!(scene.archive(store.as_mut(), 100_000).await.unwrap(), found);
    // One of each ten keys is written to meanwhile.
    for tenant in 0..400 {
        client.run(&["APPEND", &session(tenant, tenant % 10), "more"]).unwrap();
    }
    let cleared = store.remove(&Silent).await.unwrap();
    assert_eq!(
        (cleared.removed["sess:{tenant.id}:*"], cleared.changed, cleared.gone),
        (found - found / 10, found / 10, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_keys_than_are_kept_in_memory_leave_and_come_back() {
    let mut scene = Scene::new(&RedisOptions::default());
    let tenants = nearly_all(9000);
    sessions(&mut scene.client(), tenants.count, 4);
    let before = contents(&mut scene.client());
    let settings = RedisSettings { found_bytes_max: 1 << 18, ..settings() };
    let mut store = open(&scene.server.url(), settings).await.unwrap();
    let found = find(store.as_mut(), &tenants).await.unwrap();
    assert_eq!(found.entries(), 4 * (9000 - 90));
    let (archived, cleared) = scene.clear(store.as_mut(), 100_000).await.unwrap();
    assert!(scene.batches.len() > 2, "{} batches", scene.batches.len());
    assert_eq!((archived, cleared.changed, cleared.gone), (found.entries(), 0, 0));
    assert_eq!(find(store.as_mut(), &tenants).await.unwrap().entries(), 0);
    let restored = scene.restore(store.as_mut()).await.unwrap();
    assert_eq!((restored.inserted["keys"], restored.conflicts.len()), (archived, 0));
    assert!(contents(&mut scene.client()) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_during_the_pass_is_a_fault_and_never_a_smaller_number() {
    let scene = Scene::new(&RedisOptions::default());
    sessions(&mut scene.client(), 10, 3);
    let mut store = scene.store().await;
    scene.server.kill().unwrap();
    let fault = find(store.as_mut(), &odd()).await.unwrap_err();
    assert_eq!((fault.category.exit_code(), fault.state.as_str()), (4, "nothing was changed"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_archived_in_place_of_gone_ones_stay_too_if_they_changed() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    sessions(&mut client, 10, 120);
    let mut store = scene.store().await;
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 600);
    client.run_all((0..20).map(|k| command(&["DEL", &session(1, k)]))).unwrap();
    // Of the first 400 some are gone, so others are asked for in a second round.
    let archived = scene.archive(store.as_mut(), 400).await.unwrap();
    assert_eq!(archived, 400);
    let others = [1, 3, 5, 7, 9].into_iter().flat_map(|n| (20..120).map(move |k| session(n, k)));
    client.run_all(others.map(|key| command(&["SET", &key, "changed"]))).unwrap();
    let all = [3, 5, 7, 9].into_iter().flat_map(|n| (0..20).map(move |k| session(n, k)));
    client.run_all(all.map(|key| command(&["SET", &key, "changed"]))).unwrap();
    let cleared = store.remove(&Silent).await.unwrap();
    assert_eq!((cleared.changed, cleared.removed.len()), (400, 0), "every one was touched: {cleared:?}");
    assert_eq!(client.run(&["DBSIZE"]).unwrap(), Reply::Int(1200 - 20));
}

/// What happens to keys between archive and removal, for each way in which they are compared.
async fn changes_stay(mut scene: Scene, user: Option<(&str, &str)>) {
    let mut client = scene.client();
    sessions(&mut client, 10, 2);
    client
        .run_all([
            command(&["PEXPIRE", &session(5, 0), "86400000"]),
            command(&["HSET", "tenants:names", &id(1), "one", &id(3), "three", &id(5), "five"]),
            command(&["ZADD", "tenants:scores", "1", &id(1), "3", &id(3)]),
            command(&["SADD", "tenants:active", &id(1), &id(3)]),
        ])
        .unwrap();
    let url = user.map_or_else(|| scene.server.url(), |(name, password)| scene.server.url_as(name, password));
    let mut store = open(&url, settings()).await.unwrap();
    let found = find(store.as_mut(), &odd()).await.unwrap();
    assert_eq!(found.entries(), 10 + 3 + 2 + 2);
    // Keys are archived first, entries within keys then.
    let rounds = [
        vec![
            command(&["SET", &session(1, 0), "changed"]),
            command(&["SET", &session(1, 1), "value", "PX", "86400000"]),
            command(&["DEL", &session(3, 0)]),
            command(&["SET", &session(3, 1), "value"]),
            command(&["PERSIST", &session(5, 0)]),
        ],
        vec![
            command(&["HSET", "tenants:names", &id(1), "changed"]),
            command(&["HDEL", "tenants:names", &id(3)]),
            command(&["ZADD", "tenants:scores", "2", &id(1)]),
            command(&["SREM", "tenants:active", &id(1)]),
        ],
    ];
    let (mut removed, mut changed, mut gone) = (0, 0, 0);
    for (touched, wanted) in rounds.into_iter().zip([10, 7]) {
        assert_eq!(scene.archive(store.as_mut(), 100).await.unwrap(), wanted);
        client.run_all(touched).unwrap();
        let cleared = store.remove(&Silent).await.unwrap();
        removed += cleared.removed.values().sum::<u64>();
        (changed, gone) = (changed + cleared.changed, gone + cleared.gone);
    }
    assert_eq!(scene.archive(store.as_mut(), 100).await.unwrap(), 0);
    // Changed: a value, two expiries, a name, a score. Gone: a key, a name, a member.
    assert_eq!((removed, changed, gone), (17 - 5 - 3, 5, 3));
    for (key, value) in [(session(1, 0), "changed"), (session(1, 1), "value"), (session(5, 0), "value")] {
        assert_eq!(client.run(&["GET", &key]).unwrap().text(), value);
    }
    assert_eq!(client.run(&["GET", &session(3, 1)]).unwrap(), Reply::Nil, "it was written anew, as it was");
    assert_eq!(client.run(&["HGETALL", "tenants:names"]).unwrap(), texts(&[&id(1), "changed"]));
    assert_eq!(client.run(&["ZRANGE", "tenants:scores", "0", "-1"]).unwrap(), texts(&[&id(1)]));
    // What stayed is found again, and leaves in its new version.
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 5);
    let (archived, cleared) = scene.clear(store.as_mut(), 100).await.unwrap();
    assert_eq!((archived, cleared.changed, cleared.gone), (5, 0, 0));
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 0);
}

fn texts(texts: &[&str]) -> Reply {
    Reply::List(texts.iter().map(|text| Reply::Text(text.as_bytes().to_vec())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_between_archive_and_removal_stays() {
    changes_stay(Scene::new(&RedisOptions::default()), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_stays_where_transactions_are_forbidden() {
    let scene = Scene::new(&RedisOptions::default().line("user bob on >word ~* &* +@all -@transaction"));
    changes_stay(scene, Some(("bob", "word"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_stays_where_scripts_are_forbidden() {
    let scene = Scene::new(&RedisOptions::default().line("user bob on >word ~* &* +@all -@scripting"));
    changes_stay(scene, Some(("bob", "word"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_evicted_or_flushed_meanwhile_is_gone_and_no_error() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    sessions(&mut client, 10, 2);
    let mut store = scene.store().await;
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 10);
    assert_eq!(scene.archive(store.as_mut(), 4).await.unwrap(), 4);
    client.run(&["FLUSHALL"]).unwrap();
    let cleared = store.remove(&Silent).await.unwrap();
    assert_eq!((cleared.removed.len(), cleared.changed, cleared.gone), (0, 0, 4));
    let (archived, cleared) = scene.clear(store.as_mut(), 4).await.unwrap();
    assert_eq!((archived, cleared.gone), (0, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_sees_every_key_while_the_table_grows_and_shrinks() {
    let scene = Scene::new(&RedisOptions::default());
    let tenants = nearly_all(3000);
    sessions(&mut scene.client(), tenants.count, 2);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (mut client, stop) = (scene.client(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut rounds = 0;
            // The table doubles, and halves again.
            while !stop.load(Ordering::Relaxed) {
                let keys: Vec<String> = (0..30_000).map(|n| format!("other:{rounds}:{n}")).collect();
                client.run_all(keys.iter().map(|key| command(&["SET", key, "x"]))).unwrap();
                client.run_all(keys.iter().map(|key| command(&["DEL", key]))).unwrap();
                rounds += 1;
            }
            rounds
        })
    };
    let mut store = scene.store().await;
    let doomed = 2 * (3000 - 30);
    for _ in 0..4 {
        let found = find(store.as_mut(), &tenants).await.unwrap();
        assert_eq!(found.entries(), doomed, "each once");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_other_tenants_lose_nothing() {
    let mut scene = Scene::new(&RedisOptions::default());
    let tenants = nearly_all(1000);
    sessions(&mut scene.client(), tenants.count, 5);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (mut client, stop) = (scene.client(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut count = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                // A tenant that stays, and one that leaves: its keys may come back, but what stays is as it was written.
                let stays = session(count % 10 * 100, count % 5);
                client.run(&["SET", &stays, &format!("written {count}")]).unwrap();
                let read = client.run(&["GET", &stays]).unwrap().text();
                assert_eq!(read, format!("written {count}"));
                client.run(&["SET", &session(1, count % 5), &format!("again {count}")]).unwrap();
                count += 1;
            }
            count
        })
    };
    let mut store = scene.store().await;
    for _ in 0..3 {
        find(store.as_mut(), &tenants).await.unwrap();
        scene.clear(store.as_mut(), 700).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
    find(store.as_mut(), &tenants).await.unwrap();
    let (_, cleared) = scene.clear(store.as_mut(), 700).await.unwrap();
    assert_eq!(cleared.changed, 0);
    let left = contents(&mut scene.client());
    assert_eq!(left.len(), 10 * 5);
    let restored = scene.restore(store.as_mut()).await.unwrap();
    assert!(restored.conflicts.is_empty(), "{:?}", restored.conflicts.first());
    assert_eq!(contents(&mut scene.client()).len(), 1000 * 5);
    scene::contents(&mut scene.client()).iter().for_each(|(key, content)| {
        if let Some(before) = left.get(key) {
            assert_eq!(before, content);
        }
    });
}
