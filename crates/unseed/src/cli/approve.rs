//! `unseed approve`: agrees to a plan, or to restoring a run, by a signature; takes an approval back.
//!
//! Invariants
//! - what is signed names act, plan, digest, requester, comment, ticket and expiry, and nothing else;
//! - an approval that would not count is not given: the approver is told why at once;
//! - everything given and taken back is in the audit log before it is written.
//!
//! Not here: whether enough people agreed (`consent`, `core::approve`).

use super::approvals::{self, Asked};
use super::{Done, Env, log, run_and_plan, show};
use crate::{plan_file, ui, wire};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use unseed_core::approve::Gate;
use unseed_core::approve::signers::Signers;
use unseed_core::approve::statement::{self, Act, Approval, FORMAT, NAMESPACE, Statement};
use unseed_core::approve::verdict::{Counted, Presented, same_person};
use unseed_core::fault::Fault;
use unseed_core::keys::WholePlan;
use unseed_core::port::clock::Clock;
use unseed_core::port::sign::{Signed, Verifier};
use unseed_core::port::state::{GovernanceDb, Revocation, StateDb};
use unseed_core::run::Run;
use unseed_io::sign::SshVerifier;

/// Agree to a plan, or to restoring a run, by an SSH signature
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  unseed approve plan.json --comment 'all 60 are ours' --ticket https://tickets.example.org/7
  unseed approve plan.json --key ~/.ssh/id_ed25519 --expires 24h
  unseed approve r-19                             agree to restoring a run
  unseed approve plan.json --revoke kim           take an approval back

Without unseed's own signing:
  unseed approve plan.json --statement plan.txt   write what is to be signed
  ssh-keygen -Y sign -f ~/.ssh/id_ed25519 -n unseed-approval plan.txt
  unseed approve plan.json --signature plan.txt.sig

The approval is written beside the plan, as plan.approval-NAME.json, and can be sent to whoever purges.")]
pub(crate) struct ApproveArgs {
    /// A plan file, or a run as in `unseed runs` to agree to its restore
    #[arg(value_name = "PLAN.json|RUN")]
    pub(super) what: String,
    /// SSH key to sign with: a private key, or the public key of one in the agent [default: the agent]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// What you looked at, in one line
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Where the change is discussed
    #[arg(long, value_name = "URL", default_value = "")]
    ticket: String,
    /// How long the approval holds: 24h, 3d, or a time such as 2026-11-24T00:00:00Z [default: as long as it may]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Where to write the approval
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write what is to be signed, to sign it by hand; with --signature: what was signed
    #[arg(long, value_name = "FILE")]
    statement: Option<PathBuf>,
    /// Take a signature that `ssh-keygen -Y sign` made; the statement is FILE without `.sig`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "comment", "ticket", "expires"])]
    signature: Option<PathBuf>,
    /// Take an approval back: its id, or the approver's name
    #[arg(long, value_name = "ID|NAME", conflicts_with_all = ["key", "comment", "ticket", "expires", "statement", "signature", "output"])]
    revoke: Option<String>,
}

/// What is to be agreed to.
struct Object {
    whole: WholePlan,
    run: Option<Run>,
    act: Act,
    required: u32,
    /// Where approvals are written, without their ending.
    stem: PathBuf,
}

pub(super) fn run(env: &Env<'_>, args: &ApproveArgs) -> Result<Done, Fault> {
    let object = Object::find(env, &args.what)?;
    if let Some(whose) = &args.revoke {
        return revoke(env, &object, whose);
    }
    object.can_be_approved(env)?;
    let approval = match (&args.signature, &args.statement) {
        (Some(signature), statement) => read_signature(signature, statement.as_deref())?,
        (None, Some(path)) => return write_statement(env, &object.statement(env, args)?, path),
        (None, None) => sign(env, &object, args)?,
    };
    let counted = weigh(env, &object, &approval)?;
    keep(env, args, &object, &counted)
}

