//! The two halves of encryption: public keys that batches are written to, private keys that they are read with.
//!
//! Encryption is [age](https://age-encryption.org), so that `age` and `rage` open every part by themselves. With a
//! passphrase a run gets a key pair of its own; the private half lies beside the archive as `key.age`, under the
//! passphrase. So a passphrase costs its second once per run, not once per part, and writing never needs it again.
//!
//! Invariants
//! - no private key and no passphrase is shown, logged or written in the clear;
//! - a line that is no public key is named by its number, since it may be a private one.
//!
//! Not here: files of rows (`seal`), where keys are looked for (`unseed::wire`).

use age::secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use unseed_core::fault::{Category, Fault};

/// The private half of a run's own key, under a passphrase.
pub(super) const KEY_FILE: &str = "key.age";

const PRIVATE_AGE: &str = "AGE-SECRET-KEY-";
const PRIVATE_SSH: &str = "-----BEGIN";
const ENCRYPTED: &str = "age-encryption.org/";

/// Whether a text is, or begins like, a private key.
pub fn is_private_key(text: &str) -> bool {
    let text = text.trim_start();
    text.lines().any(|line| line.trim_start().to_ascii_uppercase().starts_with(PRIVATE_AGE))
        || text.starts_with(PRIVATE_SSH)
}

#[derive(Clone)]
enum Recipient {
    Age(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipient {
    fn parse(text: &str) -> Option<Self> {
        if text.starts_with("age1") {
            return text.parse().ok().map(Self::Age);
        }
        text.starts_with("ssh-").then(|| text.parse().ok().map(Self::Ssh))?
    }

    fn as_dyn(&self) -> &dyn age::Recipient {
        match self {
            Self::Age(key) => key,
            Self::Ssh(key) => key,
        }
    }
}

/// Public keys that a batch is encrypted to, every one of which opens it.
#[derive(Clone, Default)]
pub struct Recipients {
    shown: Vec<String>,
    keys: Vec<Recipient>,
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.shown).finish()
    }
}

impl Recipients {
    /// Adds the public keys of a text, one a line, with `#` before comments; `from` names it in messages.
    ///
    /// # Errors
    /// A usage fault that names the line, never its content.
    pub fn add(&mut self, text: &str, from: &str) -> Result<(), Fault> {
        if is_private_key(text) {
            return Err(Fault::usage(format!("{from} holds a private key, not a recipient"))
                .hint("name the public key, which begins with `age1`, `ssh-ed25519` or `ssh-rsa`"));
        }
        let before = self.keys.len();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some(key) = Recipient::parse(line) else {
                let place =
                    if text.lines().count() > 1 { format!(" in line {}", index + 1) } else { String::new() };
                return Err(Fault::usage(format!("{from}: no recipient that can be used{place}")).hint(
                    "a recipient is a public key: `age1…`, `ssh-ed25519 …`, or `ssh-rsa …` of 2,048 to 4,096 bits",
                ));
            };
            let shown: String = line.chars().filter(|c| !c.is_control()).collect();
            if !self.shown.contains(&shown) {
                self.shown.push(shown);
                self.keys.push(key);
            }
        }
        if self.keys.len() == before && self.keys.is_empty() {
            return Err(Fault::usage(format!("{from} names no recipient"))
                .hint("write one public key a line: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`"));
        }
        Ok(())
    }

    /// The keys as text.
    pub fn shown(&self) -> &[String] {
        &self.shown
    }

    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn encryptor(&self) -> Result<age::Encryptor, age::EncryptError> {
        age::Encryptor::with_recipients(self.keys.iter().map(Recipient::as_dyn))
    }
}

/// A passphrase as it stands in its file.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a passphrase")
    }
}

impl Passphrase {
    /// The first line of a text; `from` names it in messages.
    ///
    /// # Errors
    /// A usage fault when it is empty.
    pub fn parse(text: &str, from: &str) -> Result<Self, Fault> {
        let line = text.lines().next().unwrap_or("").trim_end_matches('\r');
        if line.trim().is_empty() {
            return Err(Fault::usage(format!("{from} holds no passphrase"))
                .hint("write the passphrase into its first line"));
        }
        Ok(Self(SecretString::from(line.to_owned())))
    }

    /// A new key pair: the public half, and a file with the private one under this passphrase.
    pub(super) fn new_key(&self) -> Result<(Recipients, Vec<u8>), Fault> {
        let pair = age::x25519::Identity::generate();
        let mut recipients = Recipients::default();
        recipients.add(&pair.to_public().to_string(), "the new key")?;
        let text = format!("# key of one run of unseed\n{}\n", pair.to_string().expose_secret());
        let sealed = age::Encryptor::with_user_passphrase(self.0.clone());
        let mut file = Vec::new();
        let write = || -> std::io::Result<()> {
            let mut stream = sealed.wrap_output(&mut file)?;
            std::io::Write::write_all(&mut stream, text.as_bytes())?;
            stream.finish().map(drop)
        };
        write().map_err(|error| Fault::new(Category::Archive, format!("no key could be made: {error}")))?;
        Ok((recipients, file))
    }

