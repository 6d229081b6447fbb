//! What the server is, which nodes hold keys, and whether this user may do what is needed.
//!
//! Invariants
//! - a replica, a loading server, a cluster with slots that nobody serves: each is a fault, never a small store.

use super::compare;
use super::connect::{Node, Target};
use super::faults::{self, UNTOUCHED};
use redis::{InfoDict, ServerError, Value};
use unseed_core::fault::Fault;
use unseed_core::port::store::Server;

const SLOTS: u32 = 16_384;
/// Since when `RESTORE … ABSTTL` is there.
const MAJOR_MIN: u64 = 5;

/// What is known about the servers.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) server: Server,
    /// `PEXPIRETIME` is there: expiries can be compared exactly.
    pub(super) tells_expiry: bool,
    /// `MEMORY USAGE` may be asked.
    pub(super) tells_size: bool,
    /// Scripts may be run.
    pub(super) runs_scripts: bool,
    /// Keys may be watched, and transactions opened.
    pub(super) watches: bool,
    pub(super) is_cluster: bool,
}

/// By what a pass is recognised as being over one and the same data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity(Vec<String>);

/// Connects to every node that holds keys.
pub(super) async fn inspect(target: &Target) -> Result<(Vec<Node>, Facts), Fault> {
    let mut first = target.connect().await?;
    let info = info(&mut first).await?;
    let text = |name: &str| info.get::<String>(name).unwrap_or_default();
    let is_cluster = text("redis_mode") == "cluster" || text("server_mode") == "cluster";
    refuse_old(target, &text("redis_version"))?;
    let kind = if text("server_name") == "valkey" { "valkey" } else { "redis" };
    let version = match text("valkey_version") {
        version if version.is_empty() => text("redis_version"),
        version => version,
    };
    let nodes = if is_cluster { cluster(target, &mut first).await? } else { vec![first] };
    let mut facts = Facts {
        server: Server {
            kind: "redis".to_owned(),
            version: if kind == "redis" { version } else { format!("{kind} {version}") },
            location: target.location.clone(),
            may_skip_checks: false,
            read_only: false,
        },
        tells_expiry: true,
        tells_size: true,
        runs_scripts: true,
        watches: true,
        is_cluster,
    };
    let mut nodes = nodes;
    for node in &mut nodes {
        primary(node).await?;
        probe(node, &mut facts).await?;
    }
    Ok((nodes, facts))
}

async fn info(node: &mut Node) -> Result<InfoDict, Fault> {
    match node.one("INFO", &[], UNTOUCHED).await? {
        Value::ServerError(error) => Err(faults::reply(&node.location, &error, UNTOUCHED)),
        Value::BulkString(bytes) => Ok(InfoDict::new(&String::from_utf8_lossy(&bytes))),
        Value::VerbatimString { text, .. } => Ok(InfoDict::new(&text)),
        _ => Ok(InfoDict::new("")),
    }
}

fn refuse_old(target: &Target, version: &str) -> Result<(), Fault> {
    let major = version.split('.').next().and_then(|text| text.parse::<u64>().ok());
    if major.is_some_and(|major| major < MAJOR_MIN) {
        return Err(Fault::usage(format!("`{}` runs version {version}, which is too old", target.location))
            .hint(format!("use Redis {MAJOR_MIN} or later, or Valkey")));
    }
    Ok(())
}

/// Only a primary that has its data can be asked for all of them.
async fn primary(node: &mut Node) -> Result<(), Fault> {
    let info = info(node).await?;
    if info.get::<String>("loading").as_deref() == Some("1") {
        let fault = Fault::store(format!("`{}` is still loading its data", node.location));
        return Err(fault.hint("wait until it has loaded, then run the same command again"));
    }
    if info.get::<String>("role").as_deref() == Some("slave") {
        let host = info.get::<String>("master_host").unwrap_or_default();
        let port = info.get::<String>("master_port").unwrap_or_default();
        let fault = Fault::store(format!("`{}` is a read-only replica", node.location));
        return Err(fault.hint(format!("connect to its primary, {host}:{port}")));
    }
    Ok(())
}

