//! Crash loops: stop at every step, go on, and end as if nothing had happened.

use crate::world::{World, choices, lenient};
use unseed_core::keys::WholePlan;
use unseed_core::port::state::StateDb;
use unseed_core::run::{BatchState, RunState};
use unseed_engine::restore::Scope;
use unseed_testkit::memory::{FaultStore, Fuse, MemStore, Moment};
use unseed_testkit::oracle::{self, Expected};
use unseed_testkit::random::{self, Case};

/// Steps after which no case is still at work.
const STEPS_MAX: u64 = 2_000;

fn planned(case: &Case, batch_rows_max: u64) -> (World, WholePlan) {
    let world = World::of(case);
    let whole = world.plan(choices(case), &lenient(), batch_rows_max);
    (world, whole.unwrap_or_else(|fault| panic!("seed {}: {fault:?}", case.seed)))
}

/// Rows are where they must be, and each removed one is archived exactly once in committed batches.
#[track_caller]
fn assert_purged(world: &World, expected: &Expected, context: &str) {
    assert_eq!(oracle::differences(expected, &world.db), Vec::<String>::new(), "{context}");
    assert_eq!(world.archived(), expected.removed, "{context}: rows = archive + survivors");
    let batches = world.state.clone().batches("r-1").expect("the state is in memory");
    let committed = batches.iter().filter(|batch| batch.state == BatchState::Committed);
    let claimed: Vec<u64> = committed.map(|batch| batch.number).collect();
    assert_eq!(world.archive.batch_numbers("r-1"), claimed, "{context}: every segment is claimed");
    let log = world.state.audit_lines();
    for batch in &batches {
        let outcome = if batch.state == BatchState::Committed { "committed" } else { "rolled back" };
        let line = format!("purge.batch r-1/{} {outcome}", batch.number);
        assert!(log.iter().any(|known| known.starts_with(&line)), "{context}: {line} is not in {log:#?}");
    }
}

#[track_caller]
fn assert_restored(world: &World, whole: &WholePlan, context: &str) {
    let restored = world.restore(whole, &Scope::Everything);
    let restored = restored.unwrap_or_else(|fault| panic!("{context}: {fault:?}"));
    assert_eq!(restored.conflicts, [], "{context}");
    assert_eq!(world.db.content(), world.before, "{context}: a restore gives back the original");
    assert_eq!(world.run_state(), RunState::Restored, "{context}");
}

#[test]
fn purge_removes_what_the_oracle_says_and_restore_gives_it_back() {
    for seed in 0..2_500 {
        let case = random::case(seed);
        let expected = oracle::expect(&case);
        let (world, whole) = planned(&case, 1 + seed % 7);
        let context = format!("seed {seed}");
        assert_eq!(usize::try_from(whole.plan().rows_deleted()), Ok(expected.removed_count()), "{context}");
        let report = world.purge(&whole).unwrap_or_else(|fault| panic!("{context}: {fault:?}"));
        assert_purged(&world, &expected, &context);
        assert_eq!((report.retries, report.batches.done), (0, report.batches.total), "{context}");
        let verified = world.verify(&whole).unwrap_or_else(|fault| panic!("{context}: {fault:?}"));
        assert_eq!(unseed_engine::verify::fault(&verified), None, "{context}");
        assert_restored(&world, &whole, &context);
    }
}

#[test]
fn sqlite_sees_the_same_rules_without_match_full_and_partitions() {
    for seed in 0..500 {
        let case = random::case(seed).for_sqlite();
        let expected = oracle::expect(&case);
        let (world, whole) = planned(&case, 3);
        world.purge(&whole).unwrap_or_else(|fault| panic!("seed {seed}: {fault:?}"));
        assert_purged(&world, &expected, &format!("seed {seed}"));
    }
}

/// A case of some size: several batches, detached rows.
fn interesting() -> impl Iterator<Item = Case> {
    (0..400).map(random::case).filter(|case| {
        let expected = oracle::expect(case);
        expected.removed_count() > 8 && !expected.detached.is_empty()
    })
}

#[test]
fn purge_resumes_after_a_crash_in_any_step() {
    for case in interesting().take(5) {
        let expected = oracle::expect(&case);
        for moment in [Moment::Before, Moment::After] {
            let steps = (1..STEPS_MAX).take_while(|step| !crash_and_resume(&case, &expected, *step, moment));
            assert!(steps.count() > 30, "seed {}: the purge has many steps", case.seed);
        }
    }
}

