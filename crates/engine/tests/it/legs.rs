//! A run over several stores among others who use them: windows, throttle, hooks, on reference stores.

mod scene;

use async_trait::async_trait;
use scene::{Contents, Measured, Scene, immortal, unmeasured};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use unseed_core::fault::{Category, Fault};
use unseed_core::hook::{At, Hook, Phase};
use unseed_core::keys::WholePlan;
use unseed_core::port::clock::Clock;
use unseed_core::port::gauges::Gauges;
use unseed_core::port::hook::{About, Commands, Ended};
use unseed_core::run::RunState;
use unseed_core::throttle::{Limits, Readings, Throttle, Window};
use unseed_engine::purge::Live;
use unseed_testkit::memory::{Fuse, Moment, TickingClock};

/// Steps after which no run is still at work.
const STEPS_MAX: u64 = 2_000;

/// Asked for the minute, it does what a test wants; ten seconds pass whenever it is asked how long something took.
struct Told<F> {
    asked: AtomicU64,
    ticks: AtomicU64,
    minute: F,
}

impl<F: Fn(u64) -> u16> Told<F> {
    fn new(minute: F) -> Self {
        Self { asked: AtomicU64::new(0), ticks: AtomicU64::new(0), minute }
    }
}

impl<F: Fn(u64) -> u16 + Send + Sync> Clock for Told<F> {
    fn now(&self) -> String {
        "2026-01-01T18:00:00.000Z".to_owned()
    }

    fn monotonic_ms(&self) -> u64 {
        self.ticks.fetch_add(10_000, Ordering::SeqCst)
    }

    fn minute_of_day(&self, _: &str) -> Option<u16> {
        Some((self.minute)(self.asked.fetch_add(1, Ordering::SeqCst)))
    }
}

const OPEN: u16 = 18 * 60;
const CLOSED: u16 = 19 * 60;

fn window() -> Option<Window> {
    Some(Window::parse("18:00-19:00 Europe/Berlin").unwrap())
}

fn calm() -> (Live, Measured) {
    (Live::default(), unmeasured())
}

/// The store in which a fault says that the run stopped.
fn place(fault: &Fault) -> String {
    let place = fault.message.split("stopped in store `").nth(1).and_then(|rest| rest.split('`').next());
    place.unwrap_or("none").to_owned()
}

#[test]
fn the_end_of_the_maintenance_window_stops_a_run_in_any_of_its_stores() {
    let mut places = BTreeSet::new();
    let mut touched = BTreeSet::new();
    // Before that it is asked whether the run may begin at all.
    for until in 2..STEPS_MAX {
        let scene = Scene::new();
        let whole = scene.plan(Vec::new());
        let clock = Told::new(|asked| if asked < until { OPEN } else { CLOSED });
        let live = Live { window: window(), ..Live::default() };
        let Err(fault) = scene.purge(&whole, (&clock, &immortal()), (live, unmeasured())) else {
            assert_eq!(places.into_iter().collect::<Vec<_>>(), ["cache", "main", "site"]);
            assert!(touched.len() > 6, "{touched:#?}");
            return;
        };
        let context = format!("open for {until} questions: {fault:?}");
        assert_eq!(fault.category, Category::Store, "{context}");
        assert!(
            fault.message.contains("the maintenance window 18:00-19:00 Europe/Berlin has ended"),
            "{context}"
        );
        assert!(fault.hint.contains("unseed resume r-1"), "{context}");
        assert_eq!(scene.run_state(), Some(RunState::Stopped), "{context}");
        assert_eq!(scene.state.holder("r-1"), None, "{context}");
        places.insert(place(&fault));
        touched.insert(fault.state.clone());
        let live = || (Live { window: window(), ..Live::default() }, unmeasured());
        // It does not go on either, and is where it was.
        let refused = scene.resume(&whole, (&Told::new(|_| CLOSED), &immortal()), live()).unwrap_err();
        assert_eq!(
            (refused.category, refused.state.as_str()),
            (Category::Refused, "run `r-1` is where it was")
        );
        scene.resume(&whole, (&Told::new(|_| OPEN), &immortal()), live()).unwrap();
        scene.assert_purged(&context);
        scene.restore(&whole, (&TickingClock::default(), &immortal()), Live::default()).unwrap();
        assert_eq!(scene.contents(), scene.before, "{context}");
    }
    panic!("no end in sight");
}