/// Asks for what will be needed, in ways that change nothing.
async fn probe(node: &mut Node, facts: &mut Facts) -> Result<(), Fault> {
    // No application has such a key; whoever may not touch it may be meant to touch others.
    const PROBE: &str = "unseed:probe:7f3a9c";
    let needed: [(&str, &[&str]); 4] =
        [("SCAN", &["0", "COUNT", "1"]), ("TIME", &[]), ("DUMP", &[PROBE]), ("UNLINK", &[PROBE])];
    for (command, arguments) in needed {
        if let Value::ServerError(error) = node.one(command, arguments, UNTOUCHED).await?
            && !is_about_keys(&error)
        {
            return Err(faults::reply(&node.location, &error, UNTOUCHED));
        }
    }
    let may = |answer: &Value| match answer {
        Value::ServerError(error) => is_about_keys(error),
        _ => true,
    };
    facts.tells_expiry &= may(&node.one("PEXPIRETIME", &[PROBE], UNTOUCHED).await?);
    facts.tells_size &= may(&node.one("MEMORY", &["USAGE", PROBE], UNTOUCHED).await?);
    let script = node.one("EVAL", &["return 1", "0"], UNTOUCHED).await?;
    facts.runs_scripts &= may(&script) && may(&node.one("SCRIPT", &["LOAD", "return 1"], UNTOUCHED).await?);
    facts.watches &= compare::may_watch(node).await?;
    if !facts.runs_scripts && !facts.watches {
        let message = format!("the user of `{}` may neither run scripts nor watch keys", node.location);
        let fault =
            Fault::refused(format!("{message}, so it cannot be told what changed since it was archived"));
        return Err(fault.hint("grant `+evalsha +eval +script|load`, or `+@transaction`"));
    }
    Ok(())
}

/// Whether a refusal is about the probe's key, which may belong to another node, and not about the command.
fn is_about_keys(error: &ServerError) -> bool {
    let is_elsewhere = matches!(error.code(), "MOVED" | "ASK");
    is_elsewhere
        || error.details().is_some_and(|text| text.contains("to access") || text.contains("one of the keys"))
}

/// The primaries of a cluster; together they must serve every slot.
async fn cluster(target: &Target, first: &mut Node) -> Result<Vec<Node>, Fault> {
    let shards = slots(first, &target.host()).await?;
    let served: u32 =
        shards.iter().flat_map(|(_, slots)| slots).map(|(from, to)| u32::from(to - from) + 1).sum();
    if served != SLOTS {
        let message = format!(
            "`{}` serves {served} of {SLOTS} slots, so part of the keys cannot be seen",
            target.location
        );
        return Err(Fault::refused(message).hint("run `CLUSTER INFO`, mend the cluster, then try again"));
    }
    let mut nodes = Vec::new();
    for ((host, port), slots) in shards {
        let mut node = target.at(&host, port).connect().await?;
        node.slots = slots;
        nodes.push(node);
    }
    Ok(nodes)
}

type Shard = ((String, u16), Vec<(u16, u16)>);

/// Primaries with their slots, as `CLUSTER SLOTS` tells them.
async fn slots(node: &mut Node, own_host: &str) -> Result<Vec<Shard>, Fault> {
    let answer = match node.one("CLUSTER", &["SLOTS"], UNTOUCHED).await? {
        Value::ServerError(error) => return Err(faults::reply(&node.location, &error, UNTOUCHED)),
        answer => answer,
    };
    let mut shards: Vec<Shard> = Vec::new();
    for range in answer.as_sequence().unwrap_or_default() {
        let Some([Value::Int(from), Value::Int(to), primary, ..]) = range.as_sequence() else { continue };
        let Some([host, Value::Int(port), ..]) = primary.as_sequence() else { continue };
        let host = match host {
            Value::BulkString(bytes) if !bytes.is_empty() && bytes != b"?" => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            _ => own_host.to_owned(),
        };
        let number = |number: i64| u16::try_from(number).unwrap_or(u16::MAX);
        let (place, slots) = ((host, number(*port)), (number(*from), number(*to)));
        match shards.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => known.push(slots),
            None => shards.push((place, vec![slots])),
        }
    }
    shards.sort();
    Ok(shards)
}

/// Role and lineage of every node, and who serves which slots.
pub(super) async fn identity(target: &Target, nodes: &mut [Node], facts: &Facts) -> Result<Identity, Fault> {
    let mut parts = Vec::new();
    for node in nodes.iter_mut() {
        primary(node).await?;
        let info = info(node).await?;
        let of = |name: &str| info.get::<String>(name).unwrap_or_default();
        parts.push(format!("{} {} {}", of("run_id"), of("role"), of("master_replid")));
    }
    if facts.is_cluster
        && let Some(first) = nodes.first_mut()
    {
        parts.push(format!("{:?}", slots(first, &target.host()).await?));
    }
    Ok(Identity(parts))
}