/// Returns whether the purge ended before that step.
fn crash_and_resume(case: &Case, expected: &Expected, step: u64, moment: Moment) -> bool {
    let context = format!("seed {}, dead at step {step} ({moment:?})", case.seed);
    let (world, whole) = planned(case, 2);
    let fuse = Fuse::at(step, moment);
    let result = world.purge_until(&whole, &fuse);
    if !fuse.is_blown() {
        result.unwrap_or_else(|fault| panic!("{context}: {fault:?}"));
        return true;
    }
    finish(&world, &whole, &context);
    assert_purged(&world, expected, &context);
    assert_restored(&world, &whole, &context);
    false
}

/// Goes on with whatever is left: purges, resumes, or finds it done.
#[track_caller]
fn finish(world: &World, whole: &WholePlan, context: &str) {
    let run = world.state.clone().run_of_plan(&whole.plan().digest).expect("the state is in memory");
    match run.map(|run| run.state) {
        None => world.purge(whole).map(drop),
        Some(RunState::Running | RunState::Stopped) => world.resume(whole).map(drop),
        Some(RunState::Done) => Ok(()),
        Some(
            state @ (RunState::Failed | RunState::Verified | RunState::Restored | RunState::Quarantined),
        ) => {
            panic!("{context}: the run is {state:?}")
        }
    }
    .unwrap_or_else(|fault| panic!("{context}: {fault:?}"));
    assert_eq!(world.run_state(), RunState::Done, "{context}");
}

#[test]
fn purge_resumes_after_crashes_in_the_resumes_too() {
    for case in interesting().take(20) {
        let expected = oracle::expect(&case);
        let context = format!("seed {}, dying again and again", case.seed);
        let (world, whole) = planned(&case, 2);
        let mut fuse = Fuse::seeded(case.seed, 60);
        drop(world.purge_until(&whole, &fuse));
        for round in 0_u64.. {
            let begun =
                world.state.clone().run_of_plan(&whole.plan().digest).expect("the state is in memory");
            if begun.is_some_and(|run| run.state == RunState::Done) {
                break;
            }
            assert!(round < 200, "{context}: no end in sight");
            fuse = Fuse::seeded(case.seed * 1_000 + round, 40 + round);
            if world.state.clone().run("r-1").is_ok() {
                drop(world.resume_until(&whole, &fuse));
            } else {
                drop(world.purge_until(&whole, &fuse));
            }
        }
        assert_purged(&world, &expected, &context);
        assert_restored(&world, &whole, &context);
    }
}

#[test]
fn a_lost_connection_leaves_a_run_that_says_how_to_go_on() {
    for case in interesting().take(5) {
        let expected = oracle::expect(&case);
        for moment in [Moment::Before, Moment::After] {
            for step in 1..STEPS_MAX {
                let context = format!("seed {}, connection lost at call {step} ({moment:?})", case.seed);
                let (world, whole) = planned(&case, 2);
                let fuse = Fuse::at(step, moment);
                let mut store = FaultStore::new(MemStore::connect(&world.db), fuse.clone());
                let result = world.purge_with(&mut store, &whole);
                let Err(fault) = result else {
                    assert!(!fuse.is_blown(), "{context}");
                    break;
                };
                assert!(fuse.is_blown(), "{context}: {fault:?}");
                let run =
                    world.state.clone().run("r-1").expect("a run is registered before the store is asked");
                if run.state == RunState::Failed {
                    panic!("{context}: a lost connection is no reason to give up: {fault:?}");
                }
                assert!(fault.hint.contains("unseed resume r-1"), "{context}: {fault:?}");
                assert_eq!(world.state.holder("r-1"), None, "{context}: the lease is given back");
                finish(&world, &whole, &context);
                assert_purged(&world, &expected, &context);
            }
        }
    }
}

#[test]
fn restore_ends_the_same_after_a_crash_in_any_step() {
    for case in interesting().take(5) {
        for moment in [Moment::Before, Moment::After] {
            for step in 1..STEPS_MAX {
                let context = format!("seed {}, dead at step {step} of a restore ({moment:?})", case.seed);
                let (world, whole) = planned(&case, 3);
                world.purge(&whole).unwrap_or_else(|fault| panic!("{context}: {fault:?}"));
                let fuse = Fuse::at(step, moment);
                let result = world.restore_until(&whole, &fuse);
                if !fuse.is_blown() {
                    assert!(result.is_ok(), "{context}: {result:?}");
                    break;
                }
                // Whatever the dead process did: once more, and the rows are back exactly once.
                drop(world.restore(&whole, &Scope::Everything));
                assert_eq!(world.db.content(), world.before, "{context}");
                assert_eq!(world.run_state(), RunState::Restored, "{context}");
            }
        }
    }
}
