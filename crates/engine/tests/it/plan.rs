//! Promises about plans: what they say, and what is refused.

use crate::shop::{self, insert, policy, tenants};
use crate::world::World;
use unseed_core::approve::{Gate, Given, confirm};
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::WholePlan;
use unseed_core::plan::{Action, Keys, Path};
use unseed_core::policy::{ConfiguredReference, OnRemove};
use unseed_core::port::progress::Silent;
use unseed_core::schema::{Effect, EffectKind, Visibility};
use unseed_engine::plan::{self, Choice, ChoiceRows, Request};
use unseed_testkit::memory::{Database, MemStore, TickingClock};

const TESTS: &str = "id IN (1, 2)";

fn make(database: Database) -> Result<WholePlan, Fault> {
    World::new(database).plan(tenants(TESTS), &policy(), 100)
}

#[track_caller]
fn refused(result: Result<WholePlan, Fault>, category: Category, message: &str) -> Fault {
    let fault = result.expect_err("the plan is refused");
    assert_eq!((fault.category, fault.message.as_str()), (category, message));
    assert!(!fault.hint.is_empty(), "{fault:?}");
    fault
}

#[test]
fn a_plan_lists_what_leaves_children_first_and_what_is_detached() {
    let whole = make(shop::database()).unwrap();
    let lines: Vec<String> = whole
        .plan()
        .steps
        .iter()
        .map(|s| format!("{:?} {} {}/{} {:?} via {}", s.action, s.table, s.rows, s.of, s.columns, s.via))
        .collect();
    assert_eq!(
        lines,
        [
            "Delete public.posts 2/3 [] via posts.tenant_id → tenants.id (NO ACTION)",
            "Delete public.events 2/3 [] via events.user_id → users.id (RESTRICT)",
            "Delete public.users 3/4 [] via users.tenant_id → tenants.id (CASCADE)",
            "Delete public.tenants 2/3 [] via ",
            "Detach public.notes 1/2 [\"user_id\"] via notes.user_id → users.id (SET NULL)",
        ]
    );
    assert_eq!((whole.plan().rows_deleted(), whole.plan().rows_detached()), (9, 1));
    assert_eq!((whole.plan().path, whole.plan().root_count()), (Path::Fast, 2));
    assert!(whole.plan().is_intact());
}

#[test]
fn planning_changes_nothing_and_twice_gives_the_same_steps() {
    let world = World::new(shop::database());
    let one = world.plan(tenants(TESTS), &policy(), 100).unwrap();
    let two = world.plan(tenants(TESTS), &policy(), 100).unwrap();
    assert_eq!(one.plan().steps, two.plan().steps);
    assert_eq!(world.db.content(), world.before);
}

#[test]
fn a_path_to_a_protected_row_is_refused_and_named() {
    let mut database = shop::database();
    insert(&mut database, "posts", &["103", "3", "10"]);
    let fault = refused(make(database), Category::Refused, "1 protected row would be removed or changed");
    assert_eq!(
        fault.details,
        ["public.tenants 1 → public.users 10 (by users.tenant_id) → public.posts 103 (by posts.author_id) \
          (would be detached) belongs to protected public.tenants 3"]
    );
}

#[test]
fn a_protected_root_is_refused() {
    let world = World::new(shop::database());
    let fault = world.plan(tenants("id IN (2, 3)"), &policy(), 100).expect_err("tenant 3 is protected");
    assert_eq!(fault.category, Category::Refused);
    assert!(fault.details.iter().any(|line| line == "public.tenants 3 is protected"), "{fault:?}");
}

#[test]
fn a_row_whose_nearest_owner_is_not_protected_may_go() {
    // A protected person's tenant once wrote in the test tenant: the post belongs to the test tenant.
    let mut database = shop::database();
    insert(&mut database, "posts", &["104", "1", "30"]);
    assert_eq!(make(database).unwrap().plan().rows_deleted(), 10);
}

#[test]
fn limits_refuse_with_the_number_and_the_limit() {
    let world = World::new(shop::database());
    let mut strict = policy();
    strict.limits.max_rows = 8;
    let fault = refused(
        world.plan(tenants(TESTS), &strict, 100),
        Category::Refused,
        "9 rows would leave, the limit is 8",
    );
    assert!(fault.hint.contains("max_rows"));
    let mut strict = policy();
    strict.limits.max_share_of_table = 0.5;
    refused(
        world.plan(tenants(TESTS), &strict, 100),
        Category::Refused,
        "2 of 3 rows of `public.tenants` would leave, the limit is a share of 0.5",
    );
}

