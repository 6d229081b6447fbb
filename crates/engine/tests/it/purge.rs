//! Promises about purges: single use, staleness, changes under way, interruption, what is told.

use crate::shop::{self, insert, policy, set, tenants};
use crate::world::World;
use unseed_core::approve::{Gate, Given, confirm};
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::WholePlan;
use unseed_core::port::state::StateDb;
use unseed_core::run::{BatchState, RunState};
use unseed_engine::restore::Scope;
use unseed_testkit::memory::MemStore;

const TESTS: &str = "id IN (1, 2)";

fn planned(batch_rows_max: u64) -> (World, WholePlan) {
    let world = World::new(shop::database());
    let whole = world.plan(tenants(TESTS), &policy(), batch_rows_max).unwrap();
    (world, whole)
}

#[track_caller]
fn fails(
    result: Result<unseed_engine::report::RunReport, Fault>,
    category: Category,
    message: &str,
) -> Fault {
    let fault = result.expect_err("the purge is refused or stops");
    assert_eq!((fault.category, fault.message.as_str()), (category, message), "{fault:?}");
    fault
}

#[test]
fn a_report_tells_counts_before_and_after_and_the_archive_explains_itself() {
    let (world, whole) = planned(100);
    let report = world.purge(&whole).unwrap();
    assert_eq!((report.rows.deleted, report.rows.detached, report.batches.done), (9, 1, 1));
    let users = report.tables["public.users"];
    assert_eq!((users.before, users.after, users.deleted), (Some(4), Some(1), 3));
    assert_eq!(report.protected_after, report.baseline.clone().unwrap().protected);
    assert!(!report.protected_after.is_empty());
    assert_eq!(report.to_json()["format"], "unseed.run/1");
    let published = world.archive.published("r-1");
    let names: Vec<&String> = published.keys().collect();
    assert_eq!(names, ["plan.json", "restore.txt", "schema.json"]);
    let plan: unseed_core::plan::Plan = serde_json::from_str(&published["plan.json"]).unwrap();
    assert_eq!(&plan, whole.plan());
    assert_eq!(world.archive.manifest("r-1").unwrap().batches.len(), 1);
}

#[test]
fn every_effect_is_in_the_audit_log_before_and_after() {
    let (world, whole) = planned(5);
    world.purge(&whole).unwrap();
    let used = format!("purge.plan {} used by r-1, confirmed by its id", whole.plan().digest);
    assert_eq!(
        world.state.audit_lines(),
        [
            used.as_str(),
            "purge.run r-1 started",
            "purge.batch r-1/1 started",
            "purge.batch r-1/1 committed",
            "purge.batch r-1/2 started",
            "purge.batch r-1/2 committed",
            "purge.run r-1 done"
        ]
    );
    let states: Vec<BatchState> = world.state.journal().into_iter().map(|(_, batch)| batch.state).collect();
    use BatchState::{Archived, Begun, Committed, Committing};
    // The number of the second is taken while the first one is removed.
    let expected = [Begun, Archived, Begun, Committing, Committed, Archived, Committing, Committed];
    assert_eq!(states, expected);
}

#[test]
fn a_plan_is_used_once() {
    let (world, whole) = planned(100);
    world.purge(&whole).unwrap();
    let message = format!("plan `{}` was already used by run `r-1`", whole.plan().id);
    fails(world.purge(&whole), Category::Refused, &message);
}

#[test]
fn a_changed_schema_is_stale() {
    let (world, whole) = planned(100);
    world.db.lock().schema.tables[0].columns[0].nullable ^= true;
    let message = format!("the schema has changed since plan `{}` was made", whole.plan().id);
    let fault = fails(world.purge(&whole), Category::Stale, &message);
    assert!(fault.hint.contains("unseed plan"));
    assert_eq!(world.run_state(), RunState::Failed);
    assert_eq!(world.db.content(), world.before);
}

#[test]
fn a_root_that_changed_since_planning_is_stale() {
    let (world, whole) = planned(100);
    set(&mut world.db.lock(), "tenants", "2", 1, "A real customer now");
    let fault =
        fails(world.purge(&whole), Category::Stale, "1 root is not what it was when the plan was made");
    assert_eq!(fault.details, ["public.tenants 2 has changed"]);
    assert_eq!(world.run_state(), RunState::Failed);
}

#[test]
fn dependents_may_drift_within_the_limit_and_not_beyond() {
    for (drift_rows, refused) in [(1, true), (2, false)] {
        let world = World::new(shop::database());
        let mut policy = policy();
        (policy.limits.max_drift_rows, policy.limits.max_drift_share) = (drift_rows, 0.0);
        let whole = world.plan(tenants(TESTS), &policy, 100).unwrap();
        insert(&mut world.db.lock(), "posts", &["110", "1", "-"]);
        insert(&mut world.db.lock(), "posts", &["111", "2", "-"]);
        let result = world.purge(&whole);
        assert_eq!(result.is_err(), refused, "{result:?}");
        if let Err(fault) = result {
            assert_eq!(
                fault.message,
                "2 rows differ from the 10 planned ones, the limit is 1 row or a share of 0"
            );
            assert_eq!(fault.details, ["`public.posts`: 2 rows planned, 4 found"]);
        }
    }
}

