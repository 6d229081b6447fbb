//! Promises about quarantines: rows come back until the day, then they are gone, and nothing in between.

use crate::shop::{self, insert, policy, tenants};
use crate::world::{World, restore_of_it, wait};
use std::sync::Mutex;
use unseed_core::approve::statement::Act;
use unseed_core::approve::{Gate, Given, confirm};
use unseed_core::fault::{Category, Fault};
use unseed_core::keeping::Standing;
use unseed_core::keys::WholePlan;
use unseed_core::policy::Policy;
use unseed_core::port::archive::ArchiveStore;
use unseed_core::port::clock::Clock;
use unseed_core::port::state::StateDb;
use unseed_core::port::store::Restored;
use unseed_core::run::RunState;
use unseed_engine::due::{self, Outcome};
use unseed_engine::purge::{self, Context};
use unseed_engine::report::RunReport;
use unseed_engine::restore::{self, Scope};
use unseed_engine::retention::{Buried, Keeper};
use unseed_testkit::memory::{FaultArchive, FaultState, FaultStore, Fuse, MemStore, Moment};

const DAY_S: u64 = 86_400;
const STEPS_MAX: u64 = 1_000;

/// A clock that a test sets.
struct HandClock(Mutex<String>);

impl HandClock {
    fn at(day: &str) -> Self {
        Self(Mutex::new(format!("{day}T00:00:00.000Z")))
    }

    fn set(&self, day: &str) {
        *self.0.lock().unwrap() = format!("{day}T00:00:00.000Z");
    }
}

impl Clock for HandClock {
    fn now(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }
}

/// A shop of which two tenants are in quarantine for 30 days, since the first of March.
struct Scene {
    world: World,
    whole: WholePlan,
    clock: HandClock,
}

fn quarantine() -> Policy {
    let mut policy = policy();
    policy.keeping.quarantine_s = Some(30 * DAY_S);
    policy
}

impl Scene {
    fn with(policy: &Policy) -> Self {
        let world = World::new(shop::database());
        let whole = world.plan(tenants("id IN (1, 2)"), policy, 5).unwrap();
        let scene = Self { world, whole, clock: HandClock::at("2026-03-01") };
        let plan = confirm(scene.whole.clone(), &Gate::default(), Given::Id(&scene.whole.plan().id)).unwrap();
        let never = Fuse::at(0, Moment::Before);
        scene.dying(&never, async |cx| purge::execute(cx, plan).await).unwrap();
        scene
    }

    fn new() -> Self {
        let scene = Self::with(&quarantine());
        assert_eq!(scene.world.run_state(), RunState::Quarantined);
        assert_eq!(scene.report().kept.quarantine.unwrap().until, "2026-03-31T00:00:00.000Z");
        scene
    }

