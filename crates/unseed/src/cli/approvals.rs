//! Approvals: where they are found, and what they are weighed against.
//!
//! An approval is a file that can be sent around. It counts wherever it lies: beside the plan, named with
//! `--approval`, or kept in the state database by `unseed approve`. Revocations are kept in the state database.
//!
//! Invariants
//! - a file beside the plan that is no approval is told and does not count; it does not stop anything else.
//!
//! Not here: whether an approval counts (`core::approve::verdict`).

use super::Env;
use std::path::{Path, PathBuf};
use unseed_core::approve::signers::Signers;
use unseed_core::approve::statement::{Act, Approval};
use unseed_core::approve::verdict::{Presented, Question, Verdict, weigh as decide};
use unseed_core::fault::Fault;
use unseed_core::plan::Plan;
use unseed_core::port::state::GovernanceDb;
use unseed_core::run::Run;
use unseed_io::sign::SshVerifier;

/// What has to be agreed to.
pub(crate) struct Asked<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) act: Act,
    /// The run, where there is one already.
    pub(crate) run: Option<&'a Run>,
    pub(crate) required: u32,
    /// Who carries it out, where that is known.
    pub(crate) operator: Option<&'a str>,
}

impl Asked<'_> {
    /// Who asks for it: whoever made the plan, or purged what is to be put back.
    pub(crate) fn requester(&self) -> &str {
        match (&self.act, self.run) {
            (Act::Restore { .. }, Some(run)) => &run.actor,
            (Act::Purge, _) | (Act::Restore { .. }, None) => &self.plan.created_by,
        }
    }

    /// Who must not approve it: the requester, and whoever restores.
    fn barred(&self) -> Vec<&str> {
        let operator = match &self.act {
            Act::Purge => None,
            Act::Restore { .. } => self.operator,
        };
        [Some(self.requester()), operator].into_iter().flatten().collect()
    }
}

/// Weighs approvals as of a point in time, against the signers and revocations of now.
///
/// # Errors
/// A usage fault when the list of signers is missing or holds a mistake.
pub(crate) fn weigh(
    env: &Env<'_>,
    asked: &Asked<'_>,
    presented: &[Presented],
    now_s: i64,
) -> Result<Verdict, Fault> {
    let signers = env.wire.signers()?.ok_or_else(|| nobody_listed(asked))?;
    weigh_with(env, asked, presented, now_s, &signers)
}

/// The same, with a list of signers that was read already.
pub(crate) fn weigh_with(
    env: &Env<'_>,
    asked: &Asked<'_>,
    presented: &[Presented],
    now_s: i64,
    signers: &Signers,
) -> Result<Verdict, Fault> {
    let revoked = match env.wire.existing_state()? {
        Some(mut state) => state.revocations(&asked.plan.digest)?,
        None => Vec::new(),
    };
    let revoked = revoked.into_iter().map(|revocation| revocation.approval).collect();
    let question = Question {
        plan: asked.plan,
        act: asked.act.clone(),
        requester: asked.requester(),
        barred: asked.barred(),
        required: asked.required,
        signers,
        revoked: &revoked,
        valid_s_max: env.wire.config.approval.valid_s_max(),
        now_s,
    };
    Ok(decide(&question, presented, &SshVerifier))
}

fn nobody_listed(asked: &Asked<'_>) -> Fault {
    let (plan, required) = (&asked.plan.id, asked.required);
    Fault::refused(format!(
        "plan `{plan}` needs {required} approvals, and this configuration names nobody who may give them"
    ))
    .hint("set `approval.allowed_signers`, or use the configuration that the plan was made with: `--config FILE`")
}

/// The approvals of a plan: named ones, those beside its file, and those in the state.
///
/// # Errors
/// A usage fault when a named file cannot be read.
pub(crate) fn with_plan(
    env: &Env<'_>,
    plan: &Plan,
    path: &Path,
    named: &[PathBuf],
) -> Result<Vec<Presented>, Fault> {
    let mut found = of_files(named)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().unwrap_or(Path::new(""));
    found.extend(beside(folder, &stem));
    found.extend(of_state(env, &plan.digest)?);
    Ok(found)
}

/// The approvals of a run: named ones, those in the current folder, and those in the state.
///
/// # Errors
/// A usage fault when a named file cannot be read.
pub(crate) fn with_run(env: &Env<'_>, run: &Run, named: &[PathBuf]) -> Result<Vec<Presented>, Fault> {
    let mut found = of_files(named)?;
    found.extend(beside(Path::new(""), &run.id));
    found.extend(of_state(env, &run.plan_digest)?);
    Ok(found)
}

/// An approval that is kept in the state.
pub(crate) fn kept(id: &str, approval: Approval) -> Presented {
    Presented { source: format!("approval {id} of the state"), approval: Ok(approval) }
}

/// Where an approval of a plan or run is written: `plan.json` → `plan.approval-kim.json`.
pub(crate) fn file_name(stem: &str, who: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "@._-".contains(c) { c } else { '-' };
    let who: String = who.chars().map(plain).collect();
    format!("{stem}.approval-{who}.json")
}

fn of_state(env: &Env<'_>, digest: &str) -> Result<Vec<Presented>, Fault> {
    let Some(mut state) = env.wire.existing_state()? else { return Ok(Vec::new()) };
    let found = state.approvals(digest)?;
    Ok(found.into_iter().map(|(id, approval)| kept(&id, approval)).collect())
}

fn of_files(paths: &[PathBuf]) -> Result<Vec<Presented>, Fault> {
    let read = |path: &PathBuf| match std::fs::read(path) {
        Ok(bytes) => Ok(presented(path, &bytes)),
        Err(error) => Err(Fault::usage(format!("approval `{}` cannot be read: {error}", path.display()))
            .hint("name a file that `unseed approve` wrote")),
    };
    paths.iter().map(read).collect()
}

fn beside(folder: &Path, stem: &str) -> Vec<Presented> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(here) else { return Vec::new() };
    let begin = format!("{stem}.approval-");
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(&begin) && name.ends_with(".json"));
    names.sort();
    let paths = names.into_iter().map(|name| folder.join(name));
    paths
        .map(|path| match std::fs::read(&path) {
            Ok(bytes) => presented(&path, &bytes),
            Err(error) => Presented {
                source: path.display().to_string(),
                approval: Err(format!("it cannot be read: {error}")),
            },
        })
        .collect()
}

fn presented(path: &Path, bytes: &[u8]) -> Presented {
    let approval = serde_json::from_slice(bytes).map_err(|error| format!("it is no approval: {error}"));
    Presented { source: path.display().to_string(), approval }
}