#[test]
fn nothing_chosen_unknown_tables_and_tables_without_a_key_are_wrong_usage() {
    let world = World::new(shop::database());
    let none = world.plan(tenants("id = 99"), &policy(), 100);
    refused(none, Category::Usage, "no row is chosen: `tenants` (--where id = 99)");
    let choice =
        |table: &str, rows| vec![Choice { table: table.to_owned(), rows, chosen_by: "ids".to_owned() }];
    let all = || ChoiceRows::Where("true".to_owned());
    refused(world.plan(choice("tenant", all()), &policy(), 100), Category::Usage, "no such table `tenant`");
    refused(
        world.plan(choice("events", all()), &policy(), 100),
        Category::Usage,
        "table `events` has no key, so its rows cannot be roots",
    );
    let keys = ChoiceRows::Keys { columns: Vec::new(), keys: [vec!["1", "2"]].into_iter().collect() };
    refused(
        world.plan(choice("tenants", keys), &policy(), 100),
        Category::Usage,
        "the key `1,2` has not 1 values",
    );
}

#[test]
fn a_row_chosen_twice_is_one_root_and_an_empty_choice_is_left_out() {
    let world = World::new(shop::database());
    let mut choices = tenants("id = 1");
    choices.extend(tenants("name = 'Test A'"));
    choices.push(Choice {
        table: "audit_logs".to_owned(),
        rows: ChoiceRows::Where("id = 99".to_owned()),
        chosen_by: "--where".to_owned(),
    });
    let whole = world.plan(choices, &policy(), 100).unwrap();
    let roots: Vec<(&str, u64)> = whole.plan().roots.iter().map(|r| (r.table.as_str(), r.count)).collect();
    assert_eq!(roots, [("public.tenants", 1)]);
}

#[test]
fn a_partial_view_is_refused_with_tables_and_privileges() {
    let mut database = shop::database();
    let (events, users) = (database.schema.find("events")[0], database.schema.find("users")[0]);
    database.schema.tables[events.0].visibility = Visibility::Denied(vec!["SELECT".to_owned()]);
    database.schema.tables[users.0].visibility = Visibility::RowSecurity;
    let message = "2 tables that the roots lead to cannot be seen or changed in full";
    let fault = refused(make(database), Category::Refused, message);
    assert_eq!(
        fault.details,
        [
            "`public.events`: this role lacks SELECT",
            "`public.users`: row-level security may hide rows from this role"
        ]
    );
}

#[test]
fn the_fast_path_is_taken_where_the_role_may_and_no_rule_stands_in_the_way() {
    let mut careful = shop::database();
    careful.server.may_skip_checks = false;
    assert_eq!(make(careful.clone()).unwrap().plan().path, Path::Checked);
    let store = &mut MemStore::connect(&World::new(careful).db);
    let request = Request {
        store: "main",
        url: "memory",
        choices: tenants(TESTS),
        policy: &policy(),
        path: Some(Path::Fast),
        batch_rows_max: Some(100),
        build_indexes: unseed_core::plan::BuildIndexes::Auto,
        created_by: "tester",
    };
    let forced = crate::world::wait(plan::make(store, &TickingClock::default(), &Silent, &request));
    refused(
        forced,
        Category::Refused,
        "the fast path was asked for, but this role may not skip the store's checks",
    );
    let mut ruled = shop::database();
    let users = ruled.schema.find("users")[0];
    ruled.schema.tables[users.0].effects.push(effect(EffectKind::Rule));
    let whole = make(ruled).unwrap();
    assert_eq!(whole.plan().path, Path::Checked);
    assert!(whole.plan().path_reason.contains("rule `keeper` of `public.users`"));
}

fn effect(kind: EffectKind) -> Effect {
    Effect {
        name: "keeper".to_owned(),
        kind,
        on_delete: true,
        on_update: false,
        on_insert: false,
        always: false,
        definition: String::new(),
    }
}