    /// The private key in such a file.
    fn open(&self, file: &[u8], shown: &Path) -> Result<Identities, Fault> {
        let unlock = age::scrypt::Identity::new(self.0.clone());
        let refused = || {
            Fault::usage(format!("the passphrase does not open `{}`", shown.display()))
                .hint("give the passphrase that the archive was made with, in `passphrase_file`")
        };
        let decryptor = age::Decryptor::new(file).map_err(|_| refused())?;
        let one: &dyn age::Identity = &unlock;
        let mut text = String::new();
        let mut stream = decryptor.decrypt(std::iter::once(one)).map_err(|_| refused())?;
        stream.read_to_string(&mut text).map_err(|_| refused())?;
        Identities::parse(&text, "the key of the run")
    }
}

type Private = Arc<dyn age::Identity + Send + Sync>;

/// Private keys, any of which may open a part.
#[derive(Clone, Default)]
pub struct Identities(Vec<Private>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} private keys", self.0.len())
    }
}

impl Identities {
    /// The keys in a text: lines of age, or one SSH key; `from` names it in messages.
    ///
    /// # Errors
    /// A usage fault that says what the text is instead, without showing any of it.
    pub fn parse(text: &str, from: &str) -> Result<Self, Fault> {
        let wrong = |what: &str, hint: &str| Err(Fault::usage(format!("{from} {what}")).hint(hint));
        if text.trim_start().starts_with(ENCRYPTED) {
            return wrong(
                "is protected by a passphrase",
                "decrypt it with `age -d FILE` into a place that only you can read, and name that file",
            );
        }
        if text.trim_start().starts_with(PRIVATE_SSH) {
            return match age::ssh::Identity::from_buffer(text.trim_start().as_bytes(), None) {
                Ok(key @ age::ssh::Identity::Unencrypted(_)) => Ok(Self(vec![Arc::new(key)])),
                Ok(age::ssh::Identity::Encrypted(_)) => wrong(
                    "is an SSH key that is protected by a passphrase",
                    "take the passphrase off a copy with `ssh-keygen -p -N '' -f COPY`, and remove the copy afterwards",
                ),
                Ok(age::ssh::Identity::Unsupported(_)) | Err(_) => wrong(
                    "is an SSH key of a kind that cannot decrypt",
                    "name a key of the kind ssh-ed25519 or ssh-rsa, or one of age",
                ),
            };
        }
        let parsed = age::IdentityFile::from_buffer(text.as_bytes()).map_err(drop);
        match parsed.and_then(|file| file.into_identities().map_err(drop)) {
            Ok(keys) if !keys.is_empty() => Ok(Self(keys.into_iter().map(Arc::from).collect())),
            Ok(_) | Err(()) => {
                wrong("is no private key", "name a file that `age-keygen` wrote, or an SSH private key")
            }
        }
    }

    /// Adds further keys.
    pub fn add(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    fn each(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|key| {
            let key: &dyn age::Identity = key.as_ref();
            key
        })
    }

    /// Opens an encrypted file; `None` when none of the keys fits.
    pub(super) fn open<R: Read>(&self, file: R) -> std::io::Result<Option<age::stream::StreamReader<R>>> {
        let broken = |error: &age::DecryptError| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, error.to_string())
        };
        let decryptor = age::Decryptor::new(file).map_err(|error| broken(&error))?;
        match decryptor.decrypt(self.each()) {
            Ok(stream) => Ok(Some(stream)),
            Err(age::DecryptError::NoMatchingKeys) => Ok(None),
            Err(error) => Err(broken(&error)),
        }
    }
}

/// What archives are written with.
#[derive(Debug, Clone, Default)]
pub enum Sealing {
    /// Not encrypted.
    #[default]
    Open,
    /// To public keys.
    To(Recipients),
    /// To a key of the run's own, which a passphrase opens.
    Passphrase(Passphrase),
}

/// What archives are read with. A key that cannot be read matters only where an archive is encrypted.
#[derive(Debug, Clone, Default)]
pub struct Unlock {
    pub identities: Option<Result<Identities, Fault>>,
    pub passphrase: Option<Result<Passphrase, Fault>>,
    /// Whether checks read what is inside, since somebody gave the key for it.
    pub reads_inside: bool,
}

impl Unlock {
    /// The keys for the archive in a folder, which is encrypted to these recipients.
    pub(super) fn keys(&self, run_folder: &Path, recipients: &[String]) -> Result<Identities, Fault> {
        if let Some(found) = &self.identities {
            return found.clone();
        }
        let path = run_folder.join(KEY_FILE);
        match (&self.passphrase, std::fs::read(&path)) {
            (Some(passphrase), Ok(file)) => passphrase.clone()?.open(&file, &path),
            (None, Ok(_)) => Err(locked(run_folder, recipients, "no passphrase was given").hint(
                "name the file with the passphrase as `passphrase_file` of `[archive]` in `unseed.toml`",
            )),
            (_, Err(_)) => Err(locked(run_folder, recipients, "no key was given")),
        }
    }
}

impl Unlock {
    /// Whether anything was given to read with.
    pub(super) fn is_given(&self) -> bool {
        self.identities.is_some() || self.passphrase.is_some()
    }
}

/// An encrypted archive that cannot be opened with what was given.
pub(super) fn locked(run_folder: &Path, recipients: &[String], why: &str) -> Fault {
    let run = run_folder.file_name().unwrap_or_default().to_string_lossy();
    let mut fault = Fault::usage(format!("the archive of run `{run}` is encrypted, and {why}"))
        .hint("give the private key of one of them with `--identity FILE` or in UNSEED_IDENTITY");
    fault.details = recipients.iter().map(|recipient| format!("encrypted to {recipient}")).collect();
    fault
}
