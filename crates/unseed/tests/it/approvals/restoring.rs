//! A restore changes production too, so it needs approvals of its own.

use super::Team;

fn purged(required: u32) -> Team {
    let team = Team::new(required);
    let id = team.sandbox.plan(&[]);
    for key in ["kim", "lee"] {
        team.approved("plan.json", key);
    }
    assert_eq!(team.purge(&id).code, Some(0));
    team
}

#[test]
fn a_restore_needs_approvals_of_its_own() {
    let team = purged(2);
    let restore = || team.sandbox.run(&["restore", "r-1", "--confirm", "r-1"]);
    let refused = restore();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("restoring run `r-1` needs the approval of 2 people"), "{refused:?}");
    assert!(refused.stderr.contains("it agrees to `purge`"), "{refused:?}");
    assert_eq!(team.sandbox.count("tenants"), 2, "nothing was put back");
    team.approved("r-1", "kim");
    let own = team.approve("r-1", "dana", &[]);
    assert_eq!(own.code, Some(3), "dana purged it: {own:?}");
    team.approved("r-1", "lee");
    let mut by_lee = team.sandbox.command(&["restore", "r-1", "--confirm", "r-1"]);
    let own = crate::support::answer(by_lee.env("USER", "lee"));
    assert_eq!(own.code, Some(3), "lee approved it: {own:?}");
    assert_eq!(restore().code, Some(0));
    team.sandbox.assert_untouched();
    let started = team.log().into_iter().rfind(|entry| entry["action"] == "restore.run");
    assert_eq!(started.unwrap()["outcome"], "committed");
}

#[test]
fn a_team_may_ask_for_fewer_approvals_of_a_restore() {
    let team = purged(2);
    let config = team.read("unseed.toml");
    team.configure(&format!("{config}required_for_restore = 0\n"));
    let answer = team.sandbox.run(&["restore", "r-1", "--confirm", "r-1"]);
    assert_eq!(answer.code, Some(3), "the plan was made under 2: {answer:?}");

    let team = Team::new(1);
    let config = team.read("unseed.toml");
    team.configure(&format!("{config}required_for_restore = 0\n"));
    let id = team.sandbox.plan(&[]);
    team.approved("plan.json", "kim");
    assert_eq!(team.purge(&id).code, Some(0));
    team.sandbox.expect(0, &["restore", "r-1", "--confirm", "r-1"]);
    team.sandbox.assert_untouched();
}