impl Object {
    fn find(env: &Env<'_>, what: &str) -> Result<Self, Fault> {
        let looks_like_run = what.strip_prefix("r-").is_some_and(|n| n.chars().all(|c| c.is_ascii_digit()));
        let (whole, run, act, stem) = if looks_like_run && !Path::new(what).exists() {
            let (run, whole) = run_and_plan(env, what)?;
            (whole, Some(run), Act::Restore { run: what.to_owned() }, PathBuf::from(what))
        } else {
            let path = Path::new(what);
            let stem = path.with_file_name(path.file_stem().unwrap_or_default());
            (plan_file::read(path)?, None, Act::Purge, stem)
        };
        let required = Gate::of(&env.wire.config.approval, whole.plan()).required(&act);
        Ok(Self { whole, run, act, required, stem })
    }

    fn asked(&self) -> Asked<'_> {
        let (plan, run) = (self.whole.plan(), self.run.as_ref());
        Asked { plan, act: self.act.clone(), run, required: self.required, operator: None }
    }

    fn can_be_approved(&self, env: &Env<'_>) -> Result<(), Fault> {
        let plan = self.whole.plan();
        if !plan.conflicts.is_empty() {
            return Err(Fault::refused(format!("plan `{}` reaches protected rows", plan.id))
                .hint("choose other roots and make a new plan"));
        }
        let Some(mut state) = env.wire.existing_state()?.filter(|_| self.run.is_none()) else {
            return Ok(());
        };
        match state.run_of_plan(&plan.digest)? {
            Some(run) => {
                Err(Fault::refused(format!("plan `{}` was already used by run `{}`", plan.id, run.id)).hint(
                    format!(
                        "see `unseed show {}`; `unseed approve {}` agrees to its restore",
                        run.id, run.id
                    ),
                ))
            }
            None => Ok(()),
        }
    }

    fn statement(&self, env: &Env<'_>, args: &ApproveArgs) -> Result<Statement, Fault> {
        let plan = self.whole.plan();
        let now_s = env.wire.now_s();
        let latest_s = now_s.saturating_add(env.wire.config.approval.valid_s_max());
        let expires_s = args.expires.as_deref().map_or(Ok(latest_s), |text| expiry(text, now_s))?;
        if expires_s <= now_s {
            return Err(Fault::usage("the approval would have expired already")
                .hint("write for example `--expires 24h`"));
        }
        let time = |seconds| wire::govern::spelled(seconds).ok_or_else(|| too_far(args.expires.as_deref()));
        Ok(Statement {
            act: self.act.clone(),
            plan: plan.id.clone(),
            digest: plan.digest.clone(),
            requester: self.asked().requester().to_owned(),
            comment: args.comment.trim().to_owned(),
            ticket: args.ticket.trim().to_owned(),
            signed_at: time(now_s)?,
            expires_at: time(expires_s.min(latest_s))?,
        })
    }
}

/// `24h`, `3d`, or a point in time.
fn expiry(text: &str, now_s: i64) -> Result<i64, Fault> {
    if let Some(at) = statement::seconds(text) {
        return Ok(at);
    }
    let unit_s = match text.chars().last() {
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some(_) | None => return Err(too_far(Some(text))),
    };
    let number: i64 = text[..text.len() - 1].parse().map_err(|_| too_far(Some(text)))?;
    number.checked_mul(unit_s).and_then(|lasts| now_s.checked_add(lasts)).ok_or_else(|| too_far(Some(text)))
}

fn too_far(text: Option<&str>) -> Fault {
    Fault::usage(format!("`--expires {}` is no time", text.unwrap_or_default()))
        .hint("write `24h`, `3d`, or a time in UTC such as `2026-11-24T00:00:00Z`")
}

fn write_statement(env: &Env<'_>, statement: &Statement, path: &Path) -> Result<Done, Fault> {
    wire::write_file(path, statement.text()?.as_bytes())?;
    let shown = path.display();
    env.ui.note(&format!("statement written to {shown}; nothing was approved yet"));
    env.ui.note(&format!(
        "next: `ssh-keygen -Y sign -f KEY -n {NAMESPACE} {shown}`, then `--signature {shown}.sig`"
    ));
    if !env.ui.is_table() {
        env.ui.json(&json!({ "format": "unseed.statement/1", "file": path, "namespace": NAMESPACE }));
    }
    Ok(Done::Success)
}

