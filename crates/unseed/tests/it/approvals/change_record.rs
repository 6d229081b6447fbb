//! The change record of a run.

use super::Team;

#[test]
fn a_change_record_says_who_asked_who_agreed_what_left_and_where_it_is_kept() {
    let team = Team::new(2);
    let id = team.sandbox.plan(&[]);
    team.approved("plan.json", "kim");
    team.approved("plan.json", "lee");
    let mut purge = team.sandbox.command(&["purge", "plan.json", "--confirm", &id]);
    assert!(purge.env("USER", "olga").output().unwrap().status.success());
    team.sandbox.expect(0, &["verify", "r-1"]);
    let record = team.sandbox.json(0, &["show", "r-1", "--change-record"]);
    assert_eq!(record["format"], "unseed.change-record/1");
    assert_eq!((&record["requester"], &record["operator"]), (&"dana".into(), &"olga".into()));
    let names: Vec<&str> =
        record["approvers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["kim@example.org", "lee@example.org"]);
    assert_eq!(record["tickets"], serde_json::json!(["https://tickets.example.org/7"]));
    assert_eq!(record["targets"][0]["keys"], serde_json::json!([["100"], ["101"], ["102"]]));
    assert_eq!(record["removed"]["users"]["deleted"], 6);
    for file in record["artefacts"].as_array().unwrap() {
        let path = team.sandbox.path(file["file"].as_str().unwrap());
        let hash = blake3::hash(&std::fs::read(path).unwrap()).to_hex();
        assert_eq!(file["hash"], format!("blake3:{hash}"));
        assert_eq!(file["owner"], "olga");
    }
    let markdown = team.sandbox.expect(0, &["show", "r-1", "--change-record"]);
    for says in [
        "# Change record of run r-1\n",
        "- **Requester**: dana\n- **Operator**: olga\n- **Approvals**: 2 of 2 required\n",
        "- **Tickets**: https://tickets.example.org/7\n",
        "| kim@example.org | ",
        "- id = 100\n",
        "| tenants | 5 | 3 | 0 | 2 |\n",
        "nothing remains",
        "manifest.json | olga | ",
        "| purge.plan | used by r-1, approved by kim@example.org",
    ] {
        assert!(markdown.contains(says), "`{says}` is not in:\n{markdown}");
    }
}

#[test]
fn a_run_without_approvals_has_a_record_and_a_plan_has_none() {
    let team = Team::new(0);
    let id = team.sandbox.plan(&[]);
    assert_eq!(team.purge(&id).code, Some(0));
    let markdown = team.sandbox.expect(0, &["show", "r-1", "--change-record"]);
    assert!(markdown.contains("- **Approvals**: none were asked for"), "{markdown}");
    team.sandbox.expect(2, &["show", "plan.json", "--change-record"]);
}
