//! Keys that applications keep in Redis for their tenants: ten each, of every type, half of them with an expiry.
//!
//! The same numbers give the same keys, ids and rows. Expiries count from when they are written.

use crate::server::{RedisClient, Reply, ServerError};
use std::fmt::Write as _;

/// Keys of each tenant.
pub const KEYS_PER_TENANT: u64 = 10;

/// All but every hundredth tenant is test data.
const STAYS_EVERY: u64 = 100;
/// Keys that are asked about at a time.
const ASKED: usize = 1_000;
/// Rows of one INSERT.
const ROWS: u64 = 1_000;

/// Whether a tenant is test data.
pub fn is_test(tenant: u64) -> bool {
    !tenant.is_multiple_of(STAYS_EVERY)
}

/// The id of a tenant: a UUID, spread as they are.
pub fn tenant_id(tenant: u64) -> String {
    let hash = blake3::hash(&tenant.to_le_bytes()).to_hex().to_string();
    format!("{}-{}-4{}-8{}-{}", &hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..32])
}

/// The subdomain of a tenant.
pub fn subdomain(tenant: u64) -> String {
    format!("t{tenant}")
}

/// A table `tenants` with a row for each of them.
pub fn tenants_sql(tenants: u64) -> String {
    let mut sql =
        "CREATE TABLE tenants (id TEXT PRIMARY KEY, name TEXT NOT NULL, subdomain TEXT NOT NULL UNIQUE, \
        is_test INTEGER NOT NULL);"
            .to_owned();
    for first in (0..tenants).step_by(usize::try_from(ROWS).unwrap_or(usize::MAX)) {
        let rows = (first..tenants.min(first + ROWS)).map(|n| {
            let (id, subdomain, is_test) = (tenant_id(n), subdomain(n), u8::from(is_test(n)));
            format!("('{id}', 'Tenant {n}', '{subdomain}', {is_test})")
        });
        let rows: Vec<String> = rows.collect();
        write!(sql, "\nINSERT INTO tenants VALUES {};", rows.join(", "))
            .expect("writing to a string cannot fail");
    }
    sql
}

/// Writes the keys of so many tenants.
///
/// # Errors
/// What the server refuses.
pub fn fill(client: &mut RedisClient, tenants: u64) -> Result<(), ServerError> {
    client.run_all((0..tenants).flat_map(of_tenant))
}

/// The commands that write the keys of one tenant; a command behind a key's own gives it an expiry.
fn of_tenant(tenant: u64) -> Vec<Vec<Vec<u8>>> {
    let (id, number) = (tenant_id(tenant), tenant.to_string());
    let (session, response) = ("x".repeat(180), "y".repeat(400));
    let command = |parts: &[&str]| parts.iter().map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>();
    let [minute, hour, jobs, tags, events, recent] =
        ["rl:minute", "rl:hour", "jobs", "tags", "events", "recent"]
            .map(|what| format!("tenant:{id}:{what}"));
    let mut scores = command(&["ZADD", &recent]);
    scores.extend((0..10).flat_map(|n| [format!("{n}.5").into_bytes(), format!("run{n}").into_bytes()]));
    vec![
        command(&["SET", &minute, &number, "EX", "86400"]),
        command(&["SET", &hour, &number, "PX", "90000123"]),
        command(&["SET", &format!("sess:{id}:0"), &session]),
        command(&["SET", &format!("sess:{id}:1"), &session, "EX", "604800"]),
        command(&["SET", &format!("cache:resp:{id}:/api/agents"), &response, "EX", "172800"]),
        command(&[
            "HSET",
            &format!("cache:branding:{}", subdomain(tenant)),
            "logo",
            "https://cdn/x.png",
            "color",
            "#123456",
            "tenant",
            &id,
        ]),
        command(&["RPUSH", &jobs, "build", &number, "deploy", "-17"]),
        command(&["EXPIRE", &jobs, "259200"]),
        command(&["SADD", &tags, "trial", "eu", &number]),
        command(&["XADD", &events, "1-1", "kind", "sign-up", "plan", "free"]),
        command(&["EXPIRE", &events, "345600"]),
        scores,
    ]
}