fn read_signature(signature: &Path, statement: Option<&Path>) -> Result<Approval, Fault> {
    let beside = signature.with_extension("");
    let statement = statement.unwrap_or(&beside);
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| {
            Fault::usage(format!("file `{}` cannot be read: {error}", path.display())).hint(
                "name the signature with `--signature FILE.sig` and what was signed with `--statement FILE`",
            )
        })
    };
    Ok(Approval { format: FORMAT.to_owned(), statement: read(statement)?, signature: read(signature)? })
}

fn sign(env: &Env<'_>, object: &Object, args: &ApproveArgs) -> Result<Approval, Fault> {
    let signers = env.wire.signers()?;
    let now_s = env.wire.now_s();
    let fits = |key: &str| signers.as_ref().is_none_or(|list| list.person(key, NAMESPACE, now_s).is_ok());
    let text = object.statement(env, args)?.text()?;
    let signer = env.wire.signer(args.key.as_deref(), &fits)?;
    env.ui.note(&format!("plan {} {}", object.whole.plan().id, show::in_one_line(object.whole.plan())));
    let signature = signer.sign(NAMESPACE, text.as_bytes())?;
    Ok(Approval { format: FORMAT.to_owned(), statement: text, signature })
}

/// The approval, if it will count; without a list of signers, if it is genuine.
fn weigh(env: &Env<'_>, object: &Object, approval: &Approval) -> Result<Counted, Fault> {
    let presented = [Presented { source: "this approval".to_owned(), approval: Ok(approval.clone()) }];
    let (signers, listed) = match env.wire.signers()? {
        Some(signers) => (signers, true),
        None => (only(approval)?, false),
    };
    let verdict = approvals::weigh_with(env, &object.asked(), &presented, env.wire.now_s(), &signers)?;
    if !listed {
        env.ui.note("no list of signers is configured here, so nobody looked whose key this is");
    }
    if let Some(rejected) = verdict.rejected().first() {
        return Err(Fault::refused(format!("this approval would not count: {}", rejected.why))
            .state("nothing was approved, and nothing was changed")
            .hint(
                "sign with a listed key of somebody who did not ask for it, over a statement of this plan",
            ));
    }
    Ok(verdict.into_counted().remove(0))
}

/// A list that holds the signer of this approval, by the fingerprint.
fn only(approval: &Approval) -> Result<Signers, Fault> {
    let signed = SshVerifier.verify(approval.statement.as_bytes(), &approval.signature);
    let Signed { key, fingerprint, .. } = signed.map_err(|why| {
        Fault::refused(format!("this approval would not count: {why}"))
            .state("nothing was approved, and nothing was changed")
            .hint("sign exactly the statement that `unseed approve --statement FILE` wrote")
    })?;
    Signers::parse(&format!("{fingerprint} {key}"), "signature", &|_| None)
}

fn keep(env: &Env<'_>, args: &ApproveArgs, object: &Object, counted: &Counted) -> Result<Done, Fault> {
    let plan = object.whole.plan();
    let path = args.output.clone().unwrap_or_else(|| {
        let stem = object.stem.file_name().unwrap_or_default().to_string_lossy().into_owned();
        object.stem.with_file_name(approvals::file_name(&stem, short(counted)))
    });
    let mut state = env.wire.state()?;
    let outcome = format!("{} by {} (approval {})", object.act.text(), counted.approver, counted.id);
    state.audit(&log::entry(env, "approve.plan", &plan.digest, &outcome))?;
    state.put_approval(&plan.digest, &counted.id, &counted.approval)?;
    let mut bytes =
        serde_json::to_vec_pretty(&counted.approval).expect("plain data, which JSON can always hold");
    bytes.push(b'\n');
    wire::write_file(&path, &bytes)?;
    let all = standing(env, object)?;
    let names: Vec<&str> = all.iter().map(|one| one.approver.as_str()).collect();
    if env.ui.is_table() {
        let what = match &object.act {
            Act::Purge => format!("plan {}", plan.id),
            Act::Restore { run } => format!("restoring run {run}"),
        };
        env.ui.text(&format!("{what} is approved by {} until {}", counted.approver, counted.expires_at));
        if object.required > 0 {
            let need = ui::count(u64::from(object.required));
            env.ui.text(&format!("approvals: {} of {need} ({})", names.len(), names.join(", ")));
        }
        env.ui.note(&format!("approval {} written to {}", counted.id, path.display()));
    } else {
        env.ui.json(&json!({
            "format": "unseed.approve/1", "plan": plan.id, "act": object.act.text(), "approval": counted.id,
            "approver": counted.approver, "expires_at": counted.expires_at, "file": path,
            "required": object.required, "approvers": names,
        }));
    }
    Ok(Done::Success)
}

