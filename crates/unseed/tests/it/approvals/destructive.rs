//! The switch and the lists of `[destructive]`.

use super::Team;
use crate::support::Sandbox;

/// Nobody has to approve here.
fn team(section: &str) -> Team {
    let team = Team { sandbox: Sandbox::new(3) };
    team.configure(&format!("[stores.main]\nurl = \"sqlite:app.db\"\n\n[destructive]\n{section}"));
    team
}

#[test]
fn what_is_not_turned_on_and_listed_is_refused() {
    for (section, says) in [
        ("", "the configuration forbids to remove anything"),
        ("enabled = false", "the configuration forbids to remove anything"),
        ("enabled = true\nroots = [\"users\"]", "rows of `tenants` may not be chosen"),
        ("enabled = true\nstores = []", "store `main` is not listed"),
    ] {
        let team = team(section);
        let id = team.sandbox.plan(&[]);
        team.refused(&team.purge(&id), says);
    }
}

#[test]
fn what_is_turned_on_and_listed_goes_through_and_the_switch_does_not_block_the_way_back() {
    let team = team("enabled = true\nroots = [\"tenants\"]\nstores = [\"main\"]");
    let id = team.sandbox.plan(&[]);
    assert_eq!(team.purge(&id).code, Some(0));
    team.configure("[destructive]\nenabled = false\n");
    team.sandbox.expect(0, &["restore", "r-1", "--confirm", "r-1"]);
    team.sandbox.assert_untouched();
}

#[test]
fn a_listed_store_is_meant_where_the_configuration_has_it() {
    let team = team("enabled = true\nstores = [\"main\"]");
    let id = team.sandbox.plan(&[]);
    std::fs::copy(team.sandbox.path("app.db"), team.sandbox.path("other.db")).unwrap();
    let elsewhere = team.sandbox.run(&["purge", "plan.json", "--confirm", &id, "--url", "other.db"]);
    team.refused(&elsewhere, "is not where the configuration has store `main`");
    let plan =
        team.sandbox.json(0, &["plan", "other.db", "--where", "tenants: id >= 100", "-o", "other.json"]);
    let id = plan["id"].as_str().unwrap();
    let elsewhere = team.sandbox.run(&["purge", "other.json", "--confirm", id]);
    team.refused(&elsewhere, "is not where the configuration has store `main`");
}
