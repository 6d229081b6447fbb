//! The closure program against a brute-force reading of the same rules.

use std::collections::BTreeMap;
use unseed_core::closure;
use unseed_testkit::oracle;
use unseed_testkit::random::{self, Case};

const SEEDS: u64 = 2_500;

#[test]
fn generated_rows_satisfy_their_own_constraints() {
    for seed in 0..SEEDS {
        let case = random::case(seed);
        assert_eq!(oracle::first_violation(&case), None, "seed {seed}");
        assert_eq!(oracle::first_violation(&case.for_sqlite()), None, "seed {seed} for SQLite");
    }
}

#[test]
fn the_same_seed_gives_the_same_case() {
    for seed in 0..50 {
        assert_eq!(random::case(seed), random::case(seed));
    }
}

/// Every shape that the generator promises appears often, so that the properties say something.
#[test]
fn random_cases_have_every_shape() {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        for shape in shapes(&random::case(seed)) {
            *seen.entry(shape).or_default() += 1;
        }
    }
    for shape in [
        "self reference",
        "cycle",
        "forbidden set null",
        "composite",
        "partitioned",
        "one partition",
        "keyless",
        "match full",
        "check",
        "checks together",
        "default",
        "not valid",
        "detached",
        "several late",
    ] {
        let count = seen.get(shape).copied().unwrap_or(0);
        assert!(count >= 90, "{shape}: only {count} of {SEEDS}; {seen:?}");
    }
}

fn shapes(case: &Case) -> Vec<&'static str> {
    let database = case.database();
    let tables =
        case.root_keys().iter().map(|(name, _, _)| database.schema.find(name)[0]).collect::<Vec<_>>();
    let program = closure::program(&database.schema, &tables);
    let expected = oracle::expect(case);
    let references = &case.model.references;
    let mut shapes = Vec::new();
    let mut has = |shape, found: bool| shapes.extend(found.then_some(shape));
    has("self reference", references.iter().any(|r| r.child == r.parent));
    has("cycle", program.removal.iter().any(|group| group.len() > 1));
    has("forbidden set null", !program.forbidden.is_empty());
    has("composite", references.iter().any(|r| r.columns.len() > 1));
    has("partitioned", case.model.tables.iter().any(|t| t.partitions.is_some()));
    has("one partition", references.iter().any(|r| r.child_partition.is_some()));
    has("keyless", case.model.tables.iter().any(|t| t.primary_key.is_empty()));
    has("match full", references.iter().any(|r| r.match_full));
    has("check", case.model.tables.iter().any(|t| !t.checks.is_empty()));
    let visits = || program.stages.iter().flat_map(|stage| stage.visits());
    has("checks together", visits().any(|visit| !visit.together.is_empty()));
    has("default", case.model.tables.iter().flat_map(|t| &t.columns).any(|c| c.default.is_some()));
    has("not valid", references.iter().any(|r| r.not_valid));
    has("detached", !expected.detached.is_empty());
    has("several late", program.late.len() > 1);
    shapes
}
