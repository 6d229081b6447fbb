//! Where the primary is that Sentinels watch.
//!
//! Invariants
//! - Sentinels are asked in the order of the address, each time a connection is made: another server may be primary by then;
//! - they only say where to go; whether that server is a primary it says itself (`inspect`).

use super::connect::Target;
use super::faults::{self, UNTOUCHED};
use redis::{RedisConnectionInfo, Value};
use unseed_core::fault::Fault;

/// The port of a Sentinel whose address names none.
const PORT: u16 = 26379;

/// Sentinels, and the name under which they watch a primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentinels {
    hosts: Vec<(String, u16)>,
    name: String,
}

/// Takes `redis+sentinel://USER@HOST,HOST:PORT/NAME/DATABASE` apart: the address that a server at the first Sentinel would
/// have, and whom to ask; `None` for an address that names no Sentinels.
///
/// # Errors
/// What is missing in it.
pub(super) fn take(url: &str) -> Result<Option<(String, Sentinels)>, &'static str> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(None) };
    let Some(scheme) = scheme.strip_suffix("+sentinel") else { return Ok(None) };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let (user, hosts) =
        authority.rsplit_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
    let (name, database) = path.split_once('/').unwrap_or((path, "0"));
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
    if name.is_empty() {
        return Err("it does not say under which name the Sentinels watch the primary");
    }
    let hosts = hosts.split(',').map(host).collect::<Option<Vec<_>>>();
    let hosts =
        hosts.ok_or("a Sentinel is written HOST or HOST:PORT, and several with commas between them")?;
    let (first, port) = hosts.first().expect("what is split has a part");
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let first = if first.contains(':') { format!("[{first}]") } else { first.clone() };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let plain = format!("{scheme}://{user}{first}:{port}/{database}{query}");
    Ok(Some((plain, Sentinels { hosts, name })))
}

/// A host and its port; addresses with colons of their own stand in brackets.
fn host(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(PORT), |port| port.parse().ok())?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

impl Sentinels {
    /// The server that is primary now, reached as `target` says.
    pub(super) async fn primary(&self, target: &Target) -> Result<Target, Fault> {
        let mut details = Vec::new();
        for (host, port) in &self.hosts {
            match self.ask(&target.at(host, *port)).await {
                Ok(Some((host, port))) => return Ok(target.at(&host, port)),
                Ok(None) => {
                    details.push(format!("`{host}:{port}` watches no primary called `{}`", self.name));
                }
                Err(fault) => details.push(fault.message),
            }
        }
        let mut fault = Fault::store(format!("no Sentinel says where the primary `{}` is", self.name))
            .state(UNTOUCHED)
            .hint("check the Sentinels' hosts and ports, and the name: `redis-cli -p 26379 SENTINEL MASTERS` lists them");
        fault.details = details;
        Err(fault)
    }

    /// Asks one of them: as nobody, and if it wants to know who asks, as the user of the address.
    async fn ask(&self, sentinel: &Target) -> Result<Option<(String, u16)>, Fault> {
        let settings = sentinel.info.redis_settings().clone().set_db(0);
        let mut refusal = None;
        for settings in [RedisConnectionInfo::default(), settings] {
            let mut asked = sentinel.clone();
            asked.info = asked.info.set_redis_settings(settings);
            let mut node = asked.connect_there().await?;
            match node.one("SENTINEL", &["GET-MASTER-ADDR-BY-NAME", &self.name], UNTOUCHED).await? {
                Value::ServerError(error) => {
                    refusal = Some(faults::reply(&asked.location, &error, UNTOUCHED));
                }
                answer => {
                    let found = redis::from_redis_value(answer);
                    return found.map_err(|_| faults::not_understood(&asked.location, "SENTINEL"));
                }
            }
        }
        Err(refusal.expect("it was asked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(url: &str) -> (String, Vec<(String, u16)>, String) {
        let (plain, Sentinels { hosts, name }) = take(url).unwrap().unwrap();
        (plain, hosts, name)
    }

    #[test]
    fn addresses_with_sentinels_are_taken_apart() {
        assert_eq!(take("redis://h:6379/2"), Ok(None));
        let (plain, hosts, name) = taken("rediss+sentinel://ann:p%40@a,b:1,[::1]:2/my%20shop/3?cacert=x");
        assert_eq!(plain, "rediss://ann:p%40@a:26379/3?cacert=x");
        assert_eq!(hosts, [("a".to_owned(), 26379), ("b".to_owned(), 1), ("::1".to_owned(), 2)]);
        assert_eq!(name, "my shop");
        assert_eq!(taken("valkey+sentinel://[::1]/x").0, "valkey://[::1]:26379/0");
    }

    #[test]
    fn what_is_missing_is_told() {
        for url in ["redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a//1"] {
            assert!(take(url).unwrap_err().contains("under which name"), "{url}");
        }
        for url in [
            "redis+sentinel:///x",
            "redis+sentinel://a,/x",
            "redis+sentinel://a:b/x",
            "redis+sentinel://[::1]1/x",
        ] {
            assert!(take(url).unwrap_err().contains("HOST:PORT"), "{url}");
        }
    }
}
