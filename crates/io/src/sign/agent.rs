//! The two questions that an SSH agent is asked: which keys it holds, and to sign with one.
//!
//! The protocol is that of OpenSSH's PROTOCOL.agent: a length, a type, a body.
//!
//! Invariants
//! - an answer is never longer than [`ANSWER_BYTES_MAX`], whatever the agent claims;
//! - a private key never leaves the agent.
//!
//! Not here: what is signed.

use super::named;
use ssh_key::{Algorithm, PublicKey, Signature};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use unseed_core::fault::{Category, Fault};
use unseed_core::port::sign::Signed;

const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// A person may have to touch a security key or to type a code.
const PATIENCE: Duration = Duration::from_secs(120);

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Asks an RSA key for a signature over SHA-512 instead of SHA-1.
const RSA_SHA2_512: u32 = 4;

/// An agent behind a socket.
#[derive(Debug, Clone)]
pub struct Agent {
    socket: PathBuf,
}

/// A key that an agent holds.
#[derive(Debug, Clone)]
pub struct AgentKey {
    pub(super) blob: Vec<u8>,
    pub signed: Signed,
    pub comment: String,
}

impl Agent {
    /// The agent behind this socket; nothing is asked yet.
    pub fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The keys that it holds, without those of kinds that are not understood.
    ///
    /// # Errors
    /// A usage fault when there is no agent, or it does not answer.
    pub fn keys(&self) -> Result<Vec<AgentKey>, Fault> {
        let answer = self.ask(REQUEST_IDENTITIES, &[], IDENTITIES_ANSWER)?;
        let mut reader = Fields(&answer);
        let count = reader.number().ok_or_else(|| self.garbled())?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let blob = reader.text().ok_or_else(|| self.garbled())?.to_vec();
            let comment = String::from_utf8_lossy(reader.text().ok_or_else(|| self.garbled())?).into_owned();
            let Ok(key) = PublicKey::from_bytes(&blob) else { continue };
            if let Ok(signed) = named(&key) {
                keys.push(AgentKey { blob, signed, comment });
            }
        }
        Ok(keys)
    }

    /// Signs these bytes.
    pub(super) fn sign(&self, key: &AgentKey, data: &[u8]) -> Result<Signature, Fault> {
        let is_rsa = PublicKey::from_bytes(&key.blob)
            .is_ok_and(|key| matches!(key.algorithm(), Algorithm::Rsa { .. }));
        let mut body = Vec::new();
        put(&mut body, &key.blob);
        put(&mut body, data);
        body.extend(if is_rsa { RSA_SHA2_512 } else { 0 }.to_be_bytes());
        let answer = self.ask(SIGN_REQUEST, &body, SIGN_RESPONSE)?;
        let signature = Fields(&answer).text().ok_or_else(|| self.garbled())?;
        Signature::try_from(signature).map_err(|_| self.garbled())
    }

    fn ask(&self, kind: u8, body: &[u8], expected: u8) -> Result<Vec<u8>, Fault> {
        let answer = self.exchange(kind, body).map_err(|error| self.silent(&error.to_string()))?;
        match answer.split_first() {
            Some((found, rest)) if *found == expected => Ok(rest.to_vec()),
            Some(_) => Err(self.refused()),
            None => Err(self.garbled()),
        }
    }

    fn exchange(&self, kind: u8, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut message = Vec::new();
        put(&mut message, &[&[kind], body].concat());
        stream.write_all(&message)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other("its answer is too long"));
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    fn silent(&self, why: &str) -> Fault {
        fault(format!("the SSH agent at `{}` does not answer: {why}", self.socket.display()))
    }

    fn garbled(&self) -> Fault {
        fault(format!("the SSH agent at `{}` answers in a way that is not understood", self.socket.display()))
    }

    fn refused(&self) -> Fault {
        fault(format!("the SSH agent at `{}` refused", self.socket.display()))
    }
}

fn fault(message: String) -> Fault {
    Fault::new(Category::Usage, message)
        .state("nothing was signed, and nothing was changed")
        .hint("see `ssh-add -l`, or name a key with `--key FILE`")
}

fn put(message: &mut Vec<u8>, field: &[u8]) {
    let length = u32::try_from(field.len()).expect("what is sent to an agent is short");
    message.extend(length.to_be_bytes());
    message.extend(field);
}

/// The fields of an answer, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// An agent that gives one answer.
    fn keys_of(answer: &'static [u8]) -> Result<Vec<AgentKey>, Fault> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 5];
            stream.read_exact(&mut question).unwrap();
            assert_eq!(question, [0, 0, 0, 1, REQUEST_IDENTITIES]);
            stream.write_all(answer).unwrap();
        });
        let keys = Agent::at(socket).keys();
        served.join().unwrap();
        keys
    }

    #[test]
    fn answers_that_are_cut_too_long_or_of_another_kind_are_faults() {
        assert!(keys_of(&[0, 0, 0, 5, IDENTITIES_ANSWER, 0, 0, 0, 0]).unwrap().is_empty());
        for (answer, says) in [
            (&[0, 0, 0, 1, 5][..], "refused"),
            (&[0, 0, 0, 9, IDENTITIES_ANSWER], "does not answer"),
            (&[255, 255, 255, 255], "too long"),
            (&[0, 0, 0, 0], "not understood"),
            (&[0, 0, 0, 5, IDENTITIES_ANSWER, 0, 0, 0, 2], "not understood"),
            (&[0, 0, 0, 9, IDENTITIES_ANSWER, 0, 0, 0, 1, 255, 255, 255, 255], "not understood"),
        ] {
            let fault = keys_of(answer).unwrap_err();
            assert!(fault.message.contains(says), "{}", fault.message);
        }
    }

    #[test]
    fn an_agent_that_is_not_there_is_named() {
        let fault = Agent::at(PathBuf::from("/nowhere/agent")).keys().unwrap_err();
        assert!(
            fault.message.starts_with("the SSH agent at `/nowhere/agent` does not answer"),
            "{}",
            fault.message
        );
    }
}
