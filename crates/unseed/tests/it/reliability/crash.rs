//! The real binary is killed in a purge, in the resumes of it and in the restore, again and again.
//!
//! `UNSEED_STEPS=1` kills at every step there is, and
//! `UNSEED_SEED=17 UNSEED_CASES=1 cargo test -p unseed --test it reliability::crash` repeats the case of seed 17.

use super::scene::{DOCUMENTS, ROWS, SHOPS, Scene, UNINDEXED, When};
use crate::lab::Lab;
use crate::property::number;
use std::time::Duration;
use unseed_testkit::random::Dice;
use unseed_testkit::server::Postgres;

/// Cases of each test unless the environment says otherwise.
const CASES_DEFAULT: u64 = 2;

/// Kills of the step by step test: one at every so many writes to the state.
const STRIDE_DEFAULT: u64 = 9;

fn shops(lab: Lab<'static>) -> Scene {
    Scene::new(lab, "tenants: id > 4", &["--batch-rows", "150"])
}

fn shops_on_postgres() -> Lab<'static> {
    Lab::postgres(&format!("{SHOPS}{ROWS}"))
}

fn shops_on_sqlite() -> Lab<'static> {
    Lab::sqlite(&format!("{SHOPS}{ROWS}"))
}

fn shops_on_mariadb() -> Lab<'static> {
    Lab::mariadb(&format!("SET sql_mode = 'PIPES_AS_CONCAT'; {SHOPS}{ROWS}"))
}

fn server() -> &'static Postgres {
    Postgres::shared().unwrap()
}

#[test]
fn a_purge_killed_at_any_instant_loses_nothing_on_the_fast_path() {
    check(&shops(shops_on_postgres()));
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
    check(&shops(shops_on_sqlite()));
}

#[test]
fn a_purge_of_postgresql_with_its_state_on_a_server_loses_nothing_at_any_instant() {
    check(&shops(shops_on_postgres().with_state_on(server())));
}

#[test]
fn a_purge_of_sqlite_with_its_state_on_a_server_loses_nothing_at_any_instant() {
    check(&shops(shops_on_sqlite().with_state_on(server())));
}

#[test]
fn a_purge_killed_at_each_step_loses_nothing() {
    steps(&shops(shops_on_postgres()), 0);
    steps(&shops(shops_on_sqlite()), 1);
}

#[test]
fn a_purge_with_its_state_on_a_server_killed_at_each_step_loses_nothing() {
    steps(&shops(shops_on_postgres().with_state_on(server())), 2);
    steps(&shops(shops_on_sqlite().with_state_on(server())), 3);
}

/// Kills a purge at its writes to the state, one after the other.
fn steps(scene: &Scene, first: u64) {
    let stride = usize::try_from(number("UNSEED_STEPS", STRIDE_DEFAULT)).unwrap();
    let skipped = if stride == 1 { 0 } else { first };
    for step in (1 + skipped..=scene.writes).step_by(stride) {
        let id = scene.plan();
        let run = format!("r-{}", scene.runs() + 1);
        let purge = ["purge", "plan.json", "--confirm", &id];
        let (status, writes) = scene.killed(&purge, When::Writes(step));
        let context = format!("{run} killed at write {step} of {} (seen {writes}, {status})", scene.writes);
        let audit = scene.lab.run(&["audit", "verify"]);
        assert_eq!(audit.code, Some(0), "{context}: a kill looks like a cut: {audit:?}");
        match scene.state_of(&run).as_deref() {
            None => drop(scene.lab.json(0, &purge)),
            Some("running" | "stopped") => drop(scene.lab.json(0, &["resume", &run, "--confirm", &run])),
            Some(_) => {}
        }
        scene.assert_purged(&run, &context);
        scene.restore(&run, &context);
    }
}

#[test]
fn a_purge_killed_at_any_instant_loses_nothing_on_mariadb() {
    check(&shops(shops_on_mariadb()));
}

#[test]
fn a_purge_killed_at_any_instant_loses_nothing_on_mariadb_with_checks_on() {
    check(&Scene::new(shops_on_mariadb(), "tenants: id > 4", &["--batch-rows", "150", "--path", "checked"]));
}

#[test]
fn a_purge_of_mariadb_killed_at_each_step_loses_nothing() {
    steps(&shops(shops_on_mariadb()), 4);
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
