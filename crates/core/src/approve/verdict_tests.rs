//! Which approvals count, on plain values and with signatures that are taken at their word.

use super::*;
use crate::approve::{Gate, Given, confirm, confirm_run};
use crate::config::Approvals;
use crate::fault::Category;
use crate::keys::WholePlan;
use crate::plan::Path;
use crate::policy::{PlannedApprovals, Policy};
use crate::port::sign::Signed;
use crate::run::{Consent, Run, RunState};

/// An empty plan by dana.
pub(crate) fn plan() -> Plan {
    Plan {
        format: crate::plan::FORMAT.to_owned(),
        id: String::new(),
        digest: String::new(),
        created_at: String::new(),
        created_by: "dana".to_owned(),
        stores: Vec::new(),
        path: Path::Checked,
        path_reason: String::new(),
        batch_rows_max: 10,
        policy: Policy::default(),
        roots: Vec::new(),
        steps: Vec::new(),
        build_indexes: crate::plan::BuildIndexes::Auto,
        indexes: Vec::new(),
        warnings: Vec::new(),
        conflicts: Vec::new(),
        legs: Vec::new(),
        leg_of: None,
    }
    .sealed()
}

fn run(plan: &Plan) -> Run {
    Run {
        id: "r-1".to_owned(),
        plan: plan.id.clone(),
        plan_digest: plan.digest.clone(),
        state: RunState::Done,
        started_at: String::new(),
        finished_at: None,
        actor: "dana".to_owned(),
        consent: Consent::Id,
        batches_total: 0,
        report: serde_json::Value::Null,
    }
}

/// The signature is `NAMESPACE KEY`.
struct AtItsWord;

impl Verifier for AtItsWord {
    fn verify(&self, _message: &[u8], armored: &str) -> Result<Signed, String> {
        let (namespace, key) = armored.split_once(' ').ok_or("it is no signature")?;
        Ok(Signed {
            key: key.to_owned(),
            fingerprint: format!("SHA256:{key}"),
            namespace: namespace.to_owned(),
        })
    }
}

const SIGNERS: &str = "kim@example.org ssh-rsa AAAAkim\nKIM@example.org ssh-rsa AAAAkim2\nlee ssh-rsa AAAAlee\n\
    dana@example.org ssh-rsa AAAAdana\nmax valid-after=20270101Z ssh-rsa AAAAmax\n";
const NOW: &str = "2026-11-21T12:00:00Z";

fn statement(plan: &Plan) -> Statement {
    Statement {
        act: Act::Purge,
        plan: plan.id.clone(),
        digest: plan.digest.clone(),
        requester: "dana".to_owned(),
        comment: "read it".to_owned(),
        ticket: "https://tickets.example.org/7".to_owned(),
        signed_at: "2026-11-21T11:00:00Z".to_owned(),
        expires_at: "2026-11-22T11:00:00Z".to_owned(),
    }
}

fn by(key: &str, statement: &Statement) -> Presented {
    let approval = Approval {
        format: FORMAT.to_owned(),
        statement: statement.text().unwrap(),
        signature: format!("{NAMESPACE} ssh-rsa {key}"),
    };
    Presented { source: key.to_owned(), approval: Ok(approval) }
}

fn weighed(plan: &Plan, required: u32, presented: &[Presented]) -> Verdict {
    judged(plan, Act::Purge, required, presented, &BTreeSet::new())
}

fn judged(
    plan: &Plan,
    act: Act,
    required: u32,
    presented: &[Presented],
    revoked: &BTreeSet<String>,
) -> Verdict {
    let signers = Signers::parse(SIGNERS, "approvers", &|local| Some(local)).unwrap();
    let question = Question {
        plan,
        act,
        requester: "dana",
        barred: vec!["dana"],
        required,
        signers: &signers,
        revoked,
        valid_s_max: 168 * 3_600,
        now_s: statement::seconds(NOW).unwrap(),
    };
    weigh(&question, presented, &AtItsWord)
}

#[track_caller]
fn rejected(presented: &Presented, says: &str) {
    let plan = plan();
    let verdict = weighed(&plan, 1, std::slice::from_ref(presented));
    assert!(!verdict.is_enough(), "counted: {:?}", verdict.counted());
    assert!(verdict.rejected()[0].why.contains(says), "{}", verdict.rejected()[0].why);
}

#[test]
fn two_people_are_enough_and_are_kept_with_what_they_said() {
    let plan = plan();
    let both = [by("AAAAkim", &statement(&plan)), by("AAAAlee", &statement(&plan))];
    assert!(!weighed(&plan, 2, &both[..1]).is_enough());
    let verdict = weighed(&plan, 2, &both);
    assert!(verdict.is_enough() && verdict.rejected().is_empty());
    assert_eq!(verdict.counted()[0].approver, "kim@example.org");
    assert_eq!(verdict.counted()[0].ticket, "https://tickets.example.org/7");
}

#[test]
fn one_person_counts_once_whatever_the_number_of_keys_and_copies() {
    let plan = plan();
    let said = statement(&plan);
    let copies = [by("AAAAkim", &said), by("AAAAkim", &said)];
    let verdict = weighed(&plan, 2, &copies);
    assert_eq!((verdict.counted().len(), verdict.rejected().len()), (1, 0));
    let keys = [by("AAAAkim", &said), by("AAAAkim2", &said)];
    let verdict = weighed(&plan, 2, &keys);
    assert!(!verdict.is_enough() && verdict.rejected()[0].why.contains("one person counts once"));
    let again = Statement { comment: "again".to_owned(), ..said.clone() };
    assert!(!weighed(&plan, 2, &[by("AAAAkim", &said), by("AAAAkim", &again)]).is_enough());
}

