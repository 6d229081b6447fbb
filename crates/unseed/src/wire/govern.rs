//! What consent and the audit log need from the surroundings: who may sign, the agent, the anchor, local time.
//!
//! Not here: what is decided with it (`core::approve`, `core::audit`).

use super::{Target, Wire, target, variable};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use std::path::{Path, PathBuf};
use unseed_core::approve::signers::Signers;
use unseed_core::approve::statement;
use unseed_core::fault::Fault;
use unseed_core::port::clock::Clock;
use unseed_io::sign::{Agent, Signer};

impl Wire {
    /// A path that the configuration names.
    pub fn beside_config(&self, path: &str) -> PathBuf {
        let folder = self.config_path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let joined = folder.join(path);
        std::path::absolute(&joined).unwrap_or(joined)
    }

    /// The anchor file of the audit log, if the configuration names one.
    pub fn anchor(&self) -> Option<PathBuf> {
        self.config.audit.anchor.as_deref().map(|path| self.beside_config(path))
    }

    /// Who may sign, if the configuration names a list.
    ///
    /// # Errors
    /// A usage fault when the list cannot be read or holds a mistake.
    pub fn signers(&self) -> Result<Option<Signers>, Fault> {
        let Some(name) = &self.config.approval.allowed_signers else { return Ok(None) };
        let path = self.beside_config(name);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Fault::usage(format!("list of signers `{}` cannot be read: {error}", path.display()))
                .hint("correct `approval.allowed_signers`, or make the file")
        })?;
        Signers::parse(&text, name, &local_time).map(Some)
    }

    /// Something that signs: a key file, or the one key of the agent that `fits`.
    ///
    /// # Errors
    /// A usage fault when there is no such key, or several.
    pub fn signer(&self, key: Option<&Path>, fits: &dyn Fn(&str) -> bool) -> Result<Signer, Fault> {
        let socket = variable("SSH_AUTH_SOCK").map(PathBuf::from);
        if let Some(path) = key {
            return Signer::of_file(path, socket);
        }
        let socket = socket.ok_or_else(|| {
            Fault::usage("there is no key to sign with: no SSH agent runs here")
                .hint("name a key with `--key FILE`, or start an agent and `ssh-add` a key")
        })?;
        let agent = Agent::at(socket);
        let mut keys = agent.keys()?;
        keys.retain(|key| fits(&key.signed.key));
        if keys.len() > 1 {
            let mut fault = Fault::usage("the SSH agent holds several keys that could sign")
                .hint("name one with `--key FILE`; its public key is enough");
            fault.details =
                keys.iter().map(|key| format!("{} {}", key.signed.fingerprint, key.comment)).collect();
            return Err(fault);
        }
        let key = keys.pop().ok_or_else(|| {
            Fault::usage("the SSH agent holds no key that could sign")
                .hint("run `ssh-add FILE`, or name a key with `--key FILE`")
        })?;
        Ok(Signer::Agent(agent, key))
    }

    /// Whether a store is where the configuration says that the store of this name is.
    ///
    /// # Errors
    /// A usage fault when the configured address leads nowhere.
    pub fn is_configured(&self, given: &Target) -> Result<bool, Fault> {
        let Some(store) = self.config.stores.get(&given.name) else { return Ok(false) };
        Ok(target(&given.name, &store.url)?.url == given.url)
    }

    /// Now, in seconds since 1970.
    pub fn now_s(&self) -> i64 {
        statement::seconds_of_clock(&self.clock.now()).expect("the clock tells RFC 3339 in UTC")
    }
}

/// A point in time as statements spell it.
pub fn spelled(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds).ok().map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Seconds of the wall clock of this machine's time zone, as seconds since 1970.
fn local_time(wall: i64) -> Option<i64> {
    let civil = Offset::UTC.to_datetime(Timestamp::from_second(wall).ok()?);
    Some(civil.to_zoned(TimeZone::system()).ok()?.timestamp().as_second())
}
