//! The contaminated databases load and hold what their README promises.

use unseed_testkit::server::{Postgres, SqliteFile};
use unseed_testkit::workloads::{Atom, Scale, load_dashboard, load_dashboard_sqlite};

#[test]
fn atom_has_three_survivors_among_its_tenants() {
    let database = Postgres::shared().unwrap().database("atom").unwrap();
    Atom::at(Scale::S).load(&database).unwrap();
    let tenants = "SELECT count(*), count(*) FILTER (WHERE plan_code <> 'free') FROM tenants";
    assert_eq!(database.psql(tenants).unwrap(), "1829|3\n");
    assert_eq!(
        database.psql("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0").unwrap(),
        "122\n"
    );
}

#[test]
fn near_misses_and_conflicts_are_added_on_request() {
    let database = Postgres::shared().unwrap().database("atom").unwrap();
    let few = Scale::Of { tenant_count: 50, multiplier: 1 };
    Atom::at(few).with_near_misses().with_conflicts().load(&database).unwrap();
    let tenants = "SELECT count(*), count(*) FILTER (WHERE plan_code <> 'free') FROM tenants";
    assert_eq!(database.psql(tenants).unwrap(), "63|13\n");
}

#[test]
fn the_dashboard_is_the_same_on_both_engines() {
    let database = Postgres::shared().unwrap().database("dashboard").unwrap();
    load_dashboard(&database).unwrap();
    let file = SqliteFile::create().unwrap();
    load_dashboard_sqlite(&file).unwrap();
    assert_eq!(database.psql("SELECT count(*) FROM \"User\"").unwrap(), "142\n");
    assert_eq!(file.run("SELECT count(*) FROM users").unwrap(), "142\n");
}
