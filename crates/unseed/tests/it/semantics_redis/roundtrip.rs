//! What is found, archived and removed comes back as it was, whatever its type, its bytes and its size.

use super::scene::{self, Scene, command, contents, find, id, odd, open, settings};
use std::process::{Command, Stdio};
use unseed_core::port::archive::ArchiveStore as _;
use unseed_core::port::progress::Silent;
use unseed_io::store::RedisSettings;
use unseed_testkit::server::{RedisClient, RedisOptions, Reply};

/// Keys of every type for every tenant, and some that belong to nobody.
fn fill(client: &mut RedisClient) {
    let mut all = Vec::new();
    let odd_bytes: Vec<u8> = (0..=255).collect();
    for number in 0..10 {
        let id = id(number);
        let key = |kind: &str| format!("tenant:{id}:{kind}");
        all.push(command(&["SET", &key("text"), "value \"with\" | odd \t\n characters", "PX", "86400000"]));
        all.push(command(&["SET", &key("number"), "-12345678901"]));
        all.push(command(&["SET", &key("empty"), ""]));
        all.push(vec![b"SET".to_vec(), key("bytes").into_bytes(), odd_bytes.clone()]);
        all.push(vec![b"SET".to_vec(), [key("key").as_bytes(), b"\0\xff\r\n\"|"].concat(), b"1".to_vec()]);
        all.push(command(&["SET", &key("huge"), &"huge ".repeat(400_000), "PX", "86400000"]));
        all.push(command(&["SETBIT", &key("bits"), "1000", "1"]));
        all.push(command(&["PFADD", &key("count"), "a", "b", "c"]));
        all.push(command(&["GEOADD", &key("places"), "13.361389", "38.115556", "Palermo"]));
        all.push(command(&["RPUSH", &key("list"), "b", "a", "b", "", "7"]));
        all.push(command(&["SADD", &key("numbers"), "1", "-70000", "5000000000"]));
        all.push(command(&["SADD", &key("set"), "x", "y", ""]));
        all.push(command(&["HSET", &key("hash"), "f", "v", "", "empty", "n", "-9223372036854775808"]));
        all.push(command(&["ZADD", &key("zset"), "1.5", "a", "-inf", "b", "1e-300", "c", "3", "d"]));
        all.push(command(&["XADD", &key("stream"), "1-1", "field", "value"]));
        all.push(command(&["XADD", &key("stream"), "2-0", "field", "other", "more", "1"]));
        all.push(command(&["XGROUP", "CREATE", &key("stream"), "readers", "0"]));
        all.push(command(&[
            "XREADGROUP",
            "GROUP",
            "readers",
            "ann",
            "COUNT",
            "1",
            "STREAMS",
            &key("stream"),
            ">",
        ]));
        all.push(command(&["PEXPIRE", &key("stream"), "86400000"]));
        for element in 0..600 {
            let text = format!("element {element} {}", "long ".repeat(20));
            all.push(command(&["RPUSH", &key("long:list"), &text]));
            all.push(command(&["SADD", &key("long:set"), &text]));
            all.push(command(&["HSET", &key("long:hash"), &text, &element.to_string()]));
            all.push(command(&["ZADD", &key("long:zset"), &element.to_string(), &text]));
        }
        all.push(command(&["HSET", &format!("cache:branding:t{number}"), "color", "#123456"]));
        all.push(command(&["SADD", "tenants:active", &id]));
        all.push(command(&["HSET", "tenants:names", &id, &format!("Tenant {number}")]));
        all.push(command(&["ZADD", "tenants:scores", &format!("{number}.25"), &id]));
    }
    all.push(command(&["PEXPIRE", "tenants:names", "86400000"]));
    all.push(command(&["SET", "tenant::text", "nobody's"]));
    all.push(command(&["SET", "tenant:gone-tenant:text", "an orphan"]));
    all.push(command(&["SET", "something", "else"]));
    client.run_all(all).unwrap();
}

