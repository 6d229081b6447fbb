//! A server with tenants' keys, an archive in a folder, and the calls in the order in which a purge makes them.

use std::collections::BTreeMap;
use tempfile::TempDir;
use unseed_core::fault::Fault;
use unseed_core::pattern::{MemberSpec, PatternSpec};
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::derived::{Cleared, DerivedStore, Found, Need, Subjects, VisitSubject};
use unseed_core::port::progress::Silent;
use unseed_core::port::store::Restored;
use unseed_io::archive::{FolderArchive, extension};
use unseed_io::store::{self, RedisSettings};
use unseed_testkit::server::{Redis, RedisClient, RedisOptions, Reply};
use unseed_testkit::workloads::keys;
pub(super) use unseed_testkit::workloads::keys::tenant_id as id;

/// Tenants `t0`, `t1`, …: those whose number the rule picks are doomed.
pub(super) struct Tenants {
    pub(super) count: u64,
    pub(super) is_doomed: fn(u64) -> bool,
    pub(super) rest_is_known: bool,
}

/// All but every hundredth.
pub(super) fn nearly_all(count: u64) -> Tenants {
    Tenants { count, is_doomed: keys::is_test, rest_is_known: true }
}

/// Of a few tenants, those with odd numbers.
pub(super) fn odd() -> Tenants {
    Tenants { count: 10, is_doomed: |n| n % 2 == 1, rest_is_known: true }
}

impl Tenants {
    fn visit(&self, need: &Need, number: u64, visit: &mut VisitSubject<'_>) -> Result<(), Fault> {
        let values = need.columns.iter().map(|column| match column.as_str() {
            "id" => Some(id(number)),
            "subdomain" => Some(keys::subdomain(number)),
            _ => None,
        });
        let values: Vec<Option<String>> = values.collect();
        visit(&values.iter().map(Option::as_deref).collect::<Vec<_>>())
    }
}

impl Subjects for Tenants {
    fn doomed(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<(), Fault> {
        (0..self.count).filter(|n| (self.is_doomed)(*n)).try_for_each(|n| self.visit(need, n, visit))
    }

    fn known(&self, need: &Need, visit: &mut VisitSubject<'_>) -> Result<bool, Fault> {
        if self.rest_is_known {
            (0..self.count).try_for_each(|n| self.visit(need, n, visit))?;
        }
        Ok(self.rest_is_known)
    }
}

/// What applications keep for tenants.
pub(super) fn patterns() -> Vec<PatternSpec> {
    let mut patterns: Vec<PatternSpec> = [
        "tenant:{tenant.id}:*",
        "sess:{tenant.id}:*",
        "cache:branding:{tenant.subdomain}",
        "cache:resp:{tenant.id}:*",
    ]
    .map(|key| PatternSpec::Key(key.to_owned()))
    .into();
    patterns.extend(["tenants:active", "tenants:names", "tenants:scores"].map(|key| {
        PatternSpec::Member(MemberSpec { key: key.to_owned(), member: "{tenant.id}".to_owned() })
    }));
    patterns
}

pub(super) fn settings() -> RedisSettings {
    RedisSettings { keys: patterns(), orphans: true, ..RedisSettings::default() }
}

/// A server, an archive, and what was archived so far.
pub(super) struct Scene {
    pub(super) server: Redis,
    pub(super) archive: FolderArchive,
    pub(super) folder: TempDir,
    pub(super) batches: Vec<(u64, String)>,
}

pub(super) const RUN: &str = "r-1";

impl Scene {
    pub(super) fn new(options: &RedisOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = FolderArchive::new(folder.path(), extension("redis"));
        archive.prepare(RUN).unwrap();
        Self { server: Redis::start_own(options).unwrap(), archive, folder, batches: Vec::new() }
    }

    pub(super) fn client(&self) -> RedisClient {
        self.server.client().unwrap()
    }

    /// The store behind the default user.
    pub(super) async fn store(&self) -> Box<dyn DerivedStore> {
        open(&self.server.url(), settings()).await.unwrap()
    }

