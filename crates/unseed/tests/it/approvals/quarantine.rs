//! What approvers agreed to ends with a quarantine only where they knew of it, and did not take it back.

use super::Team;
use unseed_io::sample;

fn quarantined(team: &Team) {
    let id = team.sandbox.plan(&["--quarantine", "30d"]);
    for key in ["kim", "lee"] {
        team.approved("plan.json", key);
    }
    assert_eq!(team.purge(&id).code, Some(0));
    let sql =
        "UPDATE runs SET report = json_set(report, '$.kept.quarantine.until', '2020-01-31T00:00:00.000Z')";
    sample::change(&team.sandbox.path(".unseed/state.db"), sql).unwrap();
}

#[test]
fn a_quarantine_that_approvers_did_not_see_is_refused() {
    let team = Team::new(2);
    let id = team.sandbox.plan(&[]);
    for key in ["kim", "lee"] {
        team.approved("plan.json", key);
    }
    let answer = team.sandbox.run(&["purge", "plan.json", "--confirm", &id, "--quarantine", "30d"]);
    team.refused(&answer, "was approved without a quarantine");
    assert_eq!(team.purge(&id).code, Some(0));
}

#[test]
fn approvals_cover_the_end_of_a_quarantine() {
    let team = Team::new(2);
    quarantined(&team);
    let due = team.sandbox.run(&["purge", "--due"]);
    assert_eq!(due.code, Some(0), "{due:?}");
    let log = team.log();
    let started = log.iter().find(|entry| entry["action"] == "archive.expire").unwrap();
    let outcome = started["outcome"].as_str().unwrap();
    assert!(
        outcome.contains("approved by kim@example.org") && outcome.contains("lee@example.org"),
        "{outcome}"
    );
}

#[test]
fn an_approval_that_was_taken_back_keeps_the_rows() {
    let team = Team::new(2);
    quarantined(&team);
    let revoked = team.sandbox.run(&["approve", "plan.json", "--revoke", "kim@example.org"]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    for arguments in [&["purge", "--due"][..], &["archive", "expire", "r-1", "--confirm", "r-1"]] {
        let answer = team.sandbox.run(arguments);
        assert_eq!(answer.code, Some(3), "{answer:?}");
        assert!(answer.stderr.contains("needs the approval of 2 people and has 1"), "{answer:?}");
    }
    assert!(team.sandbox.path(".unseed/archive/r-1/restore.sql").exists());
}
