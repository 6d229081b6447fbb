//! `unseed audit`: tampering with the real state database is found by the real binary.

use super::Team;
use serde_json::Value;

/// Two logs of a purge, anchored and signed by lee: in a file, and on a server.
fn logged() -> [Team; 2] {
    Team::both(0).map(|team| {
        let config = "[approval]\nallowed_signers = \"approvers\"\n\n[audit]\nanchor = \"anchor\"\ncheckpoint_key = \"lee\"\n";
        team.configure(config);
        let id = team.sandbox.plan(&[]);
        assert_eq!(team.purge(&id).code, Some(0));
        team
    })
}

/// Who can write the state can also drop its triggers.
fn tamper(team: &Team, sql: &str) {
    let open = match team.sandbox.state_database() {
        None => {
            "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_shortened; DROP TRIGGER checkpoints_are_never_removed"
        }
        Some(_) => "ALTER TABLE audit DISABLE TRIGGER ALL; ALTER TABLE checkpoints DISABLE TRIGGER ALL",
    };
    team.sandbox.state(&format!("{open}; {sql}"));
}

#[track_caller]
fn found(team: &Team) -> Vec<String> {
    let report = team.sandbox.json(1, &["audit", "verify"]);
    assert_eq!(report["intact"], false);
    let ids = report["findings"].as_array().unwrap().iter();
    ids.map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_log_that_nobody_touched_is_intact_anchored_and_signed() {
    for team in logged() {
        let report = team.sandbox.json(0, &["audit", "verify"]);
        assert_eq!((&report["intact"], &report["findings"]), (&true.into(), &Value::Array(Vec::new())));
        assert_eq!((&report["anchored"], &report["signed"]), (&report["entries"], &report["entries"]));
        assert_eq!(report["signer"], "lee@example.org");
        let text = team.sandbox.expect(0, &["audit", "verify"]);
        assert!(text.contains("by lee@example.org"), "{text}");
        let actions: Vec<Value> = team.log().into_iter().map(|entry| entry["action"].clone()).collect();
        let expected = [
            "audit.anchor",
            "purge.plan",
            "purge.run",
            "purge.batch",
            "purge.batch",
            "purge.run",
            "audit.checkpoint",
        ];
        assert_eq!(actions, expected);
    }
}

#[test]
fn edits_moves_insertions_cuts_and_removal_are_found() {
    for (sql, id) in [
        ("UPDATE audit SET actor = 'kim' WHERE sequence = 3", "chain"),
        (
            "UPDATE audit SET sequence = 99 WHERE sequence = 3; UPDATE audit SET sequence = 3 WHERE sequence = 4; UPDATE audit SET sequence = 4 WHERE sequence = 99",
            "chain",
        ),
        (
            "INSERT INTO audit SELECT 8, at, actor, action, object, outcome, hash FROM audit WHERE sequence = 7",
            "chain",
        ),
        ("DELETE FROM audit WHERE sequence = 3", "gap"),
        ("DELETE FROM audit WHERE sequence > 4; UPDATE issued SET number = 4", "cut"),
        ("DELETE FROM audit; UPDATE issued SET number = 0", "cut"),
    ] {
        for team in logged() {
            tamper(&team, sql);
            assert!(found(&team).contains(&id.to_owned()), "{sql}");
            let answer = team.sandbox.run(&["audit", "verify"]);
            assert_eq!(answer.code, Some(1));
            assert!(answer.stderr.contains("error: the audit log is not what was written"), "{answer:?}");
        }
    }
}

#[test]
fn the_signature_alone_finds_a_cut_and_the_runs_find_a_removed_log() {
    for team in logged() {
        team.configure("[approval]\nallowed_signers = \"approvers\"\n");
        tamper(&team, "DELETE FROM audit WHERE sequence > 4; UPDATE issued SET number = 4");
        assert_eq!(found(&team), ["checkpoint"]);
        team.sandbox.state("DELETE FROM audit; DELETE FROM checkpoints; UPDATE issued SET number = 0");
        assert_eq!(found(&team), ["run"]);
    }
}

#[test]
fn a_state_folder_that_is_gone_is_found_by_its_anchor() {
    for team in logged() {
        match team.sandbox.state_database() {
            None => std::fs::remove_dir_all(team.sandbox.path(".unseed")).unwrap(),
            Some(_) => drop(team.sandbox.state("DROP SCHEMA unseed CASCADE")),
        }
        assert!(found(&team).contains(&"cut".to_owned()));
    }
}

#[test]
fn a_plan_is_not_used_again_with_another_state_folder_under_the_same_anchor() {
    for team in logged() {
        std::fs::copy(team.sandbox.path("original.db"), team.sandbox.path("app.db")).unwrap();
        let answer = team.sandbox.run(&["show", "plan.json", "--format", "json"]);
        let plan: Value = serde_json::from_str(&answer.stdout).unwrap();
        let id = plan["id"].as_str().unwrap();
        let again = team.sandbox.run(&["purge", "plan.json", "--confirm", id, "--state", "fresh"]);
        assert_eq!(again.code, Some(3), "{again:?}");
        assert!(again.stderr.contains("the state folder is another one"), "{again:?}");
        team.sandbox.assert_untouched();
    }
}

#[test]
fn a_lost_anchor_is_found_even_after_it_was_begun_again() {
    for team in logged() {
        std::fs::remove_file(team.sandbox.path("anchor")).unwrap();
        assert!(found(&team).contains(&"anchor-lost".to_owned()));
        team.sandbox.expect(0, &["verify", "r-1"]);
        assert!(found(&team).contains(&"anchor-lost".to_owned()));
    }
}

#[test]
fn a_checkpoint_of_somebody_else_does_not_count() {
    for team in logged() {
        let refused = team.sandbox.run(&["audit", "checkpoint", "--key", "eve"]);
        assert_eq!(refused.code, Some(3), "{refused:?}");
        team.sandbox.expect(0, &["audit", "checkpoint", "--key", "kim"]);
        team.dismiss("kim");
        assert_eq!(found(&team), ["checkpoint"]);
    }
}

#[test]
fn commands_at_the_same_time_leave_one_chain() {
    for team in logged() {
        let verify = || {
            let mut command = team.sandbox.command(&["verify", "r-1"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
        };
        for mut child in [verify(), verify(), verify()] {
            child.wait().unwrap();
        }
        let report = team.sandbox.json(0, &["audit", "verify"]);
        assert_eq!(report["anchored"], report["entries"]);
    }
}

#[test]
fn an_anchor_that_cannot_be_written_stops_a_purge_before_it_begins() {
    let team = Team::new(0);
    team.configure("[audit]\nanchor = \"missing/anchor\"\n");
    let id = team.sandbox.plan(&[]);
    let answer = team.purge(&id);
    assert_eq!(answer.code, Some(4), "{answer:?}");
    assert!(answer.stderr.contains("anchor `") && answer.stderr.contains("cannot be written"), "{answer:?}");
    team.sandbox.assert_untouched();
    team.configure("");
    assert_eq!(team.purge(&id).code, Some(0), "the plan is still good");
}