    /// Archives at most so many entries, durably.
    pub(super) async fn archive(
        &mut self,
        store: &mut dyn DerivedStore,
        entries_max: u64,
    ) -> Result<u64, Fault> {
        let number = u64::try_from(self.batches.len()).unwrap();
        let mut batch = self.archive.begin_batch(RUN, number)?;
        let written = store.archive(entries_max, batch.sink(), &Silent).await?;
        let (_, hash) = batch.finish()?;
        self.batches.push((number, hash));
        Ok(written)
    }

    /// Archives and removes until nothing is left; returns how many were archived, and what became of them.
    pub(super) async fn clear(
        &mut self,
        store: &mut dyn DerivedStore,
        entries_max: u64,
    ) -> Result<(u64, Cleared), Fault> {
        let (mut archived, mut all) = (0, Cleared::default());
        loop {
            let written = self.archive(store, entries_max).await?;
            let cleared = store.remove(&Silent).await?;
            archived += written;
            all.changed += cleared.changed;
            all.gone += cleared.gone;
            for (pattern, count) in cleared.removed {
                *all.removed.entry(pattern).or_default() += count;
            }
            if written == 0 {
                return Ok((archived, all));
            }
        }
    }

    pub(super) async fn restore(&mut self, store: &mut dyn DerivedStore) -> Result<Restored, Fault> {
        let mut source = self.archive.open(RUN, &self.batches)?;
        store.restore(source.as_mut(), &Silent).await
    }
}

/// Opens and inspects a store.
pub(super) async fn open(url: &str, settings: RedisSettings) -> Result<Box<dyn DerivedStore>, Fault> {
    let mut store = store::redis(url, settings, &|_| None)?;
    store.inspect().await?;
    Ok(store)
}

pub(super) async fn find(store: &mut dyn DerivedStore, tenants: &Tenants) -> Result<Found, Fault> {
    store.find(tenants, &Silent).await
}

/// Payload, type and expiry of every key.
pub(super) fn contents(client: &mut RedisClient) -> BTreeMap<Vec<u8>, (Reply, i64)> {
    let Reply::List(keys) = client.run(&["KEYS", "*"]).unwrap() else { panic!("keys") };
    let mut contents = BTreeMap::new();
    for key in keys {
        let Reply::Text(key) = key else { panic!("a key") };
        let Reply::Int(expires) = client.run_bytes(&[b"PEXPIRETIME", &key]).unwrap() else {
            panic!("a time")
        };
        contents.insert(key.clone(), (value(client, &key), expires));
    }
    contents
}

/// The content of a key, whatever its type; of what has no order of its own, sorted.
pub(super) fn value(client: &mut RedisClient, key: &[u8]) -> Reply {
    let kind = client.run_bytes(&[b"TYPE", key]).unwrap().text();
    let answer = match kind.as_str() {
        "string" => client.run_bytes(&[b"GET", key]),
        "list" => client.run_bytes(&[b"LRANGE", key, b"0", b"-1"]),
        "set" => client.run_bytes(&[b"SMEMBERS", key]),
        "zset" => client.run_bytes(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
        "hash" => client.run_bytes(&[b"HGETALL", key]),
        "stream" => client.run_bytes(&[b"DUMP", key]),
        other => panic!("a {other}"),
    };
    let answer = answer.unwrap();
    let mut parts = if let Reply::List(parts) = answer { parts } else { vec![answer] };
    let text = |reply: &Reply| {
        let Reply::Text(bytes) = reply else { panic!("{reply:?}") };
        bytes.clone()
    };
    match kind.as_str() {
        "set" => parts.sort_by_key(text),
        "hash" => {
            let mut pairs: Vec<[Reply; 2]> =
                parts.chunks(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect();
            pairs.sort_by_key(|pair| text(&pair[0]));
            parts = pairs.concat();
        }
        _ => {}
    }
    parts.insert(0, Reply::Text(kind.into_bytes()));
    Reply::List(parts)
}

/// A command of texts.
pub(super) fn command(parts: &[&str]) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.as_bytes().to_vec()).collect()
}
