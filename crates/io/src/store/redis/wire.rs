//! A connection of our own, for what is asked a million times: what comes next is asked as soon as it is known, not once an
//! answer was read to its end, and an answer is not taken apart into a million values.
//!
//! Everything else goes through the driver, and so does this where a server is reached by TLS, or lets nobody in a second time.
//!
//! Invariants
//! - it leads to the very process that the driver is connected to: a name or a proxy may lead elsewhere the second time;
//! - it never connects again by itself.

use super::connect::{CONNECT_WAIT, Node, RESPONSE_WAIT, Target};
use super::faults::{self, UNTOUCHED};
use memchr::memchr;
use redis::{ConnectionAddr, InfoDict};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use unseed_core::fault::Fault;

/// Room for what is received at once.
const READ_BYTES: usize = 1 << 16;
/// What is given back once a long answer was read.
const KEPT_BYTES: usize = 1 << 20;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is signed in and looks at our database.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    /// What was read of it.
    read: usize,
    location: String,
    /// What a failure leaves behind.
    state: &'static str,
}

/// How an answer, or a part of one, begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// So many parts follow.
    List(usize),
    /// So many bytes follow.
    Text(usize),
    Number(i64),
    /// `OK`, for example.
    Word,
    Nothing,
}

impl Wire {
    /// Another connection to the process that a node is connected to; none where that is not to be had.
    pub(super) async fn beside(node: &mut Node, state: &'static str) -> Option<Self> {
        let target = Arc::clone(&node.target);
        let stream = timeout(CONNECT_WAIT, connect(&target)).await.ok()??;
        let location = target.location.clone();
        let mut wire = Self { stream, received: Vec::new(), read: 0, location, state };
        let settings = target.info.redis_settings();
        if let Some(password) = settings.password() {
            let user = settings.username().map(str::as_bytes);
            let parts = [Some(b"AUTH".as_slice()), user, Some(password.as_bytes())];
            wire.greet(&parts.into_iter().flatten().collect::<Vec<_>>()).await?;
        }
        if settings.db() != 0 {
            wire.greet(&[b"SELECT", settings.db().to_string().as_bytes()]).await?;
        }
        let mut info = Vec::new();
        command(&mut info, &[b"INFO", b"server"]);
        wire.send(&info).await.ok()?;
        let Head::Text(length) = wire.head().await.ok()? else { return None };
        let ours = process(&String::from_utf8_lossy(wire.text(length).await.ok()?))?;
        let answer = node.one("INFO", &["server"], UNTOUCHED).await.ok()?;
        let theirs = process(&redis::from_redis_value::<String>(answer).ok()?)?;
        (ours == theirs).then_some(wire)
    }

    async fn greet(&mut self, parts: &[&[u8]]) -> Option<()> {
        let mut asked = Vec::new();
        command(&mut asked, parts);
        self.send(&asked).await.ok()?;
        (self.head().await.ok()? == Head::Word).then_some(())
    }

    /// Sends commands.
    pub(super) async fn send(&mut self, commands: &[u8]) -> Result<(), Fault> {
        match timeout(RESPONSE_WAIT, self.stream.write_all(commands)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.broken(&"it takes no more commands")),
        }
    }

    /// How the next answer begins, or the next part of one; a refusal is a fault.
    pub(super) async fn head(&mut self) -> Result<Head, Fault> {
        let head = self.head_or_refusal().await?;
        head.map_err(|refusal| faults::refusal(&self.location, &refusal, self.state))
    }

    /// The same; a refusal is an answer.
    pub(super) async fn head_or_refusal(&mut self) -> Result<Result<Head, String>, Fault> {
        loop {
            let rest = &self.received[self.read..];
            let Some(end) = memchr(b'\n', rest) else {
                self.receive().await?;
                continue;
            };
            let line = rest[..end].strip_suffix(b"\r");
            let head = line.and_then(head).ok_or_else(|| self.not_understood("a command"));
            self.read += end + 1;
            return head;
        }
    }

    /// The bytes that follow the head of a text.
    pub(super) async fn text(&mut self, length: usize) -> Result<&[u8], Fault> {
        // A line end stands behind them.
        let whole = length + 2;
        while self.received.len() - self.read < whole {
            self.receive().await?;
        }
        let from = self.read;
        self.read += whole;
        Ok(&self.received[from..from + length])
    }

    async fn receive(&mut self) -> Result<(), Fault> {
        self.received.drain(..self.read);
        self.read = 0;
        if self.received.len() < KEPT_BYTES / 2 {
            self.received.shrink_to(KEPT_BYTES);
        }
        self.received.reserve(READ_BYTES);
        match timeout(RESPONSE_WAIT, self.stream.read_buf(&mut self.received)).await {
            Ok(Ok(0)) => Err(self.broken(&"it closed the connection")),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.broken(&format!("no answer for {} s", RESPONSE_WAIT.as_secs()))),
        }
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> Fault {
        faults::broken(&self.location, why, self.state)
    }

    pub(super) fn not_understood(&self, command: &str) -> Fault {
        faults::not_understood(&self.location, command).state(self.state)
    }
}