#[test]
fn what_does_not_fit_does_not_count() {
    let plan = plan();
    let said = statement(&plan);
    let altered = |change: fn(&mut Approval)| {
        let mut presented = by("AAAAkim", &statement(&super::tests::plan()));
        change(presented.approval.as_mut().unwrap());
        presented
    };
    rejected(&altered(|a| a.signature = "git ssh-rsa AAAAkim".to_owned()), "signed for `git`");
    rejected(&altered(|a| a.signature = "nothing".to_owned()), "no signature");
    rejected(&altered(|a| a.format = "unseed.approval/2".to_owned()), "unseed.approval/2");
    rejected(&altered(|a| a.statement.push('\n')), "canonical");
    let none = Presented { source: "file".to_owned(), approval: Err("it is no JSON".to_owned()) };
    rejected(&none, "it is no JSON");
    rejected(&by("AAAAeve", &said), "not in the list of signers");
    rejected(&by("AAAAmax", &said), "not valid yet");
    rejected(&by("AAAAdana", &said), "who asked for it");
    let other = |change: fn(&mut Statement)| {
        let mut said = statement(&super::tests::plan());
        change(&mut said);
        by("AAAAkim", &said)
    };
    rejected(&other(|s| s.digest = "blake3:00".to_owned()), "another digest");
    rejected(&other(|s| s.act = Act::Restore { run: "r-1".to_owned() }), "agrees to `restore r-1`");
    rejected(&other(|s| s.requester = "eve".to_owned()), "names `eve` as requester");
    rejected(&other(|s| s.expires_at = NOW.to_owned()), "expired");
    rejected(&other(|s| s.signed_at = "2026-11-21T12:05:01Z".to_owned()), "in the future");
    rejected(&other(|s| s.signed_at = "2026-11-14T12:00:00Z".to_owned()), "more than 168 hours ago");
}

#[test]
fn a_revoked_approval_does_not_count_and_a_new_one_does() {
    let plan = plan();
    let said = statement(&plan);
    let first = weighed(&plan, 1, &[by("AAAAkim", &said)]).into_counted().remove(0);
    let revoked = BTreeSet::from([first.id]);
    let verdict = judged(&plan, Act::Purge, 1, &[by("AAAAkim", &said)], &revoked);
    assert!(verdict.rejected()[0].why.contains("was revoked"));
    let anew = Statement { signed_at: "2026-11-21T11:30:00Z".to_owned(), ..said };
    assert!(judged(&plan, Act::Purge, 1, &[by("AAAAkim", &anew)], &revoked).is_enough());
}

#[test]
fn accounts_and_addresses_of_one_person_are_recognised() {
    for (one, other, same) in [
        ("dana", "Dana@example.org", true),
        ("dana@a.org", "dana@a.org", true),
        ("dana@a.org", "dana@b.org", false),
        ("dana", "dan", false),
    ] {
        assert_eq!(same_person(one, other), same, "{one} {other}");
    }
}

fn two() -> Approvals {
    Approvals { required: 2, ..Approvals::default() }
}

#[test]
fn an_id_is_enough_only_where_nobody_has_to_sign() {
    let whole = WholePlan::seal(plan(), Vec::new(), 0);
    let id = whole.plan().id.clone();
    let gate = Gate::of(&Approvals::default(), whole.plan());
    assert!(confirm(whole.clone(), &gate, Given::Id(&id)).is_ok());
    assert_eq!(confirm(whole.clone(), &gate, Given::Id("7")).unwrap_err().category, Category::Refused);
    let none = weighed(whole.plan(), 0, &[]);
    assert!(confirm(whole.clone(), &gate, Given::Approvals(none, None)).is_err(), "no id, no signature");
    let gate = Gate::of(&two(), whole.plan());
    let fault = confirm(whole, &gate, Given::Id(&id)).unwrap_err();
    assert!(fault.message.contains("needs the approval of 2 people and has none"), "{}", fault.message);
}

#[test]
fn a_verdict_that_asked_for_less_is_not_enough() {
    let whole = WholePlan::seal(plan(), Vec::new(), 0);
    let lax = weighed(whole.plan(), 1, &[by("AAAAkim", &statement(whole.plan()))]);
    let gate = Gate::of(&two(), whole.plan());
    let fault = confirm(whole, &gate, Given::Approvals(lax, None)).unwrap_err();
    assert!(fault.message.contains("2 people and has 1"), "{}", fault.message);
}

#[test]
fn a_plan_made_under_approval_needs_it_under_any_configuration() {
    let mut strict = plan();
    strict.policy.approvals = PlannedApprovals { purge: 2, restore: 1 };
    let gate = Gate::of(&Approvals::default(), &strict.sealed());
    assert_eq!(gate.required(&Act::Purge), 2);
    assert_eq!(gate.required(&Act::Restore { run: "r-1".to_owned() }), 1);
}

#[test]
fn consent_to_one_act_is_none_to_another() {
    let whole = WholePlan::seal(plan(), Vec::new(), 0);
    let (run, gate) = (run(whole.plan()), Gate::default());
    let restore = Act::Restore { run: "r-1".to_owned() };
    let confirmed = confirm_run(run.clone(), whole.clone(), &gate, Act::Purge, Given::Id("r-1")).unwrap();
    assert!(confirmed.is_for(&Act::Purge).is_ok());
    assert_eq!(confirmed.is_for(&restore).unwrap_err().category, Category::Refused);
    let other = Act::Restore { run: "r-2".to_owned() };
    assert!(confirm_run(run.clone(), whole.clone(), &gate, other, Given::Id("r-1")).is_err());
    let mut elsewhere = run;
    elsewhere.plan_digest = "blake3:00".to_owned();
    assert!(confirm_run(elsewhere, whole, &gate, restore, Given::Id("r-1")).is_err());
}
