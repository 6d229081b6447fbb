//! What the configuration allows, on plain values.

use super::*;
use crate::approve::verdict::tests::plan as some_plan;
use crate::plan::{Keys, PlanStore, Roots};

fn planned() -> Plan {
    let mut plan = some_plan();
    plan.stores = vec![PlanStore {
        store: "main".to_owned(),
        kind: "sqlite".to_owned(),
        url: String::new(),
        server_version: String::new(),
        schema_fingerprint: String::new(),
    }];
    plan.roots = vec![Roots {
        store: None,
        table: "public.tenants".to_owned(),
        count: 0,
        columns: Vec::new(),
        chosen_by: String::new(),
        keys: Keys::Inline(Vec::new()),
    }];
    plan
}

fn list(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

fn allowed(destructive: Option<&Destructive>, change: Change) -> bool {
    plan(destructive, &planned(), change).is_ok()
}

#[test]
fn without_the_section_nothing_is_forbidden_and_with_it_everything_that_is_not_said() {
    assert!(allowed(None, Change::Remove));
    let silent = Destructive::default();
    assert!(!allowed(Some(&silent), Change::Remove));
    assert!(allowed(Some(&silent), Change::Restore), "the switch does not block the way back");
    assert!(allowed(Some(&Destructive { enabled: true, ..silent }), Change::Remove));
}

#[test]
fn stores_and_tables_that_are_not_listed_are_refused() {
    let on = Destructive { enabled: true, stores: None, roots: None };
    for (stores, roots, good) in [
        (list(&["main"]), None, true),
        (list(&["staging"]), None, false),
        (list(&[]), None, false),
        (None, list(&["users", "tenants"]), true),
        (None, list(&["public.tenants"]), true),
        (None, list(&["other.tenants"]), false),
        (None, list(&["users"]), false),
        (None, list(&[]), false),
    ] {
        let section = Destructive { stores, roots, ..on.clone() };
        assert_eq!(allowed(Some(&section), Change::Remove), good, "{section:?}");
    }
    let other = Destructive { stores: list(&["staging"]), ..on };
    assert!(!allowed(Some(&other), Change::Restore), "a restore changes a store too");
}

#[test]
fn protections_that_came_after_the_plan_make_it_stale() {
    let protection = |values: &[&str]| ConfiguredProtection {
        table: "tenants".to_owned(),
        column: Some("id".to_owned()),
        values: list(values).unwrap(),
        predicate: None,
    };
    let mut plan = planned();
    plan.policy.protect = vec![protection(&["1", "2"]), protection(&["3"])];
    assert!(protections(&[protection(&["1", "3"])], &plan).is_ok());
    assert!(protections(&[], &plan).is_ok(), "the plan keeps what it knows");
    let fault = protections(&[protection(&["1", "7"])], &plan).unwrap_err();
    assert_eq!((fault.category, fault.details), (Category::Stale, vec!["tenants.id = 7".to_owned()]));
}