#[test]
fn outside_of_the_maintenance_window_a_plan_over_several_stores_is_not_used_up() {
    let scene = Scene::new();
    let whole = scene.plan(Vec::new());
    let live = Live { window: window(), ..Live::default() };
    let fault = scene.purge(&whole, (&Told::new(|_| CLOSED), &immortal()), (live, unmeasured())).unwrap_err();
    assert_eq!(fault.category, Category::Refused, "{fault:?}");
    assert_eq!((scene.run_state(), scene.contents()), (None, scene.before.clone()));
    scene.purge(&whole, (&TickingClock::default(), &immortal()), calm()).unwrap();
    scene.assert_purged("later");
}

/// While a run waits, somebody who stays may come to have what an entry is found by.
#[test]
fn rows_that_stay_are_looked_at_again_after_a_wait() {
    let mut kept = 0;
    for nth in 1..STEPS_MAX {
        let scene = Scene::new();
        let whole = scene.plan(Vec::new());
        let there = Arc::new(Mutex::new(None));
        let (main, shelf, seen) = (scene.main.clone(), scene.shelf.clone(), Arc::clone(&there));
        let clock = Told::new(move |asked| {
            if asked != nth {
                return OPEN;
            }
            crate::shop::insert(&mut main.lock(), "users", &["31", "3", "b@test"]);
            *seen.lock().unwrap() = Some(shelf.lock().contains_key("b@test:2"));
            CLOSED
        });
        let live = Live { throttle: Throttle { window: window(), ..Throttle::default() }, ..Live::default() };
        scene.purge(&whole, (&clock, &immortal()), (live, unmeasured())).unwrap();
        let Some(was_there) = *there.lock().unwrap() else {
            assert!(kept > 2, "{kept}");
            return;
        };
        let is_there = scene.shelf.lock().contains_key("b@test:2");
        assert_eq!(is_there, was_there, "it is the entry of somebody who stays, after question {nth}");
        kept += u64::from(was_there);
        assert!(!scene.shelf.lock().contains_key("a@test:1"), "after question {nth}");
    }
    panic!("no end in sight");
}

/// While a run waits, a root may become a customer: nothing more leaves from any store.
#[test]
fn a_root_that_becomes_a_customer_during_a_wait_is_refused_in_the_other_stores_too() {
    let mut refused = 0;
    for nth in 1..STEPS_MAX {
        let scene = Scene::new();
        let whole = scene.plan(Vec::new());
        let there = Arc::new(Mutex::new(None));
        let (seen, at_work) = (Arc::clone(&there), scene.clone());
        let clock = Told::new(move |asked| {
            // A leg of rows that is under way looks at its own rows only, and does so itself.
            let is_at_work =
                |leg: usize| at_work.run().is_some_and(|run| run.report["legs"][leg]["state"] == "running");
            if asked != nth || is_at_work(1) || is_at_work(2) || at_work.contents().0 != at_work.before.0 {
                return OPEN;
            }
            crate::shop::set(&mut at_work.main.lock(), "tenants", "2", 1, "A real customer");
            *seen.lock().unwrap() = Some(at_work.contents());
            CLOSED
        });
        let live = Live { throttle: Throttle { window: window(), ..Throttle::default() }, ..Live::default() };
        let done = scene.purge(&whole, (&clock, &immortal()), (live, unmeasured()));
        if clock.asked.load(Ordering::SeqCst) <= nth {
            assert!(refused > 5, "{refused}");
            return;
        }
        let Some(then) = there.lock().unwrap().take() else { continue };
        let fault = done.unwrap_err();
        assert!(fault.message.contains("1 root is not what it was"), "question {nth}: {fault:?}");
        assert!(scene.contents() == then, "something left after question {nth}: {fault:?}");
        refused += 1;
    }
    panic!("no end in sight");
}

/// The window ends, and a root becomes a customer before the run goes on.
#[test]
fn a_run_that_goes_on_compares_the_stores_with_the_plan_before_anything_leaves() {
    let scene = Scene::new();
    let whole = scene.plan(Vec::new());
    let shelf = scene.shelf.clone();
    let clock = Told::new(move |_| if shelf.lock().len() < 8 { CLOSED } else { OPEN });
    let live = Live { window: window(), ..Live::default() };
    let fault = scene.purge(&whole, (&clock, &immortal()), (live, unmeasured())).unwrap_err();
    assert_eq!((place(&fault).as_str(), scene.shelf.lock().len()), ("cache", 6), "{fault:?}");
    crate::shop::set(&mut scene.main.lock(), "tenants", "2", 1, "A real customer");
    let then = scene.contents();
    let fault = scene.resume(&whole, (&TickingClock::default(), &immortal()), calm()).unwrap_err();
    assert_eq!(place(&fault), "main", "{fault:?}");
    assert!(fault.message.contains("1 root is not what it was"), "{fault:?}");
    assert!(scene.contents() == then, "{fault:?}");
}

