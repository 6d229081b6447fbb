//! The real binary is killed in a purge, in the resumes of it and in the restore, again and again.
//!
//! `UNSEED_SEED=17 UNSEED_CASES=1 cargo test -p unseed --test it reliability::crash` repeats the case of seed 17.

use super::scene::{DOCUMENTS, ROWS, SHOPS, Scene, UNINDEXED, When};
use crate::lab::Lab;
use crate::property::number;
use std::time::Duration;
use unseed_testkit::random::Dice;

/// Cases of each test unless the environment says otherwise.
const CASES_DEFAULT: u64 = 2;

#[test]
fn a_purge_killed_at_any_instant_loses_nothing_on_the_fast_path() {
    let lab = Lab::postgres(&format!("{SHOPS}{ROWS}"));
    check(&Scene::new(lab, "tenants: id > 4", &["--path", "fast", "--batch-rows", "150"]));
}

#[test]
fn a_purge_killed_at_any_instant_loses_nothing_where_checks_are_off() {
    check(&Scene::new(
        Lab::postgres(DOCUMENTS),
        "tenants: id > 1",
        &["--path", "fast", "--batch-rows", "3500"],
    ));
}

#[test]
fn a_purge_killed_at_any_instant_loses_nothing_with_checks_on() {
    check(&Scene::new(Lab::postgres(UNINDEXED).owned(), "tenants: id > 1", &["--batch-rows", "2500"]));
}

#[test]
fn a_purge_killed_at_any_instant_loses_nothing_on_sqlite() {
    let lab = Lab::sqlite(&format!("{SHOPS}{ROWS}"));
    check(&Scene::new(lab, "tenants: id > 4", &["--batch-rows", "150"]));
}

#[test]
fn a_purge_killed_at_any_instant_loses_nothing_on_mariadb() {
    let lab = Lab::mariadb(&format!("SET sql_mode = 'PIPES_AS_CONCAT'; {SHOPS}{ROWS}"));
    check(&Scene::new(lab, "tenants: id > 4", &["--batch-rows", "150"]));
}

fn check(scene: &Scene) {
    let (first, count) = (number("UNSEED_SEED", 0), number("UNSEED_CASES", CASES_DEFAULT));
    for seed in first..first + count {
        case(scene, seed);
    }
}

/// Half of the kills follow a write to the journal, the others the clock.
fn instant(scene: &Scene, dice: &mut Dice) -> When {
    if dice.chance(50) {
        return When::Writes(1 + dice.below(scene.writes));
    }
    let took = u64::try_from(scene.took.as_micros()).unwrap();
    When::After(Duration::from_micros(dice.below(took)))
}

fn case(scene: &Scene, seed: u64) {
    let mut dice = Dice::new(seed);
    let id = scene.plan();
    let run = format!("r-{}", scene.runs() + 1);
    let mut context = format!("seed {seed}: {run}");
    let (purge, resume) = (["purge", "plan.json", "--confirm", &id], ["resume", &run, "--confirm", &run]);
    for crash in 0..=dice.below(3) {
        let when = instant(scene, &mut dice);
        let command: &[&str] = match scene.state_of(&run).as_deref() {
            None => &purge,
            Some("running" | "stopped") => &resume,
            Some(_) => break,
        };
        let (status, writes) = scene.killed(command, when);
        context.push_str(&format!("; {} killed {when:?} after {writes} writes ({status})", command[0]));
        assert!(crash == 0 || status.code().is_none_or(|code| code == 0), "{context}");
    }
    let goes_on = !dice.chance(15);
    match scene.state_of(&run).as_deref() {
        None => drop(scene.lab.json(0, &purge)),
        Some("running" | "stopped") if goes_on => drop(scene.lab.json(0, &resume)),
        Some(_) => {}
    }
    if scene.state_of(&run).as_deref() == Some("done") {
        scene.assert_purged(&run, &context);
    }
    if dice.chance(50) {
        let when = instant(scene, &mut dice);
        let (status, _) = scene.killed(&["restore", &run, "--confirm", &run], when);
        context.push_str(&format!("; restore killed {when:?} ({status})"));
    }
    scene.restore(&run, &context);
}
