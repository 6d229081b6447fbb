//! The ways in which an approval is given: a key file, an agent, by hand; on one machine or on several.

use super::Team;
use crate::support::answer;
use std::process::{Child, Command, Stdio};

#[test]
fn two_approvals_let_a_plan_through_without_an_id() {
    let team = Team::new(2);
    team.sandbox.plan(&[]);
    team.approved("plan.json", "kim");
    team.approved("plan.json", "lee");
    let report = team.sandbox.json(0, &["purge", "plan.json"]);
    assert_eq!(report["run"], "r-1");
    let used = team.log().into_iter().find(|entry| entry["action"] == "purge.plan").unwrap();
    let outcome = used["outcome"].as_str().unwrap();
    assert!(outcome.starts_with("used by r-1, approved by kim@example.org ("), "{outcome}");
    assert!(outcome.contains(" and lee@example.org ("), "{outcome}");
}

#[test]
fn an_id_that_is_given_beside_approvals_must_be_the_right_one() {
    let team = Team::new(1);
    team.sandbox.plan(&[]);
    team.approved("plan.json", "kim");
    team.refused(&team.purge("deadbeef"), "`deadbeef` is not the id of this plan");
}

#[test]
fn an_approval_travels_as_a_file() {
    let team = Team::new(1);
    let id = team.sandbox.plan(&[]);
    let elsewhere = ["--state", "elsewhere", "-o", "sent.json"];
    assert_eq!(team.approve("plan.json", "kim", &elsewhere).code, Some(0));
    team.refused(&team.purge(&id), "needs the approval of 1 person and has none");
    team.sandbox.expect(0, &["purge", "plan.json", "--approval", "sent.json"]);
}

#[test]
fn a_signature_by_hand_is_taken_and_one_of_ours_verifies_with_openssh() {
    let team = Team::new(2);
    team.sandbox.plan(&[]);
    team.sandbox.expect(0, &["approve", "plan.json", "--comment", "by hand", "--statement", "plan.txt"]);
    team.keygen(&["-q", "-Y", "sign", "-f", "kim", "-n", "unseed-approval", "plan.txt"]);
    team.sandbox.expect(0, &["approve", "plan.json", "--signature", "plan.txt.sig"]);
    team.approved("plan.json", "lee");
    let ours: serde_json::Value =
        serde_json::from_str(&team.read("plan.approval-lee@example.org.json")).unwrap();
    team.sandbox.write("statement", ours["statement"].as_str().unwrap());
    team.sandbox.write("statement.sig", ours["signature"].as_str().unwrap());
    let verified = Command::new("ssh-keygen")
        .args([
            "-Y",
            "verify",
            "-f",
            "approvers",
            "-I",
            "lee@example.org",
            "-n",
            "unseed-approval",
            "-s",
            "statement.sig",
        ])
        .current_dir(team.sandbox.path(""))
        .stdin(std::fs::File::open(team.sandbox.path("statement")).unwrap())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    team.sandbox.expect(0, &["purge", "plan.json"]);
}

#[test]
fn a_signature_over_something_else_is_not_taken() {
    let team = Team::new(1);
    team.sandbox.plan(&[]);
    team.sandbox.expect(0, &["approve", "plan.json", "--statement", "plan.txt"]);
    team.keygen(&["-q", "-Y", "sign", "-f", "kim", "-n", "unseed-approval", "plan.txt"]);
    team.sandbox.write("plan.txt", &team.read("plan.txt").replace("comment:", "comment: more"));
    let answer = team.sandbox.run(&["approve", "plan.json", "--signature", "plan.txt.sig"]);
    team.refused(&answer, "its signature does not belong to its text");
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

#[test]
fn the_one_listed_key_of_an_agent_signs() {
    let team = Team::new(1);
    team.sandbox.plan(&[]);
    let socket = team.sandbox.path("agent");
    let _agent = Agent(
        Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap(),
    );
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        std::thread::yield_now();
    }
    let add = |key: &str| {
        let mut command = Command::new("ssh-add");
        let added =
            command.arg("-q").arg(team.sandbox.path(key)).env("SSH_AUTH_SOCK", &socket).stdin(Stdio::null());
        assert!(added.status().unwrap().success());
    };
    let approve = || answer(team.sandbox.command(&["approve", "plan.json"]).env("SSH_AUTH_SOCK", &socket));
    add("eve");
    let none = approve();
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.contains("holds no key that could sign"), "{none:?}");
    add("lee");
    assert_eq!(approve().code, Some(0));
    add("kim");
    let several = approve();
    assert_eq!(several.code, Some(2), "{several:?}");
    assert!(several.stderr.contains("holds several keys"), "{several:?}");
    team.sandbox.expect(0, &["purge", "plan.json"]);
}

#[test]
fn wrong_words_are_usage_faults() {
    let team = Team::new(1);
    team.sandbox.plan(&[]);
    for (more, says) in [
        (&["--expires", "soon"][..], "is no time"),
        (&["--expires", "2020-01-01T00:00:00Z"], "expired already"),
        (&["--comment", "two\nlines"], "line break"),
    ] {
        let answer = team.approve("plan.json", "kim", more);
        assert_eq!(answer.code, Some(2), "{answer:?}");
        assert!(answer.stderr.contains(says), "{answer:?}");
    }
    let answer = team.sandbox.run(&["approve", "plan.json", "--revoke", "sam"]);
    assert_eq!(answer.code, Some(2), "{answer:?}");
    team.sandbox.write("approvers", "*@example.org ssh-ed25519 AAAA\n");
    let answer = team.approve("plan.json", "kim", &[]);
    assert_eq!(answer.code, Some(2), "{answer:?}");
    assert!(answer.stderr.contains("`approvers` line 1: `*@example.org` is a pattern"), "{answer:?}");
}

#[test]
fn without_a_list_of_signers_a_signature_is_made_and_its_key_named() {
    let team = Team::new(1);
    team.configure("");
    team.sandbox.plan(&[]);
    let answer = team.approve("plan.json", "kim", &[]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.stdout.contains("is approved by SHA256:"), "{answer:?}");
}