/// Looking at all entries may take longer than the window is open.
#[test]
fn a_window_that_ends_during_a_look_at_the_entries_keeps_them_there() {
    let scene = Scene::new();
    let whole = scene.plan(Vec::new());
    let before = scene.shelf.searched();
    let shelf = scene.shelf.clone();
    // It is searched once before anything is removed anywhere.
    let clock = Told::new(move |_| if shelf.searched() >= before + 2 { CLOSED } else { OPEN });
    let live = Live { window: window(), ..Live::default() };
    let fault = scene.purge(&whole, (&clock, &immortal()), (live, unmeasured())).unwrap_err();
    assert_eq!(place(&fault), "cache", "{fault:?}");
    assert_eq!((scene.run_state(), scene.contents()), (Some(RunState::Stopped), scene.before.clone()));
}

/// Entries leave at a rate, and somebody who stays comes to have what the later ones are found by.
#[test]
fn rows_that_stay_are_looked_at_again_where_a_rate_takes_long() {
    let scene = Scene::new();
    let whole = scene.plan(Vec::new());
    let (main, shelf, came) = (scene.main.clone(), scene.shelf.clone(), AtomicU64::new(0));
    let clock = Told::new(move |_| {
        if shelf.lock().len() < 8 && came.fetch_add(1, Ordering::SeqCst) == 0 {
            crate::shop::insert(&mut main.lock(), "users", &["31", "3", "c@test"]);
        }
        OPEN
    });
    let throttle = Throttle { window: window(), rows_per_second: Some(1_000), ..Throttle::default() };
    let live = Live { throttle, ..Live::default() };
    scene.purge(&whole, (&clock, &immortal()), (live, unmeasured())).unwrap();
    let left: Vec<String> = scene.shelf.lock().keys().cloned().collect();
    assert_eq!(left, ["c@test:1", "c@test:2", "d@real:1", "d@real:2"]);
}

/// As many sessions wait for locks as the test says.
struct Waiting(Arc<AtomicU64>);

#[async_trait]
impl Gauges for Waiting {
    async fn read(&mut self) -> Result<Readings, Fault> {
        let lock_waits = Some(self.0.load(Ordering::SeqCst)).filter(|count| *count < 100);
        Ok(Readings { lock_waits, ..Readings::default() })
    }
}

#[test]
fn a_store_that_follows_is_measured_and_named() {
    let waiting = Arc::new(AtomicU64::new(5));
    let critical = || {
        let stop_above = Limits { lock_waits: Some(3), ..Limits::default() };
        let throttle = Throttle { stop_above, query: None, failing_ms_max: 0, ..Throttle::default() };
        let gauge = |count: &Arc<AtomicU64>| -> Option<Box<dyn Gauges>> {
            Some(Box::new(Waiting(Arc::clone(count))))
        };
        let measured = [gauge(&Arc::new(AtomicU64::new(0))), gauge(&waiting)];
        (Live { throttle, ..Live::default() }, measured)
    };
    let scene = Scene::new();
    let whole = scene.plan(Vec::new());
    // The first look comes a moment after the first question.
    let patient = |mut live: Live| {
        live.throttle.failing_ms_max = u64::MAX;
        live
    };
    let (live, measured) = critical();
    let clock = TickingClock::default();
    let fault = scene.purge(&whole, (&clock, &immortal()), (patient(live), measured)).unwrap_err();
    assert_eq!((fault.category, place(&fault).as_str()), (Category::Store, "site"), "{fault:?}");
    assert!(
        fault.message.contains("store `site`: sessions that wait for locks: 5 > 3, the critical limit"),
        "{fault:?}"
    );
    assert_eq!((scene.run_state(), scene.contents()), (Some(RunState::Stopped), scene.before.clone()));
    // Nobody can tell how busy it is.
    waiting.store(100, Ordering::SeqCst);
    let fault = scene.resume(&whole, (&clock, &immortal()), critical()).unwrap_err();
    assert!(fault.message.contains("whether it may go on could not be told"), "{fault:?}");
    waiting.store(0, Ordering::SeqCst);
    let (live, measured) = critical();
    let report = scene.resume(&whole, (&clock, &immortal()), (patient(live), measured)).unwrap();
    scene.assert_purged("at rest");
    assert!(report.waits.contains_key("probe"), "the first look was waited for: {:?}", report.waits);
    // What cannot be measured is told before a plan is used up.
    let scene = Scene::new();
    let whole = scene.plan(Vec::new());
    let ((live, [main, _]), none) = (critical(), None);
    let fault = scene.purge(&whole, (&clock, &immortal()), (live, [main, none])).unwrap_err();
    assert_eq!(fault.category, Category::Usage);
    assert!(
        fault.message.contains("store `site`: this store cannot be measured for lock_waits_max"),
        "{fault:?}"
    );
    assert_eq!(scene.run_state(), None);
}

