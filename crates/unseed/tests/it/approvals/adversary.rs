//! Somebody who wants to purge without the others, or with one of them only.

use super::Team;

#[test]
fn without_approvals_an_id_is_not_enough() {
    for team in Team::both(2) {
        let id = team.sandbox.plan(&[]);
        team.refused(&team.purge(&id), "needs the approval of 2 people and has none");
        team.refused(
            &team.sandbox.run(&["purge", "plan.json"]),
            "needs the approval of 2 people and has none",
        );
        team.approved("plan.json", "kim");
        team.refused(&team.purge(&id), "needs the approval of 2 people and has 1");
    }
}

#[test]
fn another_configuration_or_state_does_not_help() {
    for team in Team::both(2) {
        let id = team.sandbox.plan(&[]);
        team.sandbox.write("lax.toml", "");
        let lax = team.sandbox.run(&["purge", "plan.json", "--confirm", &id, "--config", "lax.toml"]);
        team.refused(&lax, "names nobody who may give them");
        team.sandbox.write("own.toml", "[approval]\nrequired = 1\nallowed_signers = \"own\"\n");
        let own = format!("eve@example.org {}kim@example.org {}", team.read("eve.pub"), team.read("kim.pub"));
        team.sandbox.write("own", &own);
        assert_eq!(team.approve("plan.json", "eve", &["--config", "own.toml"]).code, Some(0));
        let own = team.sandbox.run(&["purge", "plan.json", "--confirm", &id, "--config", "own.toml"]);
        team.refused(&own, "needs the approval of 2 people and has 1");
        let state = team.sandbox.run(&["purge", "plan.json", "--confirm", &id, "--state", "other"]);
        assert_eq!(state.code, Some(3), "{state:?}");
        team.sandbox.assert_untouched();
    }
}

#[test]
fn ones_own_approval_does_not_count() {
    for team in Team::both(1) {
        let id = team.sandbox.plan(&[]);
        let answer = team.approve("plan.json", "dana", &[]);
        team.refused(&answer, "dana@example.org is `dana`, who asked for it");
        // Signed by hand instead, and put beside the plan.
        team.by_hand("dana", "unseed-approval", |text| text);
        team.refused(&team.purge(&id), "dana@example.org is `dana`, who asked for it");
    }
}

#[test]
fn an_edited_plan_is_refused_with_all_its_approvals() {
    for team in Team::both(2) {
        let id = team.sandbox.plan(&[]);
        team.approved("plan.json", "kim");
        team.approved("plan.json", "lee");
        let text = team.read("plan.json");
        team.sandbox.write("plan.json", &text.replace("\"100\"", "\"1\""));
        team.refused(&team.purge(&id), "was edited or damaged");
        team.refused(&team.approve("plan.json", "kim", &[]), "was edited or damaged");
        // Another plan under the same name, with the approvals of the first beside it.
        let other =
            team.sandbox.json(0, &["plan", "app.db", "--where", "tenants: id >= 101", "-o", "plan.json"]);
        team.refused(&team.purge(other["id"].as_str().unwrap()), "another digest");
    }
}

#[test]
fn a_plan_is_not_used_twice() {
    for team in Team::both(2) {
        let id = team.sandbox.plan(&[]);
        team.approved("plan.json", "kim");
        team.approved("plan.json", "lee");
        assert_eq!(team.purge(&id).code, Some(0));
        assert_eq!(team.approve("plan.json", "kim", &[]).code, Some(3), "a used plan is not approved again");
        std::fs::copy(team.sandbox.path("original.db"), team.sandbox.path("app.db")).unwrap();
        team.refused(&team.purge(&id), "was already used by run `r-1`");
    }
}

#[test]
fn expired_and_revoked_approvals_do_not_count() {
    for team in Team::both(1) {
        let id = team.sandbox.plan(&[]);
        team.by_hand("kim", "unseed-approval", |text| {
            let expires = text.lines().last().unwrap().to_owned();
            text.replace(&expires, "expires: 2026-01-01T00:00:00Z")
        });
        team.refused(&team.purge(&id), "it expired at 2026-01-01T00:00:00Z");
        std::fs::remove_file(team.sandbox.path("plan.approval-by-hand.json")).unwrap();
        team.approved("plan.json", "lee");
        team.sandbox.expect(0, &["approve", "plan.json", "--revoke", "lee"]);
        team.refused(&team.purge(&id), "was revoked");
        assert!(team.log().iter().any(|entry| entry["action"] == "approve.revoke"));
    }
}

