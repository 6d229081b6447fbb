//! Many keys of every type, of which nearly all belong to test tenants: found, archived, removed, verified, restored.
//!
//! A million of them are measured by `cargo xtask bench --store redis`.

use super::scene::{Scene, contents, find, nearly_all};
use unseed_testkit::server::{RedisOptions, Reply};
use unseed_testkit::workloads::keys::{self, KEYS_PER_TENANT};

const TENANTS: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_nearly_all_tenants_leave_and_come_back() {
    let tenants = nearly_all(TENANTS);
    let (all, doomed) = (TENANTS * KEYS_PER_TENANT, TENANTS / 100 * 99 * KEYS_PER_TENANT);
    let mut scene = Scene::new(&RedisOptions::default());
    let mut client = scene.client();
    keys::fill(&mut client, TENANTS).unwrap();
    let before = contents(&mut client);
    let mut store = scene.store().await;
    let found = find(store.as_mut(), &tenants).await.unwrap();
    assert_eq!((found.entries(), found.ambiguous, found.seen >= all), (doomed, 0, true));
    let (archived, cleared) = scene.clear(store.as_mut(), 1_000_000).await.unwrap();
    assert_eq!((archived, cleared.removed.values().sum::<u64>()), (doomed, doomed));
    assert_eq!((cleared.changed, cleared.gone), (0, 0));
    assert_eq!(find(store.as_mut(), &tenants).await.unwrap().entries(), 0);
    assert_eq!(client.run(&["DBSIZE"]).unwrap(), Reply::Int(i64::try_from(all - doomed).unwrap()));
    let restored = scene.restore(store.as_mut()).await.unwrap();
    assert_eq!((restored.inserted["keys"], restored.conflicts.len(), restored.expired.len()), (doomed, 0, 0));
    assert!(contents(&mut client) == before, "everything is as it was");
}
