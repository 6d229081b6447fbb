//! Redis servers of a test's own, alone or as a cluster, and a small client to fill and ask them.
//!
//! A server lives in a temporary folder, listens on a free loopback port and on a socket in that folder, and stops with
//! the test process. Nothing is saved unless asked for.
//!
//! Invariants
//! - the default user needs no password, unless the settings say so.

use super::watchdog::Watchdog;
use super::{ServerError, certificate, command};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const START_ATTEMPTS_MAX: u32 = 5;
const START_WAIT_MAX: Duration = Duration::from_secs(60);
/// A user who may always stop the server.
const KEEPER: &str = "keeper";
const KEEPER_PASSWORD: &str = "keeper";
/// Commands that are sent before the first answer is read.
const PIPELINE_MAX: usize = 1_000;

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Nil,
    Int(i64),
    Text(Vec<u8>),
    List(Vec<Self>),
    Error(String),
}

impl Reply {
    /// The text of an answer that is one; empty otherwise.
    pub fn text(&self) -> String {
        match self {
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Int(number) => number.to_string(),
            Self::Error(text) => text.clone(),
            Self::Nil | Self::List(_) => String::new(),
        }
    }
}

/// What a server is started with: lines of `redis.conf`.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    lines: Vec<String>,
    tls: bool,
    is_sentinel: bool,
}

impl RedisOptions {
    /// One line of `redis.conf`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Every write is on the disk before it is answered, so that a killed server keeps it.
    #[must_use]
    pub fn durable(self) -> Self {
        self.line("appendonly yes").line("appendfsync always")
    }

    /// A Sentinel, which watches a server under a name.
    #[must_use]
    pub fn sentinel(mut self, name: &str, server: &Redis) -> Self {
        self.is_sentinel = true;
        self.line(&format!("sentinel monitor {name} 127.0.0.1 {} 1", server.port))
    }

    /// TLS only, with a certificate of its own authority.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }
}

/// A running server.
#[derive(Debug)]
pub struct Redis {
    folder: PathBuf,
    port: u16,
    options: RedisOptions,
    child: Mutex<Option<Child>>,
    _watchdog: Watchdog,
}

impl Redis {
    /// A server of this test alone, stopped when the value is dropped.
    pub fn start_own(options: &RedisOptions) -> Result<Self, ServerError> {
        let folder = tempfile::Builder::new().prefix("unseed-redis-").tempdir();
        let folder = folder.map_err(|error| ServerError::file(std::env::temp_dir(), &error))?;
        let mut stop = Command::new("redis-cli");
        stop.arg("-s").arg(folder.path().join("socket"));
        stop.args(["--no-auth-warning", "--user", KEEPER, "--pass", KEEPER_PASSWORD, "shutdown", "nosave"]);
        let watchdog = Watchdog::start(folder.path(), &stop)?;
        // From here on the watchdog removes the folder.
        let folder = folder.keep();
        let options = options.clone();
        let mut server = Self { folder, port: 0, options, child: Mutex::new(None), _watchdog: watchdog };
        if server.options.tls {
            server.write_certificates()?;
        }
        let mut attempt = 1;
        loop {
            server.port = free_port()?;
            server.configure()?;
            match server.start() {
                Err(ServerError::Failed { .. }) if attempt < START_ATTEMPTS_MAX => attempt += 1,
                outcome => return outcome.map(|()| server),
            }
        }
    }