#[test]
fn foreign_removed_and_early_keys_do_not_count() {
    for team in Team::both(1) {
        let id = team.sandbox.plan(&[]);
        team.refused(&team.approve("plan.json", "eve", &[]), "its key is not in the list of signers");
        team.refused(&team.approve("plan.json", "max", &[]), "its key is not valid yet");
        for (key, says) in
            [("eve", "its key is not in the list of signers"), ("max", "its key is not valid yet")]
        {
            team.by_hand(key, "unseed-approval", |text| text);
            team.refused(&team.purge(&id), says);
        }
        std::fs::remove_file(team.sandbox.path("plan.approval-by-hand.json")).unwrap();
        team.approved("plan.json", "kim");
        team.dismiss("kim");
        team.refused(&team.purge(&id), "its key is not in the list of signers");
    }
}

#[test]
fn one_person_with_two_keys_counts_once() {
    for team in Team::both(2) {
        let id = team.sandbox.plan(&[]);
        team.approved("plan.json", "kim");
        let second = team.approve("plan.json", "kim2", &["-o", "plan.approval-second.json"]);
        assert_eq!(second.code, Some(0), "{second:?}");
        assert!(second.stdout.contains("approvals: 1 of 2"), "{second:?}");
        team.refused(&team.purge(&id), "one person counts once");
    }
}

#[test]
fn signatures_over_something_else_or_for_something_else_do_not_count() {
    for team in Team::both(1) {
        let id = team.sandbox.plan(&[]);
        team.by_hand("kim", "git", |text| text);
        team.refused(&team.purge(&id), "signed for `git`");
        team.by_hand("kim", "unseed-approval", |text| text.replace("act: purge", "act: restore r-1"));
        team.refused(&team.purge(&id), "it agrees to `restore r-1`");
        team.by_hand("kim", "unseed-approval", |text| text.replace("requester: dana", "requester: lee"));
        team.refused(&team.purge(&id), "it names `lee` as requester");
        team.by_hand("kim", "unseed-approval", |text| format!("{text}\n"));
        team.refused(&team.purge(&id), "not in canonical form");
        // The text of one approval under the signature of another.
        team.by_hand("kim", "unseed-approval", |text| text);
        let file = "plan.approval-by-hand.json";
        team.sandbox.write(file, &team.read(file).replace("comment: by hand", "comment: by foot"));
        team.refused(&team.purge(&id), "its signature does not belong to its text");
        team.sandbox.write(file, "{}");
        team.refused(&team.purge(&id), "it is no approval");
    }
}

#[test]
fn what_changed_since_the_approval_stops_the_purge() {
    let protected = Team::new(1);
    let id = protected.sandbox.plan(&[]);
    protected.approved("plan.json", "kim");
    let config = protected.read("unseed.toml");
    protected.configure(&format!("{config}\n[protect]\ntenants.id = [100]\n"));
    protected.refused(&protected.purge(&id), "rows were protected since plan");

    let renamed = Team::new(1);
    let id = renamed.sandbox.plan(&[]);
    renamed.approved("plan.json", "kim");
    let database = renamed.sandbox.path("app.db");
    unseed_io::sample::change(&database, "ALTER TABLE notes RENAME TO remarks").unwrap();
    std::fs::copy(&database, renamed.sandbox.path("original.db")).unwrap();
    renamed.refused(&renamed.purge(&id), "schema has changed");
}

#[test]
fn a_run_that_stopped_does_not_go_on_when_an_approval_was_taken_back() {
    for team in Team::both(1) {
        let id = team.sandbox.plan(&["--batch-rows", "1"]);
        team.approved("plan.json", "kim");
        assert_eq!(team.purge(&id).code, Some(0));
        // As if the process had died before its last batch was journaled.
        team.sandbox.state("UPDATE runs SET state = 'stopped'");
        team.sandbox.expect(0, &["approve", "plan.json", "--revoke", "kim"]);
        let answer = team.sandbox.run(&["resume", "r-1", "--confirm", "r-1"]);
        assert_eq!(answer.code, Some(3), "{answer:?}");
        assert!(answer.stderr.contains("was revoked"), "{answer:?}");
    }
}

impl Team {
    /// What somebody signs who does not use unseed for it, and puts beside the plan.
    fn by_hand(&self, key: &str, namespace: &str, change: impl Fn(String) -> String) {
        self.sandbox.expect(0, &["approve", "plan.json", "--comment", "by hand", "--statement", "said"]);
        let text = change(self.read("said"));
        self.sandbox.write("said", &text);
        drop(std::fs::remove_file(self.sandbox.path("said.sig")));
        self.keygen(&["-q", "-Y", "sign", "-f", key, "-n", namespace, "said"]);
        let approval = serde_json::json!({
            "format": "unseed.approval/1", "statement": text, "signature": self.read("said.sig"),
        });
        self.sandbox.write("plan.approval-by-hand.json", &approval.to_string());
    }
}