#[test]
fn a_conflict_that_appeared_after_planning_is_refused() {
    let (world, whole) = planned(100);
    insert(&mut world.db.lock(), "posts", &["103", "3", "10"]);
    let result = world.purge(&whole);
    fails(result, Category::Refused, "1 protected row would be removed or changed");
}

#[test]
fn a_child_that_appears_during_the_run_is_archived_and_removed_too() {
    let (world, whole) = planned(100);
    let mut left = 1;
    let mut store = MemStore::connect(&world.db).disturbed_before_remove(move |database| {
        if left > 0 {
            left -= 1;
            insert(database, "posts", &["120", "1", "-"]);
        }
    });
    let report = world.purge_with(&mut store, &whole).unwrap();
    assert_eq!((report.retries, report.rows.deleted), (1, 10));
    let lines = world.archived();
    assert!(lines["posts"].iter().any(|line| line.contains("120")), "{lines:?}");
    assert_eq!(world.archive.batch_numbers("r-1"), [2], "the segment of the first attempt is gone");
}

#[test]
fn a_row_that_changes_during_the_run_is_archived_as_it_was_removed() {
    let (world, whole) = planned(100);
    let mut left = 1;
    let mut store = MemStore::connect(&world.db).disturbed_before_remove(move |database| {
        if left > 0 {
            left -= 1;
            set(database, "users", "10", 2, "changed@test");
        }
    });
    world.purge_with(&mut store, &whole).unwrap();
    assert!(world.archived()["users"].iter().any(|line| line.contains("changed@test")));
}

#[test]
fn a_root_that_becomes_real_during_the_run_is_not_removed() {
    let (world, whole) = planned(5);
    let mut store = MemStore::connect(&world.db)
        .disturbed_before_remove(|database| set(database, "tenants", "1", 1, "A real customer now"));
    let message = "purge `r-1` stopped at batch 1 of 2: 1 root is not what it was when the plan was made";
    // Nothing is removed yet, so the run is over rather than resumable.
    let fault = world.purge_with(&mut store, &whole).expect_err("the root changed");
    assert_eq!(fault.category, Category::Stale);
    assert!(message.ends_with(&fault.message), "{fault:?}");
    assert!(world.db.content()["public.tenants"].iter().any(|row| row.contains("A real customer now")));
    assert_eq!(world.db.content()["public.users"], world.before["public.users"]);
}

#[test]
fn rows_that_never_rest_stop_the_run_after_some_attempts() {
    let (world, whole) = planned(100);
    let mut number = 200;
    let mut store = MemStore::connect(&world.db).disturbed_before_remove(move |database| {
        number += 1;
        insert(database, "posts", &[&number.to_string(), "1", "-"]);
    });
    let fault = world.purge_with(&mut store, &whole).expect_err("rows keep appearing");
    assert_eq!(
        fault.message,
        "purge `r-1` stopped at batch 1 of 1: rows kept changing during 8 attempts: rows appeared that refer to \
         rows that leave, by `public.posts.fk_2_1`"
    );
    assert_eq!(world.run_state(), RunState::Stopped);
    assert!(world.archived().is_empty());
    world.resume(&whole).unwrap();
    assert_eq!(world.run_state(), RunState::Done);
}

#[test]
fn an_interrupt_stops_before_the_next_batch_and_resume_finishes() {
    let (world, whole) = planned(5);
    world.interrupt.request();
    let fault = fails(
        world.purge(&whole),
        Category::Interrupted,
        "purge `r-1` was interrupted before its first batch",
    );
    assert_eq!(fault.state, "nothing was changed");
    assert_eq!(fault.hint, "run `unseed resume r-1` to go on");
    assert_eq!((world.run_state(), world.db.content()), (RunState::Stopped, world.before.clone()));
    let rested = World { interrupt: unseed_engine::interrupt::Interrupt::new(), ..world };
    let report = rested.resume(&whole).unwrap();
    assert_eq!((report.rows.deleted, report.batches.done), (9, 2));
}

#[test]
fn only_runs_that_stopped_are_resumed() {
    let (world, whole) = planned(100);
    world.purge(&whole).unwrap();
    fails(world.resume(&whole), Category::Refused, "run `r-1` is finished");
    world.restore(&whole, &Scope::Everything).unwrap();
    fails(world.resume(&whole), Category::Refused, "run `r-1` was restored");
}

#[test]
fn another_process_holding_the_run_is_respected() {
    let (world, whole) = planned(5);
    world.interrupt.request();
    world.purge(&whole).expect_err("interrupted");
    world.state.clone().lease("r-1", "another process").unwrap();
    let fault = world.resume(&whole).expect_err("the run is held");
    assert_eq!(fault.category, Category::Refused);
    assert_eq!(world.state.holder("r-1").as_deref(), Some("another process"));
}

#[test]
fn the_futures_of_runs_can_move_between_threads() {
    fn moves<T: Send>(_: &T) {}
    let (world, whole) = planned(100);
    let (mut store, mut state, mut archive) =
        (MemStore::connect(&world.db), world.state.clone(), world.archive.clone());
    let mut cx = world.context(&mut store, &mut state, &mut archive);
    let plan = confirm(whole.clone(), &Gate::default(), Given::Id(&whole.plan().id)).unwrap();
    moves(&unseed_engine::purge::execute(&mut cx, plan));
}