/// All keys with type, content and expiry: how many there are, and a hash over them in no order.
///
/// The server has to allow `DEBUG` (`enable-debug-command yes`); what it calls the digest of a value depends on nothing
/// but its content.
///
/// # Errors
/// What the server refuses.
pub fn picture(client: &mut RedisClient) -> Result<(usize, u128), ServerError> {
    let Reply::List(keys) = client.run(&["KEYS", "*"])? else { return Ok((0, 0)) };
    let keys: Vec<Vec<u8>> = keys
        .into_iter()
        .filter_map(|key| if let Reply::Text(key) = key { Some(key) } else { None })
        .collect();
    let mut sum = 0_u128;
    for some in keys.chunks(ASKED) {
        let mut commands = vec![vec![b"DEBUG".to_vec(), b"DIGEST-VALUE".to_vec()]];
        commands[0].extend(some.iter().cloned());
        for question in [b"TYPE".as_slice(), b"PEXPIRETIME"] {
            commands.extend(some.iter().map(|key| vec![question.to_vec(), key.clone()]));
        }
        let mut answers = client.ask_all(commands)?.into_iter();
        let digests = if let Some(Reply::List(digests)) = answers.next() { digests } else { Vec::new() };
        assert_eq!(digests.len(), some.len(), "one digest per key");
        let answers: Vec<Reply> = answers.collect();
        let (types, expiries) = answers.split_at(some.len());
        for (key, ((digest, kind), expiry)) in some.iter().zip(digests.iter().zip(types).zip(expiries)) {
            let line = format!("{key:?} {digest:?} {kind:?} {expiry:?}");
            let hash = blake3::hash(line.as_bytes());
            let (half, _) = hash.as_bytes().split_at(16);
            sum = sum.wrapping_add(u128::from_le_bytes(half.try_into().expect("a hash has 32 bytes")));
        }
    }
    Ok((keys.len(), sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Redis, RedisOptions};
    use std::collections::BTreeSet;

    #[test]
    fn every_type_is_there_and_the_picture_shows_contents_and_expiries() {
        let server = Redis::start_own(&RedisOptions::default().line("enable-debug-command yes")).unwrap();
        let mut client = server.client().unwrap();
        fill(&mut client, 20).unwrap();
        let Reply::List(keys) = client.run(&["KEYS", "*"]).unwrap() else { panic!("keys") };
        let (mut kinds, mut expiring) = (BTreeSet::new(), 0);
        for key in &keys {
            kinds.insert(client.run(&["TYPE", &key.text()]).unwrap().text());
            expiring += u64::from(client.run(&["PEXPIRETIME", &key.text()]).unwrap() != Reply::Int(-1));
        }
        assert_eq!(kinds, ["hash", "list", "set", "stream", "string", "zset"].map(str::to_owned).into());
        assert_eq!(expiring, 6 * 20);
        let before = picture(&mut client).unwrap();
        assert_eq!(before.0, 200);
        let key = format!("tenant:{}:tags", tenant_id(3));
        for (change, back) in [
            (vec!["SREM", &key, "eu"], vec!["SADD", &key, "eu"]),
            (vec!["EXPIRE", &key, "1000"], vec!["PERSIST", &key]),
        ] {
            client.run(&change).unwrap();
            assert_ne!(picture(&mut client).unwrap(), before, "{change:?}");
            client.run(&back).unwrap();
            assert_eq!(picture(&mut client).unwrap(), before, "{back:?}");
        }
    }

    #[test]
    fn rows_and_keys_are_of_the_same_tenants() {
        let sql = tenants_sql(1_101);
        assert_eq!(sql.matches("'Tenant ").count(), 1_101);
        assert!(sql.contains(&format!("('{}', 'Tenant 1100', 't1100', 0)", tenant_id(1_100))));
        assert!(sql.contains(&format!("('{}', 'Tenant 7', 't7', 1)", tenant_id(7))));
    }
}