fn hook(name: &str, at: At, of: Phase, on_resume: bool) -> Hook {
    let command = vec![name.to_owned()];
    Hook { name: name.to_owned(), at, of, command, timeout_ms: 1_000, on_resume, environment: Vec::new() }
}

fn hooks() -> Vec<Hook> {
    vec![
        hook("pause", At::Before, Phase::Purge, true),
        hook("once", At::Before, Phase::Purge, false),
        hook("go-on", At::After, Phase::Purge, false),
        hook("undo", At::OnStop, Phase::Purge, false),
        hook("before-back", At::Before, Phase::Restore, false),
        hook("back", At::After, Phase::Restore, false),
        hook("not-back", At::OnStop, Phase::Restore, false),
    ]
}

/// What was run, with the state of the run and of the stores at that time.
#[derive(Clone, Default)]
struct Bell {
    rung: Arc<Mutex<Vec<(String, String, bool)>>>,
    fails: Arc<Mutex<Option<String>>>,
}

struct Ringing {
    bell: Bell,
    scene: Scene,
}

#[async_trait]
impl Commands for Ringing {
    async fn run(
        &mut self,
        hook: &Hook,
        about: &About<'_>,
        _: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Ended, String), Fault> {
        assert_eq!(about.stores, ["main", "cache", "site"], "a hook is about the whole run");
        assert_eq!(about.run, "r-1");
        let before: &Contents = &self.scene.before;
        let untouched = self.scene.contents() == *before;
        self.bell.rung.lock().unwrap().push((hook.name.clone(), about.state.to_owned(), untouched));
        let fails = self.bell.fails.lock().unwrap().as_ref() == Some(&hook.name);
        Ok((Ended::Exited(if fails { 7 } else { 0 }), "log".to_owned()))
    }
}

impl Bell {
    fn live(&self, scene: &Scene) -> Live {
        let commands = Ringing { bell: self.clone(), scene: scene.clone() };
        Live { commands: Some(Box::new(commands)), ..Live::default() }
    }

    fn names(&self) -> Vec<String> {
        self.rung.lock().unwrap().iter().map(|(name, state, _)| format!("{name} {state}")).collect()
    }
}

#[test]
fn hooks_run_once_around_all_stores() {
    let (scene, bell) = (Scene::new(), Bell::default());
    let whole = scene.plan(hooks());
    let (clock, fuse) = (TickingClock::default(), immortal());
    *bell.fails.lock().unwrap() = Some("once".to_owned());
    let fault = scene.purge(&whole, (&clock, &fuse), (bell.live(&scene), unmeasured())).unwrap_err();
    assert_eq!(fault.message, "purge `r-1` stopped: hook `once` exited with 7 (its output is in `log`)");
    assert_eq!(fault.state, "`cache` is untouched; `site` is untouched; `main` is untouched");
    assert_eq!((scene.run_state(), scene.contents()), (Some(RunState::Stopped), scene.before.clone()));
    assert_eq!(bell.names(), ["pause running", "once running", "undo stopped"]);
    *bell.fails.lock().unwrap() = None;
    scene.resume(&whole, (&clock, &fuse), (bell.live(&scene), unmeasured())).unwrap();
    scene.assert_purged("with hooks");
    assert_eq!(bell.names()[3..], ["pause running", "once running", "go-on done"]);
    *bell.fails.lock().unwrap() = Some("before-back".to_owned());
    let fault = scene.restore(&whole, (&clock, &fuse), bell.live(&scene)).unwrap_err();
    assert!(fault.state == "nothing was put back" && fault.hint.contains("--skip-hooks"), "{fault:?}");
    scene.assert_purged("not restored");
    *bell.fails.lock().unwrap() = None;
    scene.restore(&whole, (&clock, &fuse), bell.live(&scene)).unwrap();
    assert_eq!(scene.contents(), scene.before);
    assert_eq!(bell.names()[6..], ["before-back done", "not-back done", "before-back done", "back restored"]);
    let log = scene.state.audit_lines();
    for outcome in
        ["pause before purge, started", "pause before purge, succeeded", "back after restore, succeeded"]
    {
        assert!(log.contains(&format!("hook.run r-1/{outcome}")), "{outcome} is not in {log:#?}");
    }
    assert!(!log.iter().any(|line| line.contains("hook.run r-1/main")), "no leg has hooks: {log:#?}");
}