/// The name in a file's name: the first one, or the beginning of the fingerprint.
fn short(counted: &Counted) -> &str {
    let name = counted.approver.split(',').next().unwrap_or_default();
    name.strip_prefix("SHA256:").map_or(name, |hash| hash.get(..12).unwrap_or(hash))
}

/// The approvals that count now, wherever they are.
fn standing(env: &Env<'_>, object: &Object) -> Result<Vec<Counted>, Fault> {
    let Some(signers) = env.wire.signers()? else { return Ok(Vec::new()) };
    let presented = object.presented(env)?;
    let verdict = approvals::weigh_with(env, &object.asked(), &presented, env.wire.now_s(), &signers)?;
    Ok(verdict.into_counted())
}

impl Object {
    fn presented(&self, env: &Env<'_>) -> Result<Vec<Presented>, Fault> {
        match &self.run {
            Some(run) => approvals::with_run(env, run, &[]),
            None => approvals::with_plan(env, self.whole.plan(), &self.stem.with_extension("json"), &[]),
        }
    }
}

fn revoke(env: &Env<'_>, object: &Object, whose: &str) -> Result<Done, Fault> {
    let is_id = whose.len() == 12 && whose.bytes().all(|b| b.is_ascii_hexdigit());
    let mut ids: Vec<String> = if is_id { vec![whose.to_owned()] } else { Vec::new() };
    for one in signed_by(env, object)? {
        if one.1.iter().any(|name| same_person(name, whose)) {
            ids.push(one.0);
        }
    }
    ids.sort();
    ids.dedup();
    let plan = object.whole.plan();
    if ids.is_empty() {
        return Err(Fault::usage(format!(
            "`{whose}` has not approved plan `{}`, as far as is known here",
            plan.id
        ))
        .hint("name the approver as the list of signers does, or the id of the approval"));
    }
    let mut state = env.wire.state()?;
    for id in &ids {
        let (at, actor) = (env.wire.clock.now(), env.wire.actor.clone());
        let outcome = format!("approval {id} taken back");
        state.audit(&log::entry(env, "approve.revoke", &plan.digest, &outcome))?;
        state.revoke(&Revocation { digest: plan.digest.clone(), approval: id.clone(), at, actor })?;
    }
    if env.ui.is_table() {
        env.ui.text(&format!("plan {}: taken back: {}", plan.id, ids.join(", ")));
        env.ui.note(&format!(
            "known in `{}`; whoever purges with another state has to revoke it there",
            env.wire.state_address()
        ));
    } else {
        env.ui.json(&json!({ "format": "unseed.revoke/1", "plan": plan.id, "revoked": ids }));
    }
    Ok(Done::Success)
}

/// Ids of the approvals that are known, and the names of whoever signed them, whether they count or not.
fn signed_by(env: &Env<'_>, object: &Object) -> Result<Vec<(String, Vec<String>)>, Fault> {
    let signers = env.wire.signers()?;
    let mut found = Vec::new();
    for presented in object.presented(env)? {
        let Ok(approval) = presented.approval else { continue };
        let signed = SshVerifier.verify(approval.statement.as_bytes(), &approval.signature);
        let Ok(signed) = signed else { continue };
        let person = signers.as_ref().map(|list| list.person(&signed.key, NAMESPACE, env.wire.now_s()));
        let names = match person {
            Some(Ok(person)) => person.names,
            Some(Err(_)) | None => vec![signed.fingerprint.clone()],
        };
        found.push((statement::id(&approval.statement, &signed.key), names));
    }
    Ok(found)
}