const KEYS_PER_TENANT: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_was() {
    for (batch, portable, pause_ms) in [(1_000_000, true, 0), (7, false, 0), (40, true, 1)] {
        let mut scene = Scene::new(&RedisOptions::default());
        let mut client = scene.client();
        fill(&mut client);
        let before = contents(&mut client);
        let settings = RedisSettings { portable, pause_ms, ..settings() };
        let mut store = open(&scene.server.url(), settings).await.unwrap();
        let found = find(store.as_mut(), &odd()).await.unwrap();
        let of = |pattern: &str| found.doomed.get(pattern).copied().unwrap_or_default();
        assert_eq!(of("tenant:{tenant.id}:*"), 5 * (KEYS_PER_TENANT - 1));
        assert_eq!(of("cache:branding:{tenant.subdomain}"), 5);
        assert_eq!(of("tenants:scores → {tenant.id}"), 5);
        assert_eq!(found.entries(), 5 * (KEYS_PER_TENANT + 3));
        assert_eq!(
            (found.orphaned.len(), found.samples.as_slice()),
            (1, ["tenant:gone-tenant:text".to_owned()].as_slice())
        );
        let (archived, cleared) = scene.clear(store.as_mut(), batch).await.unwrap();
        assert_eq!((archived, cleared.changed, cleared.gone), (found.entries(), 0, 0));
        assert_eq!(cleared.removed, found.doomed);
        assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 0);
        let left = contents(&mut client);
        let others = before.iter().filter(|(key, _)| {
            (0..10).filter(|n| n % 2 == 1).all(|n| {
                let text = String::from_utf8_lossy(key);
                !text.contains(&id(n))
                    && text != format!("cache:branding:t{n}")
                    && !text.starts_with("tenants:")
            })
        });
        for (key, content) in others {
            assert_eq!(left.get(key), Some(content), "{}", String::from_utf8_lossy(key));
        }
        // Whatever the archive holds is what the manifests say.
        let survey = scene.archive.survey(scene::RUN, &scene.batches, false).unwrap();
        let problems: Vec<_> = survey.problems.iter().filter(|p| p.file != "manifest.json").collect();
        assert_eq!((survey.rows, problems.len()), (found.entries(), 0), "{problems:?}");
        let restored = scene.restore(store.as_mut()).await.unwrap();
        assert_eq!((restored.inserted["keys"], restored.inserted["members"]), (5 * KEYS_PER_TENANT, 15));
        assert!(restored.conflicts.is_empty() && restored.expired.is_empty(), "{restored:?}");
        assert!(contents(&mut client) == before, "everything is as it was");
        // Again, after a crash say: all is there already.
        let again = scene.restore(store.as_mut()).await.unwrap();
        assert_eq!(again.inserted, restored.inserted);
        assert!(again.conflicts.is_empty(), "{:?}", again.conflicts);
        assert!(contents(&mut client) == before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_key_that_went_with_its_last_entry_comes_back_with_its_expiry() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    client.run_all([command(&["SADD", "tenants:active", &id(1), &id(3)])]).unwrap();
    client.run_all([command(&["PEXPIRE", "tenants:active", "86400000"])]).unwrap();
    let before = contents(&mut client);
    let mut store = scene.store().await;
    find(store.as_mut(), &odd()).await.unwrap();
    scene.clear(store.as_mut(), 100).await.unwrap();
    assert!(contents(&mut client).is_empty());
    scene.restore(store.as_mut()).await.unwrap();
    assert_eq!(contents(&mut client), before);
}

/// A session that expires soon and one that stays are archived and removed; false if the first one was gone before.
async fn cleared_in_time(scene: &mut Scene, (soon, stays): (&str, &str), lives_ms: u64) -> bool {
    let mut client = scene.client();
    client.run(&["FLUSHALL"]).unwrap();
    scene.batches.clear();
    client.run(&["SET", stays, "stays"]).unwrap();
    client.run(&["SET", soon, "soon", "PX", &lives_ms.to_string()]).unwrap();
    let mut store = scene.store().await;
    find(store.as_mut(), &odd()).await.unwrap();
    let (archived, cleared) = scene.clear(store.as_mut(), 100).await.unwrap();
    assert_eq!(cleared.changed, 0);
    archived == 2
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_have_expired_stays_away_and_is_told() {
    let mut scene = Scene::new(&RedisOptions::default());
    let (soon, stays) = (format!("sess:{}:0", id(1)), format!("sess:{}:0", id(3)));
    let mut lives_ms = 1_000;
    // A machine may be too busy to archive it within a second.
    while !cleared_in_time(&mut scene, (&soon, &stays), lives_ms).await {
        lives_ms *= 4;
    }
    let mut client = scene.client();
    assert_eq!(client.run(&["BLPOP", "never", &(lives_ms / 1000 + 1).to_string()]).unwrap(), Reply::Nil);
    let mut store = scene.store().await;
    let restored = scene.restore(store.as_mut()).await.unwrap();
    assert_eq!((restored.inserted["keys"], restored.expired["keys"]), (1, 1));
    assert!(restored.conflicts.is_empty());
    assert_eq!(client.run(&["KEYS", "*"]).unwrap(), Reply::List(vec![Reply::Text(stays.into_bytes())]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_and_conflicts_are_listed() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    fill(&mut client);
    let mut store = scene.store().await;
    let found = find(store.as_mut(), &odd()).await.unwrap();
    scene.clear(store.as_mut(), 1000).await.unwrap();
    let key = |kind: &str| format!("tenant:{}:{kind}", id(1));
    client
        .run_all([
            command(&["SET", &key("text"), "new"]),
            command(&["SADD", &key("list"), "another type"]),
            // The same members in another order, and the same value with another expiry.
            command(&["SADD", &key("set"), "", "y", "x"]),
            command(&["SET", &key("number"), "-12345678901", "PX", "86400000"]),
            command(&["HSET", "tenants:names", &id(1), "Somebody else"]),
            command(&["ZADD", "tenants:scores", "99", &id(1)]),
            command(&["DEL", "tenants:active"]),
            command(&["SET", "tenants:active", "a string by now"]),
        ])
        .unwrap();
    let restored = scene.restore(store.as_mut()).await.unwrap();
    let mut listed: Vec<String> =
        restored.conflicts.iter().map(|c| format!("{} {}: {}", c.table, c.key, c.reason)).collect();
    listed.sort();
    let mut expected = vec![
        format!("keys {}: a key with this name and other content exists", key("list")),
        format!(
            "keys {}: a key with this name and content exists, but it expires at another time",
            key("number")
        ),
        format!("keys {}: a key with this name and other content exists", key("text")),
        format!("members tenants:names → {}: an entry with this name and another value exists", id(1)),
        format!("members tenants:scores → {}: an entry with this name and another value exists", id(1)),
    ];
    expected.extend(
        [1, 3, 5, 7, 9]
            .map(|n| format!("members tenants:active → {}: the key is of another type by now", id(n))),
    );
    expected.sort();
    assert_eq!(listed, expected);
    let there: u64 = restored.inserted.values().sum();
    assert_eq!(there + 10, found.entries());
    assert_eq!(client.run(&["GET", &key("text")]).unwrap().text(), "new");
    assert_eq!(client.run(&["GET", "tenants:active"]).unwrap().text(), "a string by now");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_cli_alone_restores_by_payload_and_by_commands() {
    for by in ["payload", "commands"] {
        let mut scene = Scene::new(&RedisOptions::default());
        let mut client = scene.client();
        fill(&mut client);
        if by == "commands" {
            // Neither streams nor three megabytes have commands beside them.
            (0..10).for_each(|n| {
                client
                    .run(&["DEL", &format!("tenant:{}:stream", id(n)), &format!("tenant:{}:huge", id(n))])
                    .unwrap();
            });
        }
        let before = contents(&mut client);
        let mut store = scene.store().await;
        find(store.as_mut(), &odd()).await.unwrap();
        scene.clear(store.as_mut(), 50).await.unwrap();
        let folder = scene.folder.path().join(scene::RUN);
        let mut files = Vec::new();
        for (batch, hash) in &scene.batches {
            files.extend(
                scene
                    .archive
                    .batch(scene::RUN, *batch, hash)
                    .unwrap()
                    .parts
                    .into_iter()
                    .map(|part| part.file),
            );
        }
        for (name, text) in store.restore_script(&files) {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let run = || {
            let mut script = Command::new("sh");
            script.args(["restore.sh", "-p", &scene.server.port().to_string()]);
            script.env("RESTORE_BY", by).current_dir(&folder).stdin(Stdio::null()).output().unwrap()
        };
        let output = run();
        assert!(output.status.success(), "{by}: {output:?}");
        assert!(contents(&mut client) == before, "{by}: {output:?}");
        // The second time, everything is in the way, and nothing is overwritten.
        let key = format!("tenant:{}:text", id(1));
        client.run(&["SET", &key, "new"]).unwrap();
        let output = run();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains(&key), "{by}: {output:?}");
        assert_eq!(client.run(&["GET", &key]).unwrap().text(), "new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_version_that_was_archived_counts() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    let key = format!("sess:{}:0", id(1));
    client.run(&["SET", &key, "first"]).unwrap();
    let mut store = scene.store().await;
    find(store.as_mut(), &odd()).await.unwrap();
    assert_eq!(scene.archive(store.as_mut(), 10).await.unwrap(), 1);
    client.run(&["SET", &key, "second"]).unwrap();
    let cleared = store.remove(&Silent).await.unwrap();
    assert_eq!((cleared.changed, cleared.removed.len()), (1, 0));
    assert_eq!(client.run(&["GET", &key]).unwrap().text(), "second");
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 1);
    let (archived, cleared) = scene.clear(store.as_mut(), 10).await.unwrap();
    assert_eq!((archived, cleared.changed), (1, 0));
    let restored = scene.restore(store.as_mut()).await.unwrap();
    assert_eq!((restored.inserted["keys"], restored.conflicts.len()), (1, 0));
    assert_eq!(client.run(&["GET", &key]).unwrap().text(), "second");
}
