//! `unseed audit`: looks whether the audit log is what was written, exports it, signs it.
//!
//! Not here: what is found by what (`core::audit`).

use super::{Done, Env, log};
use crate::table::Table;
use crate::ui;
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use unseed_core::approve::statement::seconds_of_clock;
use unseed_core::audit::{
    CheckedCheckpoint, Checkpoint, Evidence, Examination, Examiner, NAMESPACE, Record, checkpoint_link,
};
use unseed_core::fault::{Category, Fault, listed};
use unseed_core::port::sign::Verifier;
use unseed_core::port::state::{GovernanceDb, StateDb};
use unseed_io::sign::SshVerifier;
use unseed_io::state::State;
use unseed_io::state::anchor::{AnchorFile, Anchored};

/// Look whether the audit log is what was written, export it, or sign it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed audit verify                             exits with 1 when the log was tampered with
  unseed audit export > audit.jsonl               one JSON object per entry
  unseed audit checkpoint --key ~/.ssh/id_ed25519 sign the log as it is")]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compare the log with its own chain, its anchor and its signatures; exits with 1 if something does not fit
    #[command(after_help = "Examples:
  unseed audit verify
  unseed audit verify --anchor /mnt/elsewhere/audit.anchor")]
    Verify {
        /// Anchor file to compare with [default: `audit.anchor` of the configuration]
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
    },
    /// Print every entry as a line of JSON
    #[command(after_help = "Examples:
  unseed audit export > audit.jsonl
  unseed audit export | jq 'select(.action == \"purge.refused\")'")]
    Export,
    /// Sign the log as it is with an SSH key
    #[command(after_help = "Examples:
  unseed audit checkpoint                         with the key of the agent, or `audit.checkpoint_key`
  unseed audit checkpoint --key ~/.ssh/id_ed25519")]
    Checkpoint {
        /// SSH key to sign with
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

pub(super) fn run(env: &Env<'_>, args: &AuditArgs) -> Result<Done, Fault> {
    match &args.what {
        What::Verify { anchor } => verify(env, anchor.as_deref()),
        What::Export => export(env),
        What::Checkpoint { key } => checkpoint(env, key.as_deref()),
    }
}

fn verify(env: &Env<'_>, anchor: Option<&Path>) -> Result<Done, Fault> {
    let state = env.wire.existing_state()?;
    let anchor = anchor.map(Path::to_path_buf).or_else(|| env.wire.anchor());
    let found = examine(env, state, anchor)?;
    let fault = fault(&found);
    if !env.ui.is_table() {
        env.ui.json(&json!({
            "format": "unseed.audit/1", "intact": found.is_intact(), "entries": found.entries, "head": found.head,
            "anchored": found.anchored, "signed": found.signed.as_ref().map(|(sequence, _)| sequence),
            "signer": found.signed.as_ref().map(|(_, signer)| signer), "findings": found.findings,
        }));
        return Ok(if fault.is_some() { Done::Findings } else { Done::Success });
    }
    env.ui.text(&text(&found));
    fault.map_or(Ok(Done::Success), Err)
}

fn examine(env: &Env<'_>, state: Option<State>, anchor: Option<PathBuf>) -> Result<Examination, Fault> {
    let anchored = match &anchor {
        Some(path) => AnchorFile::at(path.clone()).read()?,
        None => None,
    };
    let mut evidence =
        Evidence { anchor: anchor.map(|path| path.display().to_string()), ..Evidence::default() };
    let mut checkpoints = Vec::new();
    if let Some(Anchored { links, checkpoints: signed, broken }) = anchored {
        evidence.anchors = Some(links);
        evidence.broken_anchors = broken;
        checkpoints = signed;
    }
    let Some(mut state) = state else {
        evidence.checkpoints = checked(env, &checkpoints)?;
        return Ok(Examiner::new(evidence).finish());
    };
    for kept in state.checkpoints()? {
        if !checkpoints.contains(&kept) {
            checkpoints.push(kept);
        }
    }
    evidence.checkpoints = checked(env, &checkpoints)?;
    evidence.issued = state.audit_issued()?;
    evidence.runs = state.runs()?.into_iter().map(|run| run.id).collect();
    let mut examiner = Examiner::new(evidence);
    state.audit_log(&mut |record| {
        examiner.look(&record);
        Ok(())
    })?;
    Ok(examiner.finish())
}

/// Who signed each checkpoint. Without a list of signers only the key can be told, and counts.
fn checked(env: &Env<'_>, checkpoints: &[Checkpoint]) -> Result<Vec<CheckedCheckpoint>, Fault> {
    let signers = env.wire.signers()?;
    let signer = |checkpoint: &Checkpoint| -> Result<String, String> {
        let signed = SshVerifier.verify(checkpoint.statement.as_bytes(), &checkpoint.signature)?;
        if signed.namespace != NAMESPACE {
            return Err(format!("it is signed for `{}`, not for `{NAMESPACE}`", signed.namespace));
        }
        match &signers {
            // A key that was valid when it signed stays good; one that is not listed any more does not.
            Some(signers) => {
                let at_s = checkpoint_time(&checkpoint.statement).ok_or("it says no time")?;
                Ok(signers.person(&signed.key, NAMESPACE, at_s)?.name)
            }
            None => Ok(signed.fingerprint),
        }
    };
    let check = |checkpoint: &Checkpoint| CheckedCheckpoint {
        link: checkpoint_link(&checkpoint.statement),
        signer: signer(checkpoint),
    };
    Ok(checkpoints.iter().map(check).collect())
}

fn checkpoint_time(statement: &str) -> Option<i64> {
    statement.lines().find_map(|line| line.strip_prefix("at: ")).and_then(seconds_of_clock)
}

fn text(found: &Examination) -> String {
    let mut table = Table::new(&["audit log", ""]);
    let upto = |sequence: Option<u64>| {
        sequence.map_or_else(|| "none".to_owned(), |n| format!("up to {}", ui::count(n)))
    };
    table.row(&["entries".to_owned(), ui::count(found.entries)]);
    table.row(&["confirmed by the anchor".to_owned(), upto(found.anchored)]);
    let signer = found.signed.as_ref().map_or_else(String::new, |(_, signer)| format!(", by {signer}"));
    table.row(&["signed".to_owned(), format!("{}{signer}", upto(found.signed.as_ref().map(|(n, _)| *n)))]);
    if let Some(head) = &found.head {
        table.row(&["hash of the last entry".to_owned(), head.hash.clone()]);
    }
    table.to_string()
}

/// Findings that are shown before the rest is only counted.
const FINDINGS_SHOWN_MAX: usize = 20;

fn fault(found: &Examination) -> Option<Fault> {
    if found.is_intact() {
        return None;
    }
    let count = listed(&found.findings, "contradiction");
    let mut fault = Fault::new(Category::Findings, format!("the audit log is not what was written: {count}"))
        .state("looking changed nothing")
        .hint(
            "keep copies of the state folder and the anchor as they are, and find out who could write them",
        );
    for finding in found.findings.iter().take(FINDINGS_SHOWN_MAX) {
        fault = fault.detail(&finding.says);
    }
    match found.findings.len().saturating_sub(FINDINGS_SHOWN_MAX) {
        0 => Some(fault),
        more => Some(fault.detail(format!("and {more} more, all with `--format json`"))),
    }
}

fn export(env: &Env<'_>) -> Result<Done, Fault> {
    let Some(mut state) = env.wire.existing_state()? else { return Ok(Done::Success) };
    let mut out = std::io::BufWriter::new(env.ui.stream());
    let mut line = |record: Record| -> Result<(), Fault> {
        let text = serde_json::to_string(&record).expect("plain data, which JSON can always hold");
        writeln!(out, "{text}").map_err(|error| {
            Fault::new(Category::Archive, format!("the log cannot be written: {error}"))
                .state("an export changes nothing, and is incomplete")
                .hint("write it into a file on a disk with room: `unseed audit export > FILE`")
        })
    };
    state.audit_log(&mut line)?;
    // A reader that went away early has what it wanted.
    drop(out.flush());
    Ok(Done::Success)
}

fn checkpoint(env: &Env<'_>, key: Option<&Path>) -> Result<Done, Fault> {
    let key = log::key(env, key);
    let signers = env.wire.signers()?;
    let now_s = env.wire.now_s();
    let fits = |key: &str| signers.as_ref().is_none_or(|list| list.person(key, NAMESPACE, now_s).is_ok());
    let signer = env.wire.signer(key.as_deref(), &fits)?;
    let who = signer.public()?;
    if let Some(Err(why)) = signers.as_ref().map(|list| list.person(&who.key, NAMESPACE, now_s)) {
        return Err(Fault::refused(format!("this signature would not count: {why}: {}", who.fingerprint))
            .hint("sign with a key of the list, or have this one listed for the namespace `unseed-audit`"));
    }
    let mut state = env.wire.state()?;
    let head = log::checkpoint(env, &mut state, &signer)?;
    if env.ui.is_table() {
        env.ui.text(&format!(
            "signed the log up to entry {} with {}",
            ui::count(head.sequence),
            who.fingerprint
        ));
    } else {
        env.ui.json(&json!({
            "format": "unseed.audit-checkpoint/1", "sequence": head.sequence, "hash": head.hash,
            "fingerprint": who.fingerprint,
        }));
    }
    Ok(Done::Success)
}
