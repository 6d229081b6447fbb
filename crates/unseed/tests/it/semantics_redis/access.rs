//! How a server is reached, what it may refuse, and that nothing which cannot be seen counts as clean.

use super::scene::{Scene, command, find, id, odd, open, settings};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use unseed_core::fault::Fault;
use unseed_core::pattern::{MemberSpec, PatternSpec};
use unseed_core::port::progress::Silent;
use unseed_io::store::{self, RedisSettings};
use unseed_testkit::server::{Redis, RedisClient, RedisOptions, Reply};

fn key(number: u64) -> String {
    format!("tenant:{}:x", id(number))
}

#[track_caller]
fn assert_fault(fault: &Fault, exit: u8, message: &str, hint: &str) {
    assert!(fault.message.contains(message), "{fault:?}");
    assert!(fault.hint.contains(hint), "{fault:?}");
    assert_eq!(fault.category.exit_code(), exit, "{fault:?}");
    assert!(!fault.state.is_empty() && !format!("{fault:?}").contains("s3cret"), "{fault:?}");
}

async fn opened(url: &str) -> Result<Box<dyn unseed_core::port::derived::DerivedStore>, Fault> {
    open(url, settings()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_sockets_users_and_databases_are_reached() {
    let secure = Redis::start_own(&RedisOptions::default().tls()).unwrap();
    secure.client().unwrap().run(&["SET", &key(1), "x"]).unwrap();
    let mut store = opened(&secure.url()).await.unwrap();
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 1);
    let unknown = secure.url();
    let (unknown, _) = unknown.split_once('?').unwrap();
    let fault = opened(unknown).await.err().unwrap();
    assert_fault(&fault, 4, "does not answer", "cacert");
    let plain = Redis::start_own(&RedisOptions::default().line("user ann on >s3cret ~* +@all")).unwrap();
    let mut client = plain.client().unwrap();
    client.run(&["SET", &key(1), "x"]).unwrap();
    client.run(&["SELECT", "3"]).unwrap();
    client.run(&["SET", &key(3), "x"]).unwrap();
    client.run(&["SET", &key(5), "x"]).unwrap();
    let third = plain.url().replace("/0", "/3").replace("redis://", "valkey://");
    for (url, entries) in [(plain.socket_url(), 1), (plain.url_as("ann", "s3cret"), 1), (third, 2)] {
        let mut store = opened(&url).await.unwrap();
        assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), entries, "{url}");
    }
    let lookup = |name: &str| (name == "REDISCLI_AUTH").then(|| "s3cret".to_owned());
    let mut store = store::redis(&plain.url().replace("//", "//ann@"), settings(), &lookup).unwrap();
    assert_eq!(store.inspect().await.unwrap().kind, "redis");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_is_told_how() {
    let server = Redis::start_own(&RedisOptions::default().line("user default on >s3cret ~* +@all")).unwrap();
    let fault = opened(&server.url()).await.err().unwrap();
    assert_fault(&fault, 4, "did not let us in", "redis://USER:PASSWORD@HOST");
    let fault = opened(&server.url_as("default", "s3cretish")).await.err().unwrap();
    assert_fault(&fault, 4, "did not let us in", "redis://USER:PASSWORD@HOST");
    let nobody = Redis::start_own(&RedisOptions::default()).unwrap();
    let url = nobody.url();
    drop(nobody);
    assert_fault(&opened(&url).await.err().unwrap(), 4, "does not answer", "check host, port");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_before_anything_is_removed() {
    let lines =
        ["user a on >a ~* +@all -dump", "user b on >b ~* +@all -scan", "user c on >c ~* +@all -unlink"];
    let options = lines.iter().fold(RedisOptions::default(), |options, line| options.line(line));
    let options = options
        .line("user d on >d ~* +@all -@scripting -@transaction")
        .line("user e on >e ~sess:* +@all")
        .line("user f on >f ~* +@read +info +time +unlink +@scripting +script|load -memory -pexpiretime");
    let mut scene = Scene::new(&options);
    scene.client().run(&["SET", &key(1), "x"]).unwrap();
    for (user, word) in [("a", "dump"), ("b", "scan"), ("c", "unlink")] {
        let fault = opened(&scene.server.url_as(user, user)).await.err().unwrap();
        assert_fault(&fault, 3, &format!("'{word}'"), "ACL SETUSER");
    }
    let fault = opened(&scene.server.url_as("d", "d")).await.err().unwrap();
    assert_fault(&fault, 3, "neither run scripts nor watch keys", "+@transaction");
    // Of keys that it may not touch, it learns when the first is archived: nothing is removed, and none is left out.
    let mut store = opened(&scene.server.url_as("e", "e")).await.unwrap();
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 1);
    let fault = scene.archive(store.as_mut(), 10).await.unwrap_err();
    assert_fault(&fault, 3, "may not do what is needed", "ACL SETUSER");
    // What is only needed for comfort may be missing.
    let mut store = opened(&scene.server.url_as("f", "f")).await.unwrap();
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 1);
    scene.batches.clear();
    let (archived, cleared) = scene.clear(store.as_mut(), 10).await.unwrap();
    assert_eq!((archived, cleared.changed), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_refused_and_its_primary_is_named() {
    let primary = Redis::start_own(&RedisOptions::default()).unwrap();
    let line = format!("replicaof 127.0.0.1 {}", primary.port());
    let replica = Redis::start_own(&RedisOptions::default().line(&line)).unwrap();
    let fault = opened(&replica.url()).await.err().unwrap();
    assert_fault(&fault, 4, "is a read-only replica", &format!("127.0.0.1:{}", primary.port()));
    // A primary that becomes a replica between two steps is no smaller store.
    let mut store = opened(&primary.url()).await.unwrap();
    let other = Redis::start_own(&RedisOptions::default()).unwrap();
    primary.client().unwrap().run(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).unwrap();
    let fault = find(store.as_mut(), &odd()).await.unwrap_err();
    assert!(
        ["is a read-only replica", "is still loading"].iter().any(|t| fault.message.contains(t)),
        "{fault:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_so_and_a_restore_can_be_repeated() {
    let mut scene = Scene::new(&RedisOptions::default().line("maxmemory-policy noeviction"));
    let mut client = scene.client();
    let value = "v".repeat(200);
    let keys = (0..4000).map(|k| command(&["SET", &format!("sess:{}:{k}", id(1)), &value]));
    client.run_all(keys).unwrap();
    let mut store = scene.store().await;
    let found = find(store.as_mut(), &odd()).await.unwrap();
    scene.clear(store.as_mut(), 100_000).await.unwrap();
    client.run(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let fault = scene.restore(store.as_mut()).await.unwrap_err();
    assert_fault(&fault, 4, "is full", "maxmemory");
    assert!(fault.state.contains("nothing was overwritten"), "{fault:?}");
    client.run(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    let restored = scene.restore(store.as_mut()).await.unwrap();
    assert_eq!((restored.inserted["keys"], restored.conflicts.len()), (found.entries(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_save_says_so() {
    let mut scene = Scene::new(&RedisOptions::default().line("save 3600 1"));
    let mut client = scene.client();
    client.run(&["SET", &key(1), "x"]).unwrap();
    let mut store = scene.store().await;
    find(store.as_mut(), &odd()).await.unwrap();
    scene.archive(store.as_mut(), 10).await.unwrap();
    // A file cannot take the place of a folder, not even for root.
    std::fs::create_dir(scene.server.folder().join("dump.rdb")).unwrap();
    client.run(&["BGSAVE"]).unwrap();
    let status = |client: &mut unseed_testkit::server::RedisClient| {
        client.run(&["INFO", "persistence"]).unwrap().text()
    };
    while status(&mut client).contains("rdb_bgsave_in_progress:1") {
        std::thread::yield_now();
    }
    assert!(status(&mut client).contains("rdb_last_bgsave_status:err"), "{}", status(&mut client));
    let fault = store.remove(&Silent).await.unwrap_err();
    assert_fault(&fault, 4, "cannot save its data", "mend its disk");
    assert_eq!(client.run(&["GET", &key(1)]).unwrap().text(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_have_no_entries_of_their_own_are_refused() {
    let server = Redis::start_own(&RedisOptions::default()).unwrap();
    let mut client = server.client().unwrap();
    client.run(&["RPUSH", "queue", &id(1)]).unwrap();
    let member = MemberSpec { key: "queue".to_owned(), member: "{tenant.id}".to_owned() };
    let settings = RedisSettings { keys: vec![PatternSpec::Member(member)], ..RedisSettings::default() };
    let mut store = open(&server.url(), settings).await.unwrap();
    let fault = find(store.as_mut(), &odd()).await.unwrap_err();
    assert_fault(&fault, 3, "the key `queue` is a list", "hashes, sets and sorted sets");
    assert_eq!(client.run(&["LLEN", "queue"]).unwrap(), Reply::Int(1));
}

/// A port behind which the first connection leads to one server, and all others to another one.
async fn divided(first: u16, others: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut to = first;
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            to = others;
            tokio::spawn(async move { drop(copy_bidirectional(&mut near, &mut far).await) });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_that_leads_to_another_server_is_not_used() {
    let mut scene = Scene::new(&RedisOptions::default());
    let other = Redis::start_own(&RedisOptions::default()).unwrap();
    let (mut here, mut there) = (scene.client(), other.client().unwrap());
    for (client, numbers) in [(&mut here, [1, 3].as_slice()), (&mut there, &[3, 5, 7])] {
        for number in numbers {
            client.run(&["SET", &key(*number), "x"]).unwrap();
        }
    }
    let port = divided(scene.server.port(), other.port()).await;
    let mut store = opened(&format!("redis://127.0.0.1:{port}/0")).await.unwrap();
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 2);
    let (archived, cleared) = scene.clear(store.as_mut(), 10).await.unwrap();
    assert_eq!((archived, cleared.changed, cleared.gone), (2, 0, 0));
    assert_eq!(here.run(&["DBSIZE"]).unwrap(), Reply::Int(0));
    assert_eq!(there.run(&["DBSIZE"]).unwrap(), Reply::Int(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_second_connection_is_searched_all_the_same() {
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    client.run_all((0..3_000).map(|n| command(&["SET", &format!("{}:{n}", key(1)), "x"]))).unwrap();
    let mut store = scene.store().await;
    let connected = |client: &mut RedisClient| {
        let text = client.run(&["INFO", "stats"]).unwrap().text();
        let count = text.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
        count.parse::<u64>().unwrap()
    };
    let before = connected(&mut client);
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 3_000);
    assert_eq!(connected(&mut client), before + 1, "keys are asked for on a connection of our own");
    client.run(&["CONFIG", "SET", "maxclients", "1"]).unwrap();
    assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 3_000);
    let (archived, cleared) = scene.clear(store.as_mut(), 2_000).await.unwrap();
    assert_eq!((archived, cleared.changed, cleared.gone), (3_000, 0, 0));
    assert_eq!(client.run(&["DBSIZE"]).unwrap(), Reply::Int(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_say_where_the_primary_is() {
    let primary = Redis::start_own(&RedisOptions::default().line("user ann on >s3cret ~* +@all")).unwrap();
    primary.client().unwrap().run(&["SET", &key(1), "x"]).unwrap();
    let open_to_all = Redis::start_own(&RedisOptions::default().sentinel("shop", &primary)).unwrap();
    let asks = RedisOptions::default().line("user default off").line("user ann on >s3cret +@all");
    let asks_who = Redis::start_own(&asks.sentinel("shop", &primary)).unwrap();
    let gone = Redis::start_own(&RedisOptions::default()).unwrap().port();
    let address = |ports: &[u16], name: &str| {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://ann:s3cret@{}/{name}", hosts.join(","))
    };
    for ports in [&[open_to_all.port()][..], &[gone, open_to_all.port()], &[asks_who.port()]] {
        let mut store = opened(&address(ports, "shop")).await.unwrap();
        assert_eq!(find(store.as_mut(), &odd()).await.unwrap().entries(), 1, "{ports:?}");
    }
    let fault = opened(&address(&[gone, open_to_all.port()], "other")).await.err().unwrap();
    assert_fault(&fault, 4, "no Sentinel says where the primary `other` is", "SENTINEL MASTERS");
    assert!(fault.details[0].contains("does not answer"), "{fault:?}");
    assert!(fault.details[1].contains("watches no primary called `other`"), "{fault:?}");
    let fault = opened("redis+sentinel://ann:s3cret@localhost").await.err().unwrap();
    assert_fault(&fault, 2, "under which name the Sentinels watch", "redis+sentinel://USER@HOST");
}
