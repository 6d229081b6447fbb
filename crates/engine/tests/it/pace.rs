//! What a run does between its batches, on the reference store and with a clock of the test's own.

use crate::shop::{self, policy, tenants};
use crate::world::{World, wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use unseed_core::approve::{ConfirmedPlan, Gate, Given, confirm};
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::WholePlan;
use unseed_core::port::clock::Clock;
use unseed_core::port::state::StateDb as _;
use unseed_core::run::RunState;
use unseed_core::throttle::{Limits, Throttle, Window};
use unseed_engine::purge::{self, Live};
use unseed_engine::report::RunReport;
use unseed_testkit::memory::MemStore;

/// It is six in the evening until it has been asked so often, and then seven.
struct Evening {
    asked: AtomicU64,
    until: u64,
    ticks: AtomicU64,
}

impl Evening {
    fn until(until: u64) -> Self {
        Self { asked: AtomicU64::new(0), until, ticks: AtomicU64::new(0) }
    }
}

impl Clock for Evening {
    fn now(&self) -> String {
        "2026-01-01T18:00:00.000Z".to_owned()
    }

    fn monotonic_ms(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn minute_of_day(&self, zone: &str) -> Option<u16> {
        assert_eq!(zone, "Europe/Berlin");
        let early = self.asked.fetch_add(1, Ordering::SeqCst) < self.until;
        Some(if early { 18 * 60 } else { 19 * 60 })
    }
}

fn purge(world: &World, whole: &WholePlan, clock: &dyn Clock, live: Live) -> Result<RunReport, Fault> {
    purge_from(world, MemStore::connect(&world.db), whole, clock, live)
}

fn purge_from(
    world: &World,
    mut store: MemStore,
    whole: &WholePlan,
    clock: &dyn Clock,
    live: Live,
) -> Result<RunReport, Fault> {
    let plan: ConfirmedPlan = confirm(whole.clone(), &Gate::default(), Given::Id(&whole.plan().id)).unwrap();
    let (mut state, mut archive) = (world.state.clone(), world.archive.clone());
    let mut cx = world.context(&mut store, &mut state, &mut archive);
    (cx.clock, cx.live) = (clock, live);
    wait(purge::execute(&mut cx, plan))
}

fn planned() -> (World, WholePlan) {
    let world = World::new(shop::database());
    let whole = world.plan(tenants("id IN (1, 2)"), &policy(), 5).unwrap();
    (world, whole)
}

fn evening() -> Option<Window> {
    Some(Window::parse("18:00-19:00 Europe/Berlin").unwrap())
}

#[test]
fn the_end_of_the_maintenance_window_stops_a_run_after_its_batch() {
    let (world, whole) = planned();
    // Zone, beginning, the pass, the first batch; before the second batch it has ended.
    let clock = Evening::until(4);
    let live = Live { window: evening(), ..Live::default() };
    let fault = purge(&world, &whole, &clock, live).unwrap_err();
    let says =
        "purge `r-1` stopped after batch 1 of 2: the maintenance window 18:00-19:00 Europe/Berlin has ended";
    assert_eq!((fault.category, fault.message.as_str()), (Category::Store, says));
    assert_eq!(fault.state, "1 batch is archived and deleted, 1 are untouched");
    assert_eq!(world.run_state(), RunState::Stopped);
    let report = world.resume(&whole).unwrap();
    assert_eq!((report.rows.deleted, report.batches.done), (9, 2));
}

#[test]
fn outside_of_the_maintenance_window_a_plan_is_not_used_up() {
    let (world, whole) = planned();
    let live = || Live { window: evening(), ..Live::default() };
    let fault = purge(&world, &whole, &Evening::until(0), live()).unwrap_err();
    assert_eq!(fault.category, Category::Refused, "{fault:?}");
    assert_eq!(world.db.content(), world.before);
    assert_eq!(purge(&world, &whole, &Evening::until(1_000), live()).unwrap().batches.done, 2);
}

#[test]
fn a_window_that_opens_is_waited_for() {
    let (world, whole) = planned();
    let later = Some(Window::parse("19:00-20:00 Europe/Berlin").unwrap());
    let live = Live { throttle: Throttle { window: later, ..Throttle::default() }, ..Live::default() };
    let report = purge(&world, &whole, &Evening::until(3), live).unwrap();
    let waits = &report.waits["window"];
    assert_eq!(waits.times, 1, "{waits:?}");
    assert_eq!(waits.last, "outside of the window 19:00-20:00 Europe/Berlin, it is 18:00 there");
}

#[test]
fn what_nobody_can_measure_is_refused_before_a_plan_is_used_up() {
    let (world, whole) = planned();
    let wait_above = Limits { lock_waits: Some(1), ..Limits::default() };
    let live = Live { throttle: Throttle { wait_above, ..Throttle::default() }, ..Live::default() };
    let fault = purge(&world, &whole, &Evening::until(0), live).unwrap_err();
    assert_eq!(fault.category, Category::Usage, "{fault:?}");
    assert!(world.purge(&whole).is_ok());
}

#[test]
fn a_rate_makes_batches_of_a_second_at_most() {
    let (world, whole) = planned();
    let throttle = Throttle { rows_per_second: Some(4), ..Throttle::default() };
    let live = Live { throttle, ..Live::default() };
    let calm = Evening::until(0);
    let waited = std::thread::scope(|scope| {
        // A clock whose seconds pass without anybody waiting for them.
        let running = scope.spawn(|| purge(&world, &whole, &calm, live));
        while !running.is_finished() {
            calm.ticks.fetch_add(200, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        running.join().unwrap()
    });
    let report = waited.unwrap();
    assert_eq!(report.rows.deleted, 9);
    assert!(report.batches.done >= 2, "{report:?}");
}

/// Batches that the journal knows when the first one is about to be removed.
fn begun_before_the_first_removal(archives_ahead: bool) -> usize {
    let world = World::new(shop::database());
    let whole = world.plan(tenants("id IN (1, 2)"), &policy(), 1).unwrap();
    let (mut state, begun) = (world.state.clone(), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&begun);
    let store = MemStore::connect(&world.db).disturbed_before_remove(move |_| {
        let known = state.batches("r-1").unwrap().len();
        seen.compare_exchange(0, known, Ordering::SeqCst, Ordering::SeqCst).ok();
    });
    let live = Live { throttle: Throttle { archives_ahead, ..Throttle::default() }, ..Live::default() };
    let report = purge_from(&world, store, &whole, &Evening::until(0), live).unwrap();
    assert!(report.batches.done >= 2, "{report:?}");
    begun.load(Ordering::SeqCst)
}

#[test]
fn the_next_batch_is_begun_early_unless_the_throttle_says_otherwise() {
    assert_eq!(begun_before_the_first_removal(true), 2);
    assert_eq!(begun_before_the_first_removal(false), 1);
}