    /// Connection URL of the default user and database.
    pub fn url(&self) -> String {
        if self.options.tls {
            let authority = self.authority_file();
            return format!("rediss://localhost:{}/0?cacert={}", self.port, authority.display());
        }
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Connection URL of another user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}/0", self.port)
    }

    /// Connection URL over the socket.
    pub fn socket_url(&self) -> String {
        format!("redis+unix://{}", self.folder.join("socket").display())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder in which the server lives.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process of the running server.
    pub fn process(&self) -> Option<u32> {
        self.held().as_ref().map(Child::id)
    }

    /// The certificate that clients of a server with TLS have to trust.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.join("authority.crt")
    }

    /// A connection as the keeper, who may do everything.
    pub fn client(&self) -> Result<RedisClient, ServerError> {
        let mut client = RedisClient::connect(&self.folder.join("socket"))?;
        client.run(&["AUTH", KEEPER, KEEPER_PASSWORD])?;
        Ok(client)
    }

    /// Ends the server with SIGKILL. `start` brings it back, on the same port.
    pub fn kill(&self) -> Result<(), ServerError> {
        let Some(mut child) = self.held().take() else { return Ok(()) };
        let killed = child.kill().and_then(|()| child.wait());
        killed.map(drop).map_err(|error| ServerError::file("redis-server", &error))
    }

    /// Starts a server that was killed; its data are loaded when it returns.
    pub fn start(&self) -> Result<(), ServerError> {
        let mut server = Command::new("redis-server");
        server.arg(self.folder.join("redis.conf")).current_dir(&self.folder).stdin(Stdio::null());
        if self.options.is_sentinel {
            server.arg("--sentinel");
        }
        let path = self.folder.join("server.log");
        let log = File::create(&path).map_err(|error| ServerError::file(&path, &error))?;
        let copy = log.try_clone().map_err(|error| ServerError::file(&path, &error))?;
        server.stdout(log).stderr(copy);
        let mut child = server.spawn().map_err(|error| command::not_started(&server, &error))?;
        let start = Instant::now();
        loop {
            if self.answers() {
                *self.held() = Some(child);
                return Ok(());
            }
            let ended = child.try_wait().ok().flatten();
            if ended.is_some() || start.elapsed() > START_WAIT_MAX {
                drop(child.kill().and_then(|()| child.wait()));
                let output = std::fs::read_to_string(&path).unwrap_or_default();
                let status = ended.map_or("no answer".to_owned(), |status| status.to_string());
                return Err(ServerError::Failed { command: "redis-server".to_owned(), status, output });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn answers(&self) -> bool {
        // A socket of an earlier process refuses connections until the new one has it.
        let Ok(mut client) = self.client() else { return false };
        if self.options.is_sentinel {
            return client.run(&["PING"]).is_ok();
        }
        let loading = client.run(&["INFO", "persistence"]).map(|reply| reply.text());
        loading.is_ok_and(|text| text.lines().any(|line| line == "loading:0"))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn configure(&self) -> Result<(), ServerError> {
        let folder = self.folder.display();
        let mut text = format!(
            "bind 127.0.0.1\ndir {folder}\nunixsocket {folder}/socket\nsave \"\"\nappendonly no\ndaemonize no\n\
             user {KEEPER} on >{KEEPER_PASSWORD} ~* &* +@all\n"
        );
        if self.options.tls {
            text.push_str(&format!(
                "port 0\ntls-port {}\ntls-cert-file {folder}/server.crt\ntls-key-file {folder}/server.key\n\
                 tls-ca-cert-file {folder}/authority.crt\ntls-auth-clients no\n",
                self.port
            ));
        } else {
            text.push_str(&format!("port {}\n", self.port));
        }
        text.extend(self.options.lines.iter().flat_map(|line| [line.as_str(), "\n"]));
        self.write("redis.conf", &text)
    }

    fn write_certificates(&self) -> Result<(), ServerError> {
        let pem = certificate::for_loopback()?;
        self.write("authority.crt", &pem.authority)?;
        self.write("server.crt", &pem.certificate)?;
        self.write("server.key", &pem.key)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ServerError> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).map_err(|error| ServerError::file(&path, &error))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // The watchdog removes the folder, and stops whoever is left.
        drop(self.kill());
    }
}

/// Three primaries without replicas, which share the slots.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts the nodes and waits until each of them serves.
    pub fn start_own() -> Result<Self, ServerError> {
        let options = RedisOptions::default()
            .line("cluster-enabled yes")
            .line("cluster-node-timeout 60000")
            .line("cluster-config-file nodes.conf");
        let nodes: Vec<Redis> = (0..3).map(|_| Redis::start_own(&options)).collect::<Result<_, _>>()?;
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        nodes.iter().for_each(|node| {
            create.arg(format!("127.0.0.1:{}", node.port));
        });
        command::run(create.args(["--cluster-yes"]).stdin(Stdio::null()))?;
        let start = Instant::now();
        for node in &nodes {
            while !node.client()?.run(&["CLUSTER", "INFO"])?.text().contains("cluster_state:ok") {
                if start.elapsed() > START_WAIT_MAX {
                    let (command, status) = ("CLUSTER INFO".to_owned(), "not ok".to_owned());
                    return Err(ServerError::Failed { command, status, output: String::new() });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(Self { nodes })
    }

    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Connection URL of one node, from which the others are found.
    pub fn url(&self) -> String {
        self.nodes[0].url()
    }

    /// Runs a command on whichever node serves its key.
    pub fn run(&self, parts: &[&str]) -> Result<Reply, ServerError> {
        let mut reply = Reply::Nil;
        for node in &self.nodes {
            reply = node.client()?.run(parts)?;
            if !reply.text().starts_with("MOVED") {
                return Ok(reply);
            }
        }
        Ok(reply)
    }
}

/// A connection over the server's socket.
#[derive(Debug)]
pub struct RedisClient {
    stream: BufReader<std::os::unix::net::UnixStream>,
    path: PathBuf,
}

impl RedisClient {
    fn connect(path: &Path) -> Result<Self, ServerError> {
        let stream = std::os::unix::net::UnixStream::connect(path);
        let stream = stream.map_err(|error| ServerError::file(path, &error))?;
        Ok(Self { stream: BufReader::new(stream), path: path.to_owned() })
    }

    /// Runs one command of texts.
    pub fn run(&mut self, parts: &[&str]) -> Result<Reply, ServerError> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        self.run_bytes(&parts)
    }

    /// Runs one command of any bytes.
    pub fn run_bytes(&mut self, parts: &[&[u8]]) -> Result<Reply, ServerError> {
        let mut out = Vec::new();
        pack(&mut out, parts);
        self.send(&out)?;
        self.reply()
    }

    /// Runs many commands, of which none may fail.
    pub fn run_all(&mut self, commands: impl IntoIterator<Item = Vec<Vec<u8>>>) -> Result<(), ServerError> {
        self.each_answer(commands, drop)
    }

    /// The answers to many commands, of which none may fail.
    pub fn ask_all(
        &mut self,
        commands: impl IntoIterator<Item = Vec<Vec<u8>>>,
    ) -> Result<Vec<Reply>, ServerError> {
        let mut answers = Vec::new();
        self.each_answer(commands, |answer| answers.push(answer))?;
        Ok(answers)
    }

    fn each_answer(
        &mut self,
        commands: impl IntoIterator<Item = Vec<Vec<u8>>>,
        mut visit: impl FnMut(Reply),
    ) -> Result<(), ServerError> {
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let (mut out, mut count) = (Vec::new(), 0);
            for command in commands.by_ref().take(PIPELINE_MAX) {
                let parts: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
                pack(&mut out, &parts);
                count += 1;
            }
            self.send(&out)?;
            for _ in 0..count {
                let answer = self.reply()?;
                if let Reply::Error(output) = answer {
                    let (command, status) = ("a command of many".to_owned(), "refused".to_owned());
                    return Err(ServerError::Failed { command, status, output });
                }
                visit(answer);
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), ServerError> {
        let sent = self.stream.get_mut().write_all(bytes);
        sent.map_err(|error| ServerError::file(&self.path, &error))
    }

    fn reply(&mut self) -> Result<Reply, ServerError> {
        let broken = |error: std::io::Error| ServerError::file(&self.path, &error);
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).map_err(broken)?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        let not_understood =
            || ServerError::file(&self.path, &format!("an answer that begins with {text:?}"));
        let (kind, rest) = text.split_at_checked(1).ok_or_else(not_understood)?;
        let number = || rest.parse::<i64>().map_err(|_| not_understood());
        match kind {
            "+" => Ok(Reply::Text(rest.as_bytes().to_vec())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => Ok(Reply::Int(number()?)),
            "$" | "*" if number()? < 0 => Ok(Reply::Nil),
            "$" => {
                let length = usize::try_from(number()?).map_err(|_| not_understood())?;
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes).map_err(|error| ServerError::file(&self.path, &error))?;
                bytes.truncate(length);
                Ok(Reply::Text(bytes))
            }
            "*" => (0..number()?).map(|_| self.reply()).collect::<Result<_, _>>().map(Reply::List),
            _ => Err(not_understood()),
        }
    }
}

fn pack(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// Cluster nodes also listen 10,000 ports higher, so low ones are taken.
fn free_port() -> Result<u16, ServerError> {
    const LOWEST: u16 = 20_000;
    const HIGHEST: u16 = 32_000;
    let failed = |error: std::io::Error| ServerError::file("127.0.0.1:0", &error);
    let any =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(failed)?.port();
    let from = LOWEST + any % (HIGHEST - LOWEST);
    let is_free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && TcpStream::connect(("127.0.0.1", *port)).is_err()
    };
    (from..HIGHEST)
        .chain(LOWEST..from)
        .find(is_free)
        .ok_or_else(|| ServerError::file("127.0.0.1", &"no port is free"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_server_keeps_what_it_was_told_durably() {
        let server = Redis::start_own(&RedisOptions::default().durable()).unwrap();
        let many =
            (0..1500).map(|n: u32| [b"SET".to_vec(), n.to_le_bytes().to_vec(), b"\r\n".to_vec()].into());
        server.client().unwrap().run_all(many).unwrap();
        server.kill().unwrap();
        assert!(server.client().is_err());
        server.start().unwrap();
        let mut client = server.client().unwrap();
        assert_eq!(client.run(&["DBSIZE"]).unwrap(), Reply::Int(1500));
        assert_eq!(client.run_bytes(&[b"GET", &7_u32.to_le_bytes()]).unwrap(), Reply::Text(b"\r\n".to_vec()));
        assert!(client.run(&["NOSUCH"]).unwrap().text().starts_with("ERR unknown command"));
    }
}