#[test]
fn a_plan_covers_the_hooks_of_several_stores() {
    let scene = Scene::new();
    let (with, without) = (scene.plan(hooks()), scene.plan(Vec::new()));
    assert_ne!(with.plan().digest, without.plan().digest);
    assert_eq!(with.plan().policy.hooks, hooks());
    for store in ["main", "site"] {
        assert_eq!(with.leg(store).unwrap().plan().policy.hooks, [], "{store}");
    }
}

/// Goes on with whatever is left of a run.
#[track_caller]
fn finish(scene: &Scene, whole: &WholePlan, bell: &Bell, context: &str) {
    let process: (&dyn Clock, &Fuse) = (&TickingClock::default(), &immortal());
    let live = (bell.live(scene), unmeasured());
    match scene.run_state() {
        None => drop(scene.purge(whole, process, live).unwrap()),
        Some(RunState::Running | RunState::Stopped) => drop(scene.resume(whole, process, live).unwrap()),
        Some(RunState::Done) => {}
        Some(
            state @ (RunState::Failed | RunState::Verified | RunState::Restored | RunState::Quarantined),
        ) => panic!("{context}: the run is {state:?}"),
    }
}

#[test]
fn a_run_over_several_stores_resumes_after_a_crash_in_any_step() {
    for moment in [Moment::Before, Moment::After] {
        for step in 1..STEPS_MAX {
            let context = format!("dead at step {step} ({moment:?})");
            let (scene, bell, fuse) = (Scene::new(), Bell::default(), Fuse::at(step, moment));
            let whole = scene.plan(hooks());
            let done =
                scene.purge(&whole, (&TickingClock::default(), &fuse), (bell.live(&scene), unmeasured()));
            if !fuse.is_blown() {
                done.unwrap();
                assert!(step > 60, "a run over several stores has many steps: {step}");
                break;
            }
            finish(&scene, &whole, &bell, &context);
            scene.assert_purged(&context);
            let rung = bell.rung.lock().unwrap().clone();
            let (first, _, untouched) = rung.first().unwrap();
            assert!(first == "pause" && *untouched, "{context}: {rung:?}");
            assert!(
                rung.iter().any(|(name, _, untouched)| name == "once" && *untouched),
                "{context}: {rung:?}"
            );
            assert!(rung.iter().filter(|(name, ..)| name == "go-on").count() <= 1, "{context}: {rung:?}");
            scene.restore(&whole, (&TickingClock::default(), &immortal()), bell.live(&scene)).unwrap();
            assert_eq!(scene.contents(), scene.before, "{context}");
            assert_eq!(scene.run_state(), Some(RunState::Restored), "{context}");
        }
    }
}

#[test]
fn a_restore_over_several_stores_ends_the_same_after_a_crash_in_any_step() {
    for moment in [Moment::Before, Moment::After] {
        for step in 1..STEPS_MAX {
            let context = format!("dead at step {step} of a restore ({moment:?})");
            let (scene, bell, fuse) = (Scene::new(), Bell::default(), Fuse::at(step, moment));
            let whole = scene.plan(hooks());
            let calm: (&dyn Clock, &Fuse) = (&TickingClock::default(), &immortal());
            scene.purge(&whole, calm, (bell.live(&scene), unmeasured())).unwrap();
            let done = scene.restore(&whole, (&TickingClock::default(), &fuse), bell.live(&scene));
            if !fuse.is_blown() {
                done.unwrap();
                break;
            }
            // Once more, and everything is back exactly once.
            drop(scene.restore(&whole, calm, bell.live(&scene)));
            assert_eq!(scene.contents(), scene.before, "{context}");
            assert_eq!(scene.run_state(), Some(RunState::Restored), "{context}");
        }
    }
}
