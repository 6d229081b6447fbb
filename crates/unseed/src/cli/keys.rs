//! Arguments about the keys of archives, and the archives that they give.
//!
//! Not here: where keys are looked for besides (`wire`), what they look like (`io::archive`).

use super::Env;
use crate::wire::SealTo;
use clap::Args;
use std::path::PathBuf;
use unseed_core::fault::Fault;
use unseed_core::keys::WholePlan;
use unseed_io::archive::FolderArchive;

/// To whom an archive is encrypted.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SealArgs {
    /// Encrypt the archive to this public key, instead of those of the configuration: age1…, 'ssh-ed25519 …' or
    /// 'ssh-rsa …'; more than once for several
    #[arg(long = "recipient", value_name = "KEY")]
    recipients: Vec<String>,
    /// The same, with the public keys of a file, one a line
    #[arg(long = "recipients-file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl SealArgs {
    /// The archives of a purge.
    pub(crate) fn archive(&self, env: &Env<'_>, whole: &WholePlan) -> Result<FolderArchive, Fault> {
        self.archive_of(env, kind(whole))
    }

    /// The archives of a purge of a store of this kind.
    pub(crate) fn archive_of(&self, env: &Env<'_>, kind: &str) -> Result<FolderArchive, Fault> {
        let to = SealTo { recipients: self.recipients.clone(), files: self.files.clone() };
        env.wire.sealed_archive(kind, &to)
    }
}

/// With what an archive is read.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct UnlockArgs {
    /// Private key of an encrypted archive, of age or SSH [default: UNSEED_IDENTITY, or `[archive]` of the configuration]
    #[arg(long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,
}

impl UnlockArgs {
    /// The archives of the run of a plan.
    pub(crate) fn archive(&self, env: &Env<'_>, whole: &WholePlan) -> Result<FolderArchive, Fault> {
        self.archive_of(env, kind(whole))
    }

    /// The archives of a store of this kind.
    pub(crate) fn archive_of(&self, env: &Env<'_>, kind: &str) -> Result<FolderArchive, Fault> {
        env.wire.archive_with(kind, &self.identities)
    }

    /// Archives that are only looked at, of whatever kind of store.
    pub(crate) fn any_archive(&self, env: &Env<'_>) -> Result<FolderArchive, Fault> {
        env.wire.archive_with("", &self.identities)
    }
}

fn kind(whole: &WholePlan) -> &str {
    whole.plan().stores.first().map_or("", |store| store.kind.as_str())
}
