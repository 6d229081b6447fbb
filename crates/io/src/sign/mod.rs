//! SSH signatures: made with a key file or an agent, checked with the public key that they carry.
//!
//! The cryptography is the `ssh-key` crate's. Signatures are those of `ssh-keygen -Y`, in both directions.
//!
//! Invariants
//! - what is checked is the signature itself, over exactly these bytes and the namespace that it names;
//! - a private key is read only where it is used, and never shows in a message.
//!
//! Not here: whose key it is and what it may sign (`core::approve::signers`).

mod agent;
mod short;

pub use agent::{Agent, AgentKey};

use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use std::path::{Path, PathBuf};
use unseed_core::fault::{Category, Fault};
use unseed_core::port::sign::{Signed, Verifier};

/// Bit of a security key's signature that says that somebody touched it.
const TOUCHED: u8 = 1;

/// Checks SSH signatures.
#[derive(Debug, Clone, Copy, Default)]
pub struct SshVerifier;

impl Verifier for SshVerifier {
    fn verify(&self, message: &[u8], armored: &str) -> Result<Signed, String> {
        let unreadable = |error: ssh_key::Error| format!("its signature cannot be read: {error}");
        let signature = SshSig::from_pem(armored.trim_start()).map_err(unreadable)?;
        if signature.version() != SshSig::VERSION || !signature.reserved().is_empty() {
            return Err("its signature is of an unknown version".to_owned());
        }
        // One signature has one spelling, so that nothing in it is read past.
        let again = signature.to_pem(LineEnding::LF).map_err(unreadable)?;
        let dense = |text: &str| text.split_whitespace().collect::<String>();
        if dense(&again) != dense(armored) {
            return Err("its signature is not in canonical form".to_owned());
        }
        let key = PublicKey::from(signature.public_key().clone());
        key.verify(signature.namespace(), message, &signature)
            .map_err(|_| "its signature does not belong to its text".to_owned())?;
        if !was_touched(&signature) {
            return Err("its security key was not touched".to_owned());
        }
        Ok(Signed { namespace: signature.namespace().to_owned(), ..named(&key)? })
    }
}

/// Security keys say in every signature whether a person was there; other keys cannot tell.
fn was_touched(signature: &SshSig) -> bool {
    if !matches!(signature.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) {
        return true;
    }
    // Behind the signature proper stand a byte of flags and a counter of four bytes.
    signature.signature_bytes().iter().rev().nth(4).is_some_and(|flags| flags & TOUCHED != 0)
}

fn named(key: &PublicKey) -> Result<Signed, String> {
    let text = PublicKey::from(key.key_data().clone()).to_openssh();
    let text = text.map_err(|error| format!("its key cannot be written: {error}"))?;
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    Ok(Signed { key: text.trim().to_owned(), fingerprint, namespace: String::new() })
}

/// A locked key is opened by the agent, which asks for the passphrase, and a security key is touched through it. Of RSA
/// keys `ssh-key` 0.6 checks signatures but does not make them.
fn signs_here(key: &PrivateKey) -> bool {
    !key.is_encrypted() && matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::Ecdsa { .. })
}

/// Something that can sign.
#[derive(Debug)]
pub enum Signer {
    File(Box<PrivateKey>),
    Agent(Agent, AgentKey),
}

impl Signer {
    /// A signer for a key file: its private key, or, where that is locked or of RSA or the file holds the public key
    /// only, the same key in the agent at `socket`.
    ///
    /// # Errors
    /// A usage fault when the file is no key, or its key can be had nowhere.
    pub fn of_file(path: &Path, socket: Option<PathBuf>) -> Result<Self, Fault> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Fault::usage(format!("key file `{shown}` cannot be read: {error}"))
                .hint("name a private key, or the public key of one that the agent holds")
        })?;
        let public = match short::private_key(&text) {
            Ok(private) if signs_here(&private) => return Ok(Self::File(Box::new(private))),
            Ok(other) => other.public_key().clone(),
            Err(_) => PublicKey::from_openssh(text.trim()).map_err(|error| {
                Fault::usage(format!("`{shown}` is no SSH key in OpenSSH's format: {error}")).hint(format!(
                    "make one with `ssh-keygen -t ed25519`, or convert it with `ssh-keygen -p -f {shown}`"
                ))
            })?,
        };
        let key = named(&public).map_err(Fault::usage)?;
        let locked = || {
            Fault::usage(format!(
                "key `{shown}` is locked, a security key, an RSA key or a public key, and no agent here holds it"
            ))
            .hint(format!("run `ssh-add {shown}`, then run the command again"))
        };
        let agent = Agent::at(socket.ok_or_else(locked)?);
        let held = agent.keys()?.into_iter().find(|held| held.signed.key == key.key).ok_or_else(locked)?;
        Ok(Self::Agent(agent, held))
    }

    /// Whose signatures this makes.
    ///
    /// # Errors
    /// An archive fault when the key cannot be spelled.
    pub fn public(&self) -> Result<Signed, Fault> {
        match self {
            Self::File(private) => named(private.public_key()).map_err(failed),
            Self::Agent(_, key) => Ok(key.signed.clone()),
        }
    }

    /// Signs a message in a namespace; returns the armored signature.
    ///
    /// # Errors
    /// A fault that says what the key or the agent said.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, Fault> {
        let made = match self {
            Self::File(private) => private.sign(namespace, HashAlg::Sha512, message).map_err(failed)?,
            Self::Agent(agent, key) => {
                let data = SshSig::signed_data(namespace, HashAlg::Sha512, message).map_err(failed)?;
                let signature = agent.sign(key, &data)?;
                let public = PublicKey::from_bytes(&key.blob).map_err(failed)?.key_data().clone();
                SshSig::new(public, namespace, HashAlg::Sha512, signature).map_err(failed)?
            }
        };
        let armored = made.to_pem(LineEnding::LF).map_err(failed)?;
        // A key that signs something else than it was given must be noticed here, not by whoever relies on it.
        SshVerifier.verify(message, &armored).map_err(failed)?;
        Ok(armored)
    }
}

fn failed(why: impl std::fmt::Display) -> Fault {
    Fault::new(Category::Archive, format!("the key cannot sign: {why}"))
        .state("nothing was signed, and nothing was changed")
        .hint("try another key with `--key FILE`, or sign by hand with `ssh-keygen -Y sign`")
}

#[cfg(test)]
mod tests;
