//! Where the keys of archives come from: arguments, environment, configuration.
//!
//! Invariants
//! - a private key or a passphrase never lies beside what it protects: a file in the state folder is refused;
//! - what is given as an argument takes the place of what the configuration says;
//! - the content of such a file goes to `io::archive` and nowhere else.
//!
//! Not here: what a key looks like (`io::archive`).

use super::{Wire, variable};
use std::path::{Path, PathBuf};
use unseed_core::fault::Fault;
use unseed_io::archive::{
    FolderArchive, Identities, Passphrase, Recipients, Sealing, Unlock, is_private_key,
};

/// Where the private key is, where nothing else says so.
const IDENTITY_VARIABLE: &str = "UNSEED_IDENTITY";

/// To whom archives are encrypted, as arguments say.
#[derive(Debug, Clone, Default)]
pub struct SealTo {
    pub recipients: Vec<String>,
    pub files: Vec<PathBuf>,
}

impl Wire {
    /// Archives as a purge writes them.
    ///
    /// # Errors
    /// A usage fault when a recipient or a passphrase cannot be used.
    pub fn sealed_archive(&self, store_kind: &str, to: &SealTo) -> Result<FolderArchive, Fault> {
        Ok(self.archive(store_kind).sealed(self.sealing(to)?))
    }

    /// Archives as they are read, with the private keys of these files if there are any.
    ///
    /// # Errors
    /// A usage fault when a file that was named as an argument cannot be used.
    pub fn archive_with(&self, store_kind: &str, identities: &[PathBuf]) -> Result<FolderArchive, Fault> {
        Ok(self.archive(store_kind).unlocked(self.unlock(identities)?))
    }

    fn sealing(&self, to: &SealTo) -> Result<Sealing, Fault> {
        let mut recipients = Recipients::default();
        for given in &to.recipients {
            recipients.add(given, "`--recipient`")?;
        }
        for path in &to.files {
            recipients.add(&text_of(path, "recipients")?, &format!("`{}`", path.display()))?;
        }
        if !recipients.is_empty() {
            return Ok(Sealing::To(recipients));
        }
        let config = &self.config.archive;
        for given in &config.recipients {
            match given.strip_prefix("file:") {
                None => recipients.add(given, "`archive.recipients`")?,
                Some(path) => {
                    let path = self.beside_configuration(path);
                    recipients.add(&text_of(&path, "recipients")?, &format!("`{}`", path.display()))?;
                }
            }
        }
        match &config.passphrase_file {
            Some(path) => self.passphrase(path).map(Sealing::Passphrase),
            None if recipients.is_empty() => Ok(Sealing::Open),
            None => Ok(Sealing::To(recipients)),
        }
    }

    fn unlock(&self, given: &[PathBuf]) -> Result<Unlock, Fault> {
        let config = &self.config.archive;
        if !given.is_empty() {
            let mut all = Identities::default();
            for path in given {
                all.add(self.identity_file(path)?);
            }
            return Ok(Unlock { identities: Some(Ok(all)), reads_inside: true, passphrase: None });
        }
        let identities = match (variable(IDENTITY_VARIABLE), config.identity.as_deref()) {
            (Some(value), _) => Some(self.identity_value(&value, IDENTITY_VARIABLE)),
            (None, Some(named)) => Some(self.configured_identity(named)),
            (None, None) => None,
        };
        let passphrase = config.passphrase_file.as_deref().map(|path| self.passphrase(path));
        Ok(Unlock { identities, passphrase, reads_inside: false })
    }

    fn configured_identity(&self, named: &str) -> Result<Identities, Fault> {
        if let Some(name) = named.strip_prefix("env:") {
            let value = variable(name).ok_or_else(|| {
                Fault::usage(format!("environment variable `{name}` is not set"))
                    .hint("set it to the private key or the path of its file, or give `--identity FILE`")
            })?;
            return self.identity_value(&value, name);
        }
        self.identity_file(&self.beside_configuration(named.strip_prefix("file:").unwrap_or(named)))
    }

    /// The value of a variable: the key itself, or the path of its file.
    fn identity_value(&self, value: &str, name: &str) -> Result<Identities, Fault> {
        if is_private_key(value) {
            return Identities::parse(value, &format!("environment variable `{name}`"));
        }
        self.identity_file(Path::new(value))
    }

    fn identity_file(&self, path: &Path) -> Result<Identities, Fault> {
        self.elsewhere(path, "private key")?;
        Identities::parse(&text_of(path, "private key")?, &format!("`{}`", path.display()))
    }

    fn passphrase(&self, path: &str) -> Result<Passphrase, Fault> {
        let path = self.beside_configuration(path);
        self.elsewhere(&path, "passphrase")?;
        Passphrase::parse(&text_of(&path, "passphrase")?, &format!("`{}`", path.display()))
    }

    /// Refuses a secret that lies in the state folder, whichever way its path leads there.
    fn elsewhere(&self, path: &Path, what: &str) -> Result<(), Fault> {
        let (Ok(found), Ok(state)) = (std::fs::canonicalize(path), std::fs::canonicalize(&self.state_folder))
        else {
            return Ok(());
        };
        if !found.starts_with(&state) {
            return Ok(());
        }
        let message =
            format!("the {what} `{}` lies in the state folder, beside what it protects", path.display());
        Err(Fault::refused(message)
            .hint("move it out of the state folder, onto another disk if there is one, and name it there"))
    }

    fn beside_configuration(&self, path: &str) -> PathBuf {
        self.config_path.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).join(path)
    }
}

fn text_of(path: &Path, what: &str) -> Result<String, Fault> {
    std::fs::read_to_string(path).map_err(|error| {
        Fault::usage(format!("the file `{}` with the {what} cannot be read: {error}", path.display()))
            .hint("name another file, or make it readable")
    })
}