    fn dying<T>(
        &self,
        fuse: &Fuse,
        action: impl AsyncFnOnce(&mut Context<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut store = FaultStore::new(MemStore::connect(&self.world.db), fuse.clone());
        let mut state = FaultState::new(&self.world.state, fuse.clone());
        let mut archive = FaultArchive::new(&self.world.archive, fuse.clone());
        let mut cx =
            Context { clock: &self.clock, ..self.world.context(&mut store, &mut state, &mut archive) };
        let result = wait(action(&mut cx));
        if fuse.is_blown() {
            self.world.state.forget_leases();
        }
        result
    }

    /// `purge --due` in a process that dies when the fuse blows.
    fn due_until(&self, fuse: &Fuse) -> Result<Outcome, Fault> {
        let confirmed = self.world.confirmed(&self.whole, Act::Purge);
        self.dying(fuse, async |cx| due::execute(cx, &confirmed, None).await)
    }

    fn due(&self) -> Result<Outcome, Fault> {
        self.due_until(&Fuse::at(0, Moment::Before))
    }

    fn restore(&self, scope: &Scope) -> Result<Restored, Fault> {
        let confirmed = self.world.confirmed(&self.whole, restore_of_it());
        self.dying(&Fuse::at(0, Moment::Before), async |cx| restore::execute(cx, &confirmed, scope).await)
    }

    fn report(&self) -> RunReport {
        RunReport::of(&self.world.state.clone().run("r-1").unwrap()).unwrap()
    }

    fn keeper<T>(&self, keep_days: Option<u64>, act: impl FnOnce(&mut Keeper<'_>) -> T) -> T {
        let (mut state, mut archive) = (self.world.state.clone(), self.world.archive.clone());
        act(&mut Keeper {
            state: &mut state,
            archive: &mut archive,
            clock: &self.clock,
            actor: "tester",
            holder: "keeper",
            keep_s: keep_days.map(|days| days * DAY_S),
        })
    }

    fn standing(&self) -> Standing {
        let run = self.world.state.clone().run("r-1").unwrap();
        self.keeper(None, |keeper| keeper.look(&run)).unwrap().standing
    }

    /// The rows are gone for good, and everything says so.
    #[track_caller]
    fn assert_gone(&self, context: &str) {
        assert_eq!(self.world.run_state(), RunState::Done, "{context}");
        assert!(self.report().kept.expired.is_some(), "{context}");
        assert!(!self.world.archive.holds_rows("r-1"), "{context}");
        let fault = self.restore(&Scope::Everything).unwrap_err();
        assert_eq!(fault.category, Category::Refused, "{context}");
        assert!(fault.message.starts_with("the archive of run `r-1` expired at 2026-"), "{fault:?}");
        let log = self.world.state.audit_lines();
        let told = |start: &str| log.iter().filter(|line| line.starts_with(start)).count();
        assert!(told("archive.expire r-1 started") >= 1, "{context}: {log:#?}");
        assert!(told("archive.expire r-1 removed") >= 1, "{context}: {log:#?}");
    }
}

#[test]
fn nothing_is_removed_for_good_before_its_day() {
    let scene = Scene::new();
    for day in ["2026-03-30", "1999-01-01", "2026-03-01"] {
        scene.clock.set(day);
        assert!(matches!(scene.due().unwrap(), Outcome::Waiting { .. }), "{day}");
    }
    scene.clock.set("2026-03-31");
    assert!(matches!(scene.due().unwrap(), Outcome::Purged(Buried { files: 4.., .. })));
    scene.assert_gone("on its day");
    assert_eq!(scene.due().unwrap(), Outcome::Over);
    // The figures and hashes stay.
    let mut archive = scene.world.archive.clone();
    assert_eq!(
        archive.tombstone("r-1").unwrap().unwrap().batches.len(),
        scene.world.archive.batch_numbers("r-1").len()
    );
    let verified = scene.world.verify(&scene.whole).unwrap().verification.unwrap();
    assert!(verified.is_clean() && verified.archive_expired_at.is_some());
}

#[test]
fn a_quarantine_is_cancelled_by_a_restore() {
    let scene = Scene::new();
    scene.clock.set("2026-03-30");
    assert_eq!(scene.restore(&Scope::Everything).unwrap().conflicts, []);
    assert_eq!(scene.world.db.content(), scene.world.before);
    scene.clock.set("2027-01-01");
    assert_eq!(scene.due().unwrap(), Outcome::Over);
    assert_eq!(scene.world.run_state(), RunState::Restored);
    assert!(scene.world.archive.holds_rows("r-1"));
}

#[test]
fn a_root_that_was_restored_is_no_drift_and_the_rest_goes_on_its_day() {
    let scene = Scene::new();
    let root = Scope::Root { table: "public.tenants".to_owned(), key: vec!["2".to_owned()] };
    scene.restore(&root).unwrap();
    assert_eq!(scene.world.run_state(), RunState::Quarantined);
    scene.clock.set("2026-04-01");
    assert!(matches!(scene.due(), Ok(Outcome::Purged(_))));
    scene.assert_gone("without one root");
}

#[test]
fn a_root_that_somebody_put_back_by_hand_is_refused_and_named() {
    let scene = Scene::new();
    insert(&mut scene.world.db.lock(), "tenants", &["2", "again"]);
    scene.clock.set("2026-04-01");
    for _ in 0..3 {
        let fault = scene.due().unwrap_err();
        assert_eq!(
            (fault.category, fault.details.as_slice()),
            (Category::Stale, &["`public.tenants` 2".to_owned()][..])
        );
    }
    assert_eq!(scene.world.run_state(), RunState::Quarantined);
    assert!(scene.report().kept.quarantine.unwrap().refused.unwrap().contains("`public.tenants` 2"));
    let refusals = scene.world.state.audit_lines();
    let refusals =
        refusals.iter().filter(|line| line.starts_with("purge.refused r-1 refused: 1 root of run")).count();
    assert_eq!(refusals, 1, "asked every minute, it is logged once");
    // A person who has looked may end it.
    assert!(scene.keeper(None, |keeper| keeper.expire("r-1", "looked", false)).is_err());
    scene.keeper(None, |keeper| keeper.expire("r-1", "looked", true)).unwrap();
    scene.assert_gone("by hand");
}

#[test]
fn a_damaged_archive_is_refused() {
    let scene = Scene::new();
    scene.world.archive.corrupt("r-1", 1);
    scene.clock.set("2026-04-01");
    let fault = scene.due().unwrap_err();
    assert_eq!(fault.category, Category::Archive, "{fault:?}");
    assert_eq!(scene.world.run_state(), RunState::Quarantined);
}

#[test]
fn a_hold_stops_the_timer_until_it_is_released() {
    let scene = Scene::new();
    scene.keeper(None, |keeper| keeper.hold("r-1", Some("case 7"))).unwrap();
    scene.clock.set("2026-05-01");
    assert!(matches!(scene.due(), Ok(Outcome::Held(hold)) if hold.reason == "case 7"));
    assert!(scene.keeper(Some(1), |keeper| keeper.expire("r-1", "", true)).is_err());
    scene.keeper(None, |keeper| keeper.hold("r-1", None)).unwrap();
    assert!(scene.keeper(None, |keeper| keeper.hold("r-1", None)).is_err(), "nobody holds it");
    assert!(matches!(scene.due(), Ok(Outcome::Purged(_))));
    assert!(scene.keeper(None, |keeper| keeper.hold("r-1", Some("late"))).is_err());
}

#[test]
fn another_process_at_work_is_left_alone() {
    let scene = Scene::new();
    scene.clock.set("2026-05-01");
    scene.world.state.clone().lease("r-1", "somebody else").unwrap();
    assert_eq!(scene.due().unwrap(), Outcome::Busy);
    assert!(scene.keeper(Some(1), |keeper| keeper.expire("r-1", "", true)).is_err());
    scene.world.state.forget_leases();
    assert!(matches!(scene.due(), Ok(Outcome::Purged(_))));
}

#[test]
fn ending_a_quarantine_ends_the_same_after_a_crash_in_any_step() {
    for moment in [Moment::Before, Moment::After] {
        let mut steps = 0;
        for step in 1..STEPS_MAX {
            let context = format!("dead at step {step} ({moment:?})");
            let scene = Scene::new();
            let purged = scene.world.db.content();
            scene.clock.set("2026-04-01");
            let fuse = Fuse::at(step, moment);
            let result = scene.due_until(&fuse);
            if !fuse.is_blown() {
                assert!(matches!(result, Ok(Outcome::Purged(_))), "{context}: {result:?}");
                break;
            }
            steps = step;
            // Either nothing has happened, or it ends.
            let begun = scene.world.archive.clone().tombstone("r-1").unwrap().is_some();
            if begun {
                assert!(scene.restore(&Scope::Everything).is_err(), "{context}: half of the rows come back");
            } else {
                assert!(matches!(scene.standing(), Standing::Due { .. }), "{context}");
            }
            drop(scene.due().unwrap_or_else(|fault| panic!("{context}: {fault:?}")));
            scene.assert_gone(&context);
            assert_eq!(scene.world.db.content(), purged, "{context}: the store is only read");
        }
        assert!(steps > 8, "ending a quarantine has steps: {steps}");
    }
}

#[test]
fn a_restore_instead_works_after_a_crash_before_the_tombstone() {
    for step in 1..STEPS_MAX {
        let scene = Scene::new();
        scene.clock.set("2026-04-01");
        let fuse = Fuse::at(step, Moment::Before);
        drop(scene.due_until(&fuse));
        if scene.world.archive.clone().tombstone("r-1").unwrap().is_some() {
            assert!(step > 4);
            break;
        }
        scene.restore(&Scope::Everything).unwrap_or_else(|fault| panic!("dead at step {step}: {fault:?}"));
        assert_eq!(scene.world.db.content(), scene.world.before, "dead at step {step}");
    }
}

#[test]
fn a_purge_into_quarantine_resumes_after_a_crash_in_any_step() {
    for step in 1..STEPS_MAX {
        let world = World::new(shop::database());
        let whole = world.plan(tenants("id IN (1, 2)"), &quarantine(), 5).unwrap();
        let fuse = Fuse::at(step, Moment::After);
        let first = world.purge_until(&whole, &fuse);
        if !fuse.is_blown() {
            first.unwrap();
            break;
        }
        match world.state.clone().run("r-1").map(|run| run.state) {
            Err(_) => drop(world.purge(&whole).unwrap()),
            Ok(RunState::Quarantined) => {}
            Ok(_) => drop(world.resume(&whole).unwrap()),
        }
        assert_eq!(world.run_state(), RunState::Quarantined, "dead at step {step}");
        let report = RunReport::of(&world.state.clone().run("r-1").unwrap()).unwrap();
        assert!(report.kept.quarantine.is_some(), "dead at step {step}");
        world.restore(&whole, &Scope::Everything).unwrap();
        assert_eq!(world.db.content(), world.before, "dead at step {step}");
    }
}

#[test]
fn an_archive_expires_when_its_time_is_over_and_not_before() {
    let scene = Scene::with(&policy());
    let expire = |days: Option<u64>| scene.keeper(days, |keeper| keeper.expire("r-1", "over", false));
    scene.clock.set("2026-03-30");
    for (days, says) in [(None, "nobody said how long"), (Some(30), "kept until 2026-03-31")] {
        let fault = expire(days).unwrap_err();
        assert!(fault.category == Category::Refused && fault.message.contains(says), "{fault:?}");
    }
    scene.clock.set("2026-04-01");
    assert!(expire(Some(30)).unwrap().files > 3);
    scene.assert_gone("over its time");
    assert!(expire(Some(30)).unwrap_err().message.contains("its rows were removed at 2026-04-01"));
}

#[test]
fn a_run_that_is_not_over_keeps_its_archive() {
    let world = World::new(shop::database());
    let whole = world.plan(tenants("id IN (1, 2)"), &policy(), 5).unwrap();
    for step in 1.. {
        let fuse = Fuse::at(step, Moment::After);
        let stopped = match world.state.clone().run("r-1") {
            Err(_) => world.purge_until(&whole, &fuse),
            Ok(_) => world.resume_until(&whole, &fuse),
        };
        assert!(stopped.is_err(), "it stops between its batches");
        if world.db.content() != world.before {
            break;
        }
    }
    let scene = Scene { world, whole, clock: HandClock::at("2030-01-01") };
    let fault = scene.keeper(Some(1), |keeper| keeper.expire("r-1", "", true)).unwrap_err();
    assert!(fault.message.contains("the run is not over"), "{fault:?}");
}