#[track_caller]
fn warns(database: Database, id: &str, expected: &[(&str, &str)]) {
    let whole = make(database).unwrap();
    let found: Vec<(&str, &str)> = whole
        .plan()
        .warnings
        .iter()
        .filter(|w| w.id == id)
        .map(|w| (w.table.as_str(), w.says.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn columns_that_only_look_like_references_are_told_with_their_rows() {
    let says = "`tenant_id` looks like a reference to `public.tenants`, but none is declared: of 2 rows, those \
                that only it leads to stay; declare it in `[[references]]` to take them along";
    warns(shop::database(), "logical-reference", &[("public.audit_logs", says)]);
}

#[test]
fn a_configured_reference_is_followed_like_a_declared_one() {
    let mut policy = policy();
    policy.references.push(ConfiguredReference {
        from: "audit_logs.tenant_id".to_owned(),
        to: "tenants.id".to_owned(),
        on_remove: OnRemove::Delete,
        when: std::collections::BTreeMap::new(),
    });
    let whole = World::new(shop::database()).plan(tenants(TESTS), &policy, 100).unwrap();
    assert!(!whole.plan().warnings.iter().any(|w| w.id == "logical-reference"));
    let step = whole.plan().steps.iter().find(|s| s.table == "public.audit_logs").unwrap();
    assert_eq!(
        (step.action, step.rows, step.via.as_str()),
        (Action::Delete, 1, "audit_logs.tenant_id → tenants.id (configured)")
    );
}

#[test]
fn a_reference_whose_rows_are_to_stay_is_not_warned_of() {
    let mut policy = policy();
    policy.references.push(ConfiguredReference {
        from: "audit_logs.tenant_id".to_owned(),
        to: "tenants.id".to_owned(),
        on_remove: OnRemove::Keep,
        when: std::collections::BTreeMap::new(),
    });
    let whole = World::new(shop::database()).plan(tenants(TESTS), &policy, 100).unwrap();
    let of_log = |table: &str| table == "public.audit_logs";
    assert!(!whole.plan().warnings.iter().any(|w| w.id == "logical-reference" && of_log(&w.table)));
    assert!(!whole.plan().steps.iter().any(|s| of_log(&s.table)));
}

#[test]
fn triggers_missing_indexes_and_tables_without_key_are_warned_of() {
    let mut database = shop::database();
    let users = database.schema.find("users")[0];
    database.schema.tables[users.0].effects.push(effect(EffectKind::Trigger));
    warns(database.clone(), "trigger-fires", &[("public.users", "trigger `keeper` will fire")]);
    let says = "the table has no key: its rows are told apart by their whole content";
    warns(database.clone(), "no-key", &[("public.events", says)]);
    let unvalidated = |database| {
        let whole = make(database).unwrap();
        whole.plan().warnings.iter().filter(|w| w.id == "unvalidated-key").count()
    };
    for reference in database.schema.references.iter_mut().skip(1) {
        reference.validated = false;
    }
    assert_eq!(unvalidated(database.clone()), 4);
    database.schema.references[0].validated = false;
    assert_eq!(unvalidated(database), 0, "a store that validates nothing has nothing to say of one key");
}

#[test]
fn a_missing_index_on_a_large_table_is_told_with_its_cost() {
    let mut database = shop::database();
    database.server.may_skip_checks = false;
    for reference in &mut database.schema.references {
        reference.indexed = false;
    }
    for id in 0..15_000_u32 {
        insert(&mut database, "notes", &[&(id + 10).to_string(), "-", "bulk"]);
    }
    let whole = make(database).unwrap();
    let slow: Vec<_> = whole.plan().warnings.iter().filter(|w| w.id == "missing-fk-index").collect();
    assert_eq!(slow.len(), 1, "small tables are scanned in no time");
    assert_eq!((slow[0].table.as_str(), slow[0].estimate_s), ("public.notes", Some(1)));
    assert!(slow[0].says.contains("scans 15002 rows for each of 3 removed rows"), "{}", slow[0].says);
}

#[test]
fn many_keys_stand_in_a_file_whose_hash_the_plan_holds() {
    let mut database = shop::database();
    for id in 0..1_500_u32 {
        insert(&mut database, "tenants", &[&(id + 10).to_string(), "Test"]);
    }
    let world = World::new(database);
    let whole = world.plan(tenants("name = 'Test'"), &policy(), 100).unwrap();
    let files = whole.files();
    assert_eq!(files.len(), 1);
    let content: String = files[0].lines().collect();
    assert!(matches!(&whole.plan().roots[0].keys, Keys::File { file, .. } if file == files[0].name));
    let read = |content: &str| {
        let mut lines = |_: &str, take: &mut dyn FnMut(&[u8]) -> Result<(), Fault>| {
            content.lines().try_for_each(|line| take(line.as_bytes()))
        };
        WholePlan::load(whole.plan().clone(), &mut lines)
    };
    assert_eq!(read(&content).unwrap(), whole);
    let fault = read(&content.replacen("\"10\"", "\"11\"", 1)).expect_err("the file was changed");
    assert_eq!(fault.category, Category::Archive);
}

#[test]
fn a_plan_that_was_changed_is_not_loaded_and_another_id_does_not_confirm() {
    let whole = make(shop::database()).unwrap();
    let mut changed = whole.plan().clone();
    changed.policy.limits.max_rows += 1;
    let fault = WholePlan::load(changed, &mut |_, _| Ok(())).expect_err("the digest does not fit");
    assert_eq!(fault.category, Category::Archive);
    let fault = confirm(whole.clone(), &Gate::default(), Given::Id("deadbeef")).expect_err("another id");
    assert_eq!(
        (fault.category, fault.message.as_str()),
        (Category::Refused, "`deadbeef` is not the id of this plan")
    );
    assert!(fault.hint.contains(&whole.plan().id));
}
