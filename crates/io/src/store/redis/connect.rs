//! From an address to connections: one per node that holds keys.
//!
//! Connections never reconnect by themselves: a server that failed over in the middle of a pass would look like a small
//! one. Whoever calls starts again.
//!
//! Invariants
//! - no text that leaves this file holds the password.

use super::faults;
use super::sentinel::{self, Sentinels};
use crate::store::Lookup;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, TlsCertificates, Value,
};
use std::sync::Arc;
use std::time::Duration;
use unseed_core::address;
use unseed_core::fault::Fault;

/// A server at work on a large key does not answer meanwhile.
pub(super) const RESPONSE_WAIT: Duration = Duration::from_secs(300);
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(15);

/// Parameters of an address that the driver does not know.
const FILES: [&str; 3] = ["cacert", "cert", "key"];

/// An address that was read.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) info: ConnectionInfo,
    certificates: Option<TlsCertificates>,
    /// Who knows where the server is, if it is to be asked for.
    sentinels: Option<Sentinels>,
    /// Where it leads, without any secret.
    pub(super) location: String,
}

/// Whether an address leads to a server of this kind.
pub(crate) fn is_ours(url: &str) -> bool {
    let schemes = ["redis", "rediss", "valkey", "valkeys", "redis+unix", "valkey+unix"];
    url.split_once("://").is_some_and(|(scheme, _)| {
        let secure_or_not = &schemes[..4];
        schemes.contains(&scheme)
            || scheme.strip_suffix("+sentinel").is_some_and(|scheme| secure_or_not.contains(&scheme))
    })
}

impl Target {
    /// Reads an address.
    pub(super) fn read(url: &str, lookup: Lookup<'_>) -> Result<Self, Fault> {
        let location = address::redacted(url);
        let invalid = |what: &dyn std::fmt::Display| {
            Fault::usage(format!("the address `{location}` is not valid: {what}")).hint(
                "write redis://USER@HOST:PORT/DATABASE, rediss:// for TLS, redis+unix:///PATH for a socket, \
                 redis+sentinel://USER@HOST:PORT,HOST:PORT/NAME/DATABASE to ask Sentinels",
            )
        };
        let (url, sentinels) = match sentinel::take(url).map_err(|why| invalid(&why))? {
            Some((url, sentinels)) => (url, Some(sentinels)),
            None => (url.to_owned(), None),
        };
        let (plain, files) = take_files(&url);
        let mut info = plain.as_str().into_connection_info().map_err(|error| invalid(&error))?;
        let settings = info.redis_settings();
        if settings.password().is_none()
            && let Some(password) = lookup("REDISCLI_AUTH")
        {
            let settings = settings.clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        let mut read = Vec::new();
        for file in files {
            let bytes = match &file {
                None => None,
                Some(path) => {
                    Some(std::fs::read(path).map_err(|error| invalid(&format!("`{path}`: {error}")))?)
                }
            };
            read.push(bytes);
        }
        let mut read = read.into_iter();
        let (root_cert, cert, key) = (read.next().flatten(), read.next().flatten(), read.next().flatten());
        let client_tls = match (cert, key) {
            (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(invalid(&"`cert` and `key` belong together")),
        };
        let wanted = root_cert.is_some() || client_tls.is_some();
        let certificates = wanted.then_some(TlsCertificates { client_tls, root_cert });
        Ok(Self { info, certificates, sentinels, location })
    }

    /// The same, at another address: a node of the same cluster, a Sentinel, or the primary that it knows.
    pub(super) fn at(&self, host: &str, port: u16) -> Self {
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => {
                ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: *insecure, tls_params: None }
            }
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        let location = format!("redis://{host}:{port}");
        let (info, certificates) = (self.info.clone().set_addr(addr), self.certificates.clone());
        Self { info, certificates, sentinels: None, location }
    }

    /// The host that a node means which does not say its own.
    pub(super) fn host(&self) -> String {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => "127.0.0.1".to_owned(),
        }
    }

    /// The number of the database.
    pub(super) fn database(&self) -> i64 {
        self.info.redis_settings().db()
    }

    /// Connects to the server, or to the one that is primary now.
    pub(super) async fn connect(&self) -> Result<Node, Fault> {
        match &self.sentinels {
            Some(sentinels) => sentinels.primary(self).await?.connect_there().await,
            None => self.connect_there().await,
        }
    }

    /// Connects to whoever is there.
    pub(super) async fn connect_there(&self) -> Result<Node, Fault> {
        let failed = |error| faults::driver(&self.location, &error, faults::UNTOUCHED);
        let client = match &self.certificates {
            None => Client::open(self.info.clone()),
            Some(certificates) => Client::build_with_tls(self.info.clone(), certificates.clone()),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WAIT))
            .set_response_timeout(Some(RESPONSE_WAIT));
        let connecting = client.map_err(failed)?;
        let connection =
            connecting.get_multiplexed_async_connection_with_config(&config).await.map_err(failed)?;
        let target = Arc::new(self.clone());
        Ok(Node { connection, target, location: self.location.clone(), slots: Vec::new() })
    }
}

/// Takes the names of files out of an address, in the order of [`FILES`].
fn take_files(url: &str) -> (String, [Option<String>; 3]) {
    let mut files = [const { None }; 3];
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), files) };
    let mut rest = Vec::new();
    for pair in query.split('&') {
        let known = pair.split_once('=').and_then(|(name, value)| {
            let number = FILES.iter().position(|known| *known == name)?;
            Some((number, percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()))
        });
        match known {
            Some((number, path)) => files[number] = Some(path),
            None => rest.push(pair),
        }
    }
    let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    (plain, files)
}

/// A server that holds keys, and the connection to it.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) connection: MultiplexedConnection,
    /// How it was reached.
    pub(super) target: Arc<Target>,
    pub(super) location: String,
    /// The slots that it holds, in a cluster; none elsewhere.
    pub(super) slots: Vec<(u16, u16)>,
}

impl Node {
    /// Sends commands at once; the answers come in their order, refusals of single commands among them.
    pub(super) async fn send(&mut self, pipeline: &Pipeline, state: &str) -> Result<Vec<Value>, Fault> {
        let failed = |error| faults::driver(&self.location, &error, state);
        self.connection.send_packed_commands(pipeline, 0, pipeline.len()).await.map_err(failed)
    }

    /// Sends commands of which none may be refused.
    pub(super) async fn ask(&mut self, pipeline: &Pipeline, state: &str) -> Result<Vec<Value>, Fault> {
        let answers = self.send(pipeline, state).await?;
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                return Err(faults::reply(&self.location, error, state));
            }
        }
        Ok(answers)
    }

    /// Sends one command; a refusal is an answer.
    pub(super) async fn one(
        &mut self,
        command: &str,
        arguments: &[&str],
        state: &str,
    ) -> Result<Value, Fault> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd(command).arg(arguments);
        let answers = self.send(&pipeline, state).await?;
        Ok(answers.into_iter().next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_out_of_the_address() {
        let (plain, files) = take_files("rediss://h/1?cacert=%2Fa%20b.pem&protocol=resp3");
        assert_eq!(plain, "rediss://h/1?protocol=resp3");
        assert_eq!(files, [Some("/a b.pem".to_owned()), None, None]);
        assert_eq!(take_files("redis://h").0, "redis://h");
    }

    #[test]
    fn the_location_has_no_password() {
        let target = Target::read("valkey://ann:secret@cache.example:6400/3", &|_| None).unwrap();
        assert_eq!(target.location, "valkey://ann:***@cache.example:6400/3");
        assert_eq!((target.host().as_str(), target.database()), ("cache.example", 3));
    }
}
