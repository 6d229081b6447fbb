//! What the command line itself puts into the audit log: refusals, approvals, and signatures over the log.
//!
//! Invariants
//! - a refusal stays one even if it cannot be logged; the person is told both;
//! - looking at something makes no state folder where there is none.
//!
//! Not here: the entries of runs (`engine`), looking at the log (`audit`).

use super::Env;
use std::path::{Path, PathBuf};
use unseed_core::audit::{Anchor, Checkpoint, Link, NAMESPACE, checkpoint_text};
use unseed_core::fault::Fault;
use unseed_core::port::clock::Clock;
use unseed_core::port::state::{AuditEntry, GovernanceDb, StateDb};
use unseed_io::sign::Signer;
use unseed_io::state::State;
use unseed_io::state::anchor::AnchorFile;

/// What a command is about.
pub(super) struct Deed {
    pub(super) verb: &'static str,
    /// As the person named it.
    pub(super) object: String,
    /// Whether it changes a store or says who may.
    pub(super) changes: bool,
    /// Whether it puts its own refusals into the log.
    pub(super) logs_itself: bool,
}

/// An entry by the person at work, as of now.
pub(super) fn entry(env: &Env<'_>, action: &str, object: &str, outcome: &str) -> AuditEntry {
    AuditEntry {
        at: env.wire.clock.now(),
        actor: env.wire.actor.clone(),
        action: action.to_owned(),
        object: object.to_owned(),
        outcome: outcome.to_owned(),
    }
}

/// Logs a fault that is a refusal; returns it.
pub(super) fn refusal(env: &Env<'_>, deed: &Deed, fault: Fault) -> Fault {
    if deed.logs_itself || !fault.category.is_refusal() {
        return fault;
    }
    let mut outcome = format!("refused: {}", fault.message);
    for detail in &fault.details {
        outcome.push_str(&format!("; {detail}"));
    }
    let state = if deed.changes { env.wire.state().map(Some) } else { env.wire.existing_state() };
    let written = state.and_then(|state| match state {
        Some(mut state) => {
            state.audit(&entry(env, &format!("{}.refused", deed.verb), &deed.object, &outcome))
        }
        None => Ok(()),
    });
    match written {
        Ok(()) => fault,
        Err(second) => fault.detail(format!("this refusal could not be logged: {}", second.message)),
    }
}

/// Signs the log after a command that changed something, where the configuration names a key for that.
///
/// # Errors
/// What kept it from being signed; the command itself is done.
pub(super) fn sign(env: &Env<'_>, deed: &Deed) -> Result<(), Fault> {
    let Some(key) = env.wire.config.audit.checkpoint_key.as_deref().filter(|_| deed.changes) else {
        return Ok(());
    };
    let Some(mut state) = env.wire.existing_state()? else { return Ok(()) };
    let signed = env
        .wire
        .signer(Some(&env.wire.beside_config(key)), &|_| true)
        .and_then(|signer| checkpoint(env, &mut state, &signer));
    signed.map(drop).map_err(|fault| {
        fault
            .state(format!("{} `{}` is done; only the audit log could not be signed", deed.verb, deed.object))
            .hint("correct `audit.checkpoint_key`, then run `unseed audit checkpoint`")
    })
}

/// The same, of a command that is asked again and again, where it did something this time.
///
/// # Errors
/// What kept it from being signed; the command itself is done.
pub(super) fn sign_work(env: &Env<'_>, verb: &'static str, did_something: bool) -> Result<(), Fault> {
    sign(env, &Deed { verb, object: "--due".to_owned(), changes: did_something, logs_itself: true })
}

/// Signs the log as it is, and keeps the signature with it and in the anchor.
pub(super) fn checkpoint(env: &Env<'_>, state: &mut State, signer: &Signer) -> Result<Link, Fault> {
    let who = signer.public()?;
    state.audit(&entry(env, "audit.checkpoint", &who.fingerprint, "started"))?;
    let head = state.audit_head()?.expect("an entry was just written");
    let statement = checkpoint_text(&head, &env.wire.clock.now());
    let signature = signer.sign(NAMESPACE, statement.as_bytes())?;
    let checkpoint = Checkpoint { statement, signature };
    state.put_checkpoint(&checkpoint)?;
    if let Some(anchor) = env.wire.anchor() {
        AnchorFile::at(anchor).add(&Anchor::Checkpoint { checkpoint })?;
    }
    Ok(head)
}

/// The key that signs the log: the one that was given, else the configured one, else the agent's.
pub(super) fn key(env: &Env<'_>, given: Option<&Path>) -> Option<PathBuf> {
    let configured =
        || env.wire.config.audit.checkpoint_key.as_deref().map(|key| env.wire.beside_config(key));
    given.map(Path::to_path_buf).or_else(configured)
}
