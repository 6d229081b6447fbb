//! Promises about verification and restore.

use crate::shop::{self, insert, policy, set, tenants};
use crate::world::World;
use unseed_core::fault::Category;
use unseed_core::keys::WholePlan;
use unseed_core::port::state::StateDb;
use unseed_core::run::RunState;
use unseed_engine::report::RunReport;
use unseed_engine::restore::{self, Scope};
use unseed_engine::verify;

fn purged() -> (World, WholePlan) {
    let world = World::new(shop::database());
    let whole = world.plan(tenants("id IN (1, 2)"), &policy(), 5).unwrap();
    world.purge(&whole).unwrap();
    (world, whole)
}

/// Verifies after a change; returns the lines of the fault.
#[track_caller]
fn remains(change: impl FnOnce(&World)) -> Vec<String> {
    let (world, whole) = purged();
    change(&world);
    let fault = verify::fault(&world.verify(&whole).unwrap()).expect("something remains");
    assert_eq!((fault.category, fault.message.as_str()), (Category::Findings, "run `r-1` is not verified"));
    assert_eq!(world.run_state(), RunState::Done);
    fault.details
}

#[test]
fn a_clean_run_is_verified_with_figures() {
    let (world, whole) = purged();
    let found = world.verify(&whole).unwrap().verification.unwrap();
    assert!(found.is_clean());
    assert_eq!((found.roots_checked, found.references_checked, found.protected_rows), (2, 5, 4));
    assert!(found.archive_parts >= 4 && found.archive_bytes > 0);
    assert_eq!(world.run_state(), RunState::Verified);
}

#[test]
fn a_root_that_is_back_is_found() {
    assert_eq!(
        remains(|world| insert(&mut world.db.lock(), "tenants", &["1", "again"])),
        ["1 of 2 roots is there"]
    );
}

#[test]
fn a_row_that_refers_to_nothing_is_found() {
    let lines = remains(|world| insert(&mut world.db.lock(), "notes", &["9", "10", "late"]));
    assert_eq!(
        lines,
        ["1 row that refers to nothing by public.notes.user_id → users.id (SET NULL) [fk_5_1]"]
    );
}

#[test]
fn orphans_that_were_there_before_are_not_held_against_the_run() {
    let mut database = shop::database();
    for reference in &mut database.schema.references {
        reference.validated = false;
    }
    insert(&mut database, "notes", &["9", "77", "orphan of old"]);
    let world = World::new(database);
    let whole = world.plan(tenants("id IN (1, 2)"), &policy(), 5).unwrap();
    world.purge(&whole).unwrap();
    assert_eq!(verify::fault(&world.verify(&whole).unwrap()), None);
    world.restore(&whole, &Scope::Everything).unwrap();
    assert_eq!(world.db.content(), world.before);
}

#[test]
fn a_protected_row_that_changed_is_found() {
    let lines = remains(|world| set(&mut world.db.lock(), "users", "30", 2, "other@real"));
    assert_eq!(lines, ["protected rows of `public.users` are not what they were"]);
}

#[test]
fn a_damaged_archive_is_neither_verified_nor_restored() {
    let (world, whole) = purged();
    world.archive.corrupt("r-1", 2);
    assert_eq!(world.verify(&whole).expect_err("a part is damaged").category, Category::Archive);
    let after = world.db.content();
    let fault = world.restore(&whole, &Scope::Everything).expect_err("a part is damaged");
    assert_eq!(fault.category, Category::Archive);
    assert_eq!(world.db.content(), after);
}

#[test]
fn a_second_restore_is_refused() {
    let (world, whole) = purged();
    let figures = || RunReport::of(&world.state.clone().run("r-1").unwrap()).unwrap();
    let purged = figures().statements;
    let restored = world.restore(&whole, &Scope::Everything).unwrap();
    assert_eq!(figures().statements, purged, "the purge's figures are not the restore's");
    assert_ne!(figures().restores[0].statements, purged);
    assert_eq!(restored.inserted.values().sum::<u64>(), 9);
    assert_eq!(restored.reattached.values().sum::<u64>(), 1);
    assert_eq!(world.db.content(), world.before);
    let fault = world.restore(&whole, &Scope::Everything).expect_err("the rows are back");
    assert_eq!(
        (fault.category, fault.message.as_str()),
        (Category::Refused, "run `r-1` was already restored")
    );
    assert_eq!(world.verify(&whole).expect_err("the rows are back").category, Category::Refused);
}

#[test]
fn conflicts_of_a_restore_are_all_listed_and_nothing_changes() {
    let (world, whole) = purged();
    insert(&mut world.db.lock(), "tenants", &["1", "new"]);
    insert(&mut world.db.lock(), "users", &["20", "3", "new"]);
    set(&mut world.db.lock(), "notes", "1", 1, "30");
    let after = world.db.content();
    let restored = world.restore(&whole, &Scope::Everything).unwrap();
    let fault = restore::fault("r-1", &restored.conflicts).expect("there are conflicts");
    assert_eq!(
        (fault.category, fault.message.as_str()),
        (Category::Findings, "3 rows of run `r-1` cannot be put back")
    );
    assert_eq!(
        fault.details,
        [
            "public.tenants 1: a row with this key exists",
            "public.users 20: a row with this key exists",
            "public.notes 1: the reference that was detached has a new value",
        ]
    );
    assert_eq!((world.db.content(), world.run_state()), (after, RunState::Done));
}

#[test]
fn one_root_comes_back_with_what_left_because_of_it() {
    let (world, whole) = purged();
    let scope = Scope::Root { table: "tenants".to_owned(), key: vec!["1".to_owned()] };
    let restored = world.restore(&whole, &scope).unwrap();
    assert_eq!(restored.conflicts, []);
    let content = world.db.content();
    assert_eq!(content["public.tenants"].len(), 2);
    assert_eq!(content["public.users"].len(), 3);
    assert_eq!(content["public.notes"], world.before["public.notes"], "the detached reference is back");
    assert_eq!(world.run_state(), RunState::Done);
    let other = Scope::Root { table: "tenants".to_owned(), key: vec!["3".to_owned()] };
    assert_eq!(world.restore(&whole, &other).expect_err("no root").category, Category::Usage);
}

#[test]
fn a_stopped_run_is_restored_as_far_as_it_came() {
    let half_way = (1..200).find_map(|step| {
        let world = World::new(shop::database());
        let whole = world.plan(tenants("id IN (1, 2)"), &policy(), 5).unwrap();
        let fuse = unseed_testkit::memory::Fuse::at(step, unseed_testkit::memory::Moment::Before);
        drop(world.purge_until(&whole, &fuse));
        let gone = world.archived().values().map(Vec::len).sum::<usize>();
        (fuse.is_blown() && gone > 0 && gone < 9).then_some((world, whole))
    });
    let (world, whole) = half_way.expect("the process can die between two batches");
    assert_ne!(world.db.content(), world.before);
    world.restore(&whole, &Scope::Everything).unwrap();
    assert_eq!((world.db.content(), world.run_state()), (world.before.clone(), RunState::Restored));
}