async fn connect(target: &Target) -> Option<Box<dyn Stream>> {
    match target.info.addr() {
        ConnectionAddr::Tcp(host, port) => {
            let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await.ok()?;
            stream.set_nodelay(true).ok()?;
            Some(Box::new(stream))
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => Some(Box::new(tokio::net::UnixStream::connect(path).await.ok()?)),
        _ => None,
    }
}

/// By what a process of a server is known.
fn process(info: &str) -> Option<String> {
    InfoDict::new(info).get::<String>("run_id").filter(|id| !id.is_empty())
}

/// Appends a command.
pub(super) fn command(out: &mut Vec<u8>, parts: &[&[u8]]) {
    begin(out, parts.len());
    parts.iter().for_each(|text| part(out, text));
}

/// Appends the beginning of a command of so many parts.
pub(super) fn begin(out: &mut Vec<u8>, parts: usize) {
    length(out, b'*', parts);
}

/// Appends a part of a command.
pub(super) fn part(out: &mut Vec<u8>, text: &[u8]) {
    length(out, b'$', text.len());
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn length(out: &mut Vec<u8>, mark: u8, length: usize) {
    out.push(mark);
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A head, or a refusal; none if it is no line of the protocol.
fn head(line: &[u8]) -> Option<Result<Head, String>> {
    let (mark, rest) = line.split_first()?;
    let text = || std::str::from_utf8(rest).ok();
    let length = || {
        let length = text()?.parse::<i64>().ok()?;
        Some(usize::try_from(length).ok())
    };
    Some(Ok(match mark {
        b'*' => length()?.map_or(Head::Nothing, Head::List),
        b'$' => length()?.map_or(Head::Nothing, Head::Text),
        b':' => Head::Number(text()?.parse().ok()?),
        b'+' => Head::Word,
        b'_' => Head::Nothing,
        b'-' => return Some(Err(String::from_utf8_lossy(rest).into_owned())),
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_every_kind_and_nothing_else() {
        let read = |line: &str| head(line.as_bytes());
        assert_eq!(read("*2"), Some(Ok(Head::List(2))));
        assert_eq!(read("$0"), Some(Ok(Head::Text(0))));
        assert_eq!(read("$-1"), Some(Ok(Head::Nothing)));
        assert_eq!(read("*-1"), Some(Ok(Head::Nothing)));
        assert_eq!(read(":-2"), Some(Ok(Head::Number(-2))));
        assert_eq!(read("+OK"), Some(Ok(Head::Word)));
        assert_eq!(read("-NOPERM no"), Some(Err("NOPERM no".to_owned())));
        for line in ["", "$", "$x", "*1.5", ":", ":1x", "%1", "2", "$99999999999999999999"] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn commands_are_written_with_their_lengths() {
        let mut out = Vec::new();
        command(&mut out, &[b"GET", b"a\r\nb", b""]);
        assert_eq!(out, b"*3\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n");
    }

    /// Whatever pieces an answer arrives in.
    #[tokio::test]
    async fn answers_are_read_in_whatever_pieces_they_come() {
        let answer = b"*2\r\n$2\r\n17\r\n*2\r\n$4\r\na\r\nb\r\n$0\r\n\r\n-ERR why\r\n".as_slice();
        for size in 1..=answer.len() {
            let (ours, mut theirs) = tokio::io::duplex(size);
            let writing = tokio::spawn(async move {
                theirs.write_all(answer).await.unwrap();
            });
            let mut wire = Wire {
                stream: Box::new(ours),
                received: Vec::new(),
                read: 0,
                location: "here".to_owned(),
                state: UNTOUCHED,
            };
            assert_eq!(wire.head().await.unwrap(), Head::List(2));
            assert_eq!(wire.head().await.unwrap(), Head::Text(2));
            assert_eq!(wire.text(2).await.unwrap(), b"17");
            assert_eq!(wire.head().await.unwrap(), Head::List(2));
            assert_eq!(wire.head().await.unwrap(), Head::Text(4));
            assert_eq!(wire.text(4).await.unwrap(), b"a\r\nb");
            assert_eq!(wire.head().await.unwrap(), Head::Text(0));
            assert_eq!(wire.text(0).await.unwrap(), b"");
            let refusal = wire.head().await.unwrap_err().to_string();
            assert!(refusal.contains("refused a command: ERR why"), "{refusal}");
            writing.await.unwrap();
            let closed = wire.head().await.unwrap_err().to_string();
            assert!(closed.contains("it closed the connection"), "{closed}");
        }
    }
}
