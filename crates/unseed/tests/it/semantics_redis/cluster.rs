//! A cluster: every primary is searched, and each entry goes back to the node that serves it.

use super::scene::{self, Scene, find, id, nearly_all, open, settings};
use std::collections::BTreeMap;
use unseed_testkit::server::{RedisCluster, RedisOptions, Reply};

fn everything(cluster: &RedisCluster) -> BTreeMap<Vec<u8>, (Reply, i64)> {
    cluster.nodes().iter().flat_map(|node| scene::contents(&mut node.client().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_all_nodes_leave_and_come_back() {
    let cluster = RedisCluster::start_own().unwrap();
    let tenants = nearly_all(200);
    for number in 0..tenants.count {
        for kind in ["a", "{tag}:b"] {
            let key = format!("tenant:{}:{kind}", id(number));
            cluster.run(&["SET", &key, "value", "EX", "86400"]).unwrap();
        }
        cluster.run(&["HSET", "tenants:names", &id(number), "name"]).unwrap();
    }
    let before = everything(&cluster);
    assert_eq!(before.len(), 401);
    // The archive only; the server of the scene stays empty.
    let mut scene = Scene::new(&RedisOptions::default());
    let mut store = open(&cluster.url(), settings()).await.unwrap();
    let found = find(store.as_mut(), &tenants).await.unwrap();
    assert_eq!(found.entries(), 3 * 198);
    let (archived, cleared) = scene.clear(store.as_mut(), 100).await.unwrap();
    assert_eq!((archived, cleared.changed, cleared.gone), (found.entries(), 0, 0));
    assert_eq!(find(store.as_mut(), &tenants).await.unwrap().entries(), 0);
    assert_eq!(everything(&cluster).len(), 2 * 2 + 1);
    let restored = scene.restore(store.as_mut()).await.unwrap();
    assert_eq!((restored.inserted.values().sum::<u64>(), restored.conflicts.len()), (found.entries(), 0));
    assert!(everything(&cluster) == before);
    // A node that is gone takes its slots with it: that is no smaller cluster.
    cluster.nodes()[2].kill().unwrap();
    assert!(find(store.as_mut(), &tenants).await.is_err());
    assert!(open(&cluster.url(), settings()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_nobody_serves_are_a_partial_view() {
    let options =
        RedisOptions::default().line("cluster-enabled yes").line("cluster-require-full-coverage no");
    let scene = Scene::new(&options);
    scene.client().run(&["CLUSTER", "ADDSLOTSRANGE", "0", "100"]).unwrap();
    let fault = open(&scene.server.url(), settings()).await.err().unwrap();
    assert!(fault.message.contains("serves 101 of 16384 slots"), "{fault:?}");
    assert_eq!(fault.category.exit_code(), 3);
}
