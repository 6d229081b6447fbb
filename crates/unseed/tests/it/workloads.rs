//! The contaminated databases of `workloads/`, cleaned as their owners would and put back to the last row.
//!
//! Not here: single traps (`semantics_*`), schemas of real applications (`applications`).

use crate::lab::{Lab, assert_same};
use std::collections::{BTreeMap, BTreeSet};
use unseed_testkit::server::{Postgres, SqliteFile};
use unseed_testkit::workloads::{Atom, Scale, load_dashboard, load_dashboard_sqlite};

const PROTECT: &str = "tenants.id=7d1f0c52-3b9e-4c58-9f4e-2a6b8e51c0d7,\
                       00000000-0000-4000-8000-000000000001,00000000-0000-4000-8000-000000000002";

/// A link that only the application knows.
const LOGS: &str = "audit_logs.tenant_id -> tenants.id delete";

fn atom(workload: &Atom) -> Lab<'static> {
    let database = Postgres::shared().unwrap().database("atom").unwrap();
    workload.load(&database).unwrap();
    Lab::of(database)
}

/// Purges 1,826 test tenants and compares every table with what SQL of the test's own leaves.
#[track_caller]
fn atom_leaves_the_survivors(more: &[&str]) {
    let lab = atom(&Atom::at(Scale::S).with_near_misses());
    let before = lab.picture();
    let mut arguments = vec!["--protect", PROTECT];
    arguments.extend(more);
    lab.plan("tenants: plan_code = 'free'", &arguments);
    lab.purge();
    assert_eq!(lab.sql("SELECT count(*) FROM tenants WHERE plan_code = 'free'"), "0");
    assert_eq!(lab.count("tenants"), 13);
    // Whatever names a tenant by a key now names one that is there.
    let owned = lab.sql(
        "SELECT string_agg(format('SELECT count(*) FROM %s x WHERE NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = x.tenant_id)', \
         a.attrelid::regclass), ' UNION ALL ') FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         WHERE a.attname = 'tenant_id' AND a.atttypid = 'uuid'::regtype AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
    );
    assert_eq!(lab.sql(&format!("SELECT sum(count) FROM ({owned}) q")), "0");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

#[test]
fn atom_with_near_misses_goes_and_comes_back() {
    atom_leaves_the_survivors(&["--batch-rows", "4000"]);
}

#[test]
fn atom_with_all_checks_on_goes_and_comes_back() {
    atom_leaves_the_survivors(&["--path", "checked"]);
}

#[test]
fn atom_with_its_logical_links_leaves_no_log_of_a_removed_tenant() {
    let lab = atom(&Atom::at(Scale::S).with_near_misses());
    let before = lab.picture();
    lab.plan(
        "tenants: plan_code = 'free'",
        &["--protect", PROTECT, "--reference", LOGS, "--batch-rows", "5000"],
    );
    lab.purge();
    let orphans = "SELECT count(*) FROM audit_logs WHERE tenant_id NOT IN (SELECT id::text FROM tenants)";
    assert_eq!(lab.sql(orphans), "0", "documents log their removal, and those entries go too");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

#[test]
fn a_plan_that_reaches_a_protected_tenant_names_each_way_in() {
    let lab = atom(&Atom::at(Scale::S).with_conflicts());
    let before = lab.picture();
    let refused = lab.try_plan("tenants: plan_code = 'free'", &["--protect", PROTECT]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let said = format!("{refused:?}");
    for way in
        ["agents.parent_agent_id", "canvas_shares.user_id", "feedback.user_id", "tenants.parent_tenant_id"]
    {
        assert!(said.contains(way), "{way} is not named in {said}");
    }
    assert_same(&lab.picture(), &before);
}

/// Test tenants by what made them, as their subdomains tell; the rest are named like companies.
const KIND: &str = "CASE WHEN subdomain ~ '^test-tenant' THEN 'test' WHEN subdomain ~ '^e2e-' THEN 'e2e' \
    WHEN subdomain ~ '^loadtest-' THEN 'load' WHEN subdomain ~ '^demo-' THEN 'demo' WHEN subdomain ~ '^acme-' THEN 'acme' \
    WHEN subdomain ~ '^(test|tmp|foo|dev|try)[0-9]+$' THEN 'junk' ELSE 'real-looking' END";

/// How large it is: S, or what `UNSEED_ATOM` says, `m` or `l`, for whoever has minutes.
fn scale() -> Scale {
    match std::env::var("UNSEED_ATOM").as_deref() {
        Err(_) | Ok("s") => Scale::S,
        Ok("m") => Scale::M,
        Ok("l") => Scale::L,
        Ok(other) => panic!("UNSEED_ATOM is `{other}`, neither s, m nor l"),
    }
}

/// What a tenant pays is left out: names, addresses, times and what belongs to it have to be enough.
#[test]
fn a_scan_of_atom_finds_the_test_tenants_of_every_kind_and_spares_every_real_one() {
    let lab = atom(&Atom::at(scale()).with_near_misses());
    let real = lab.sql("SELECT id FROM tenants WHERE plan_code <> 'free'");
    let kinds = lab.sql(&format!("SELECT id, {KIND} FROM tenants WHERE plan_code = 'free'"));
    lab.sql("UPDATE tenants SET plan_code = 'free'");
    let report = lab.json(1, &["scan", &lab.url()]);
    let findings = report["findings"].as_array().unwrap();
    let of =
        |table: &'static str| findings.iter().filter(move |f| f["table"] == table && f["verdict"] == "test");
    let key = |finding: &serde_json::Value| finding["key"]["id"].as_str().unwrap().to_owned();
    let found: BTreeSet<String> = of("public.tenants").map(key).collect();
    let lost: Vec<&str> = real.lines().filter(|id| found.contains(*id)).collect();
    assert!(real.lines().count() == 13 && lost.is_empty(), "real tenants among the findings: {lost:?}");
    let mut by_kind: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (id, kind) in kinds.lines().filter_map(|line| line.split_once('|')) {
        let counts = by_kind.entry(kind).or_default();
        counts.0 += usize::from(found.contains(id));
        counts.1 += 1;
    }
    println!("found, of each kind: {by_kind:?}");
    assert!(by_kind.len() == 7, "{by_kind:?}");
    assert!(by_kind.values().all(|(found, of)| found * 100 >= of * 98), "{by_kind:?}");
    // People who work for a real tenant stay, whatever they are called.
    let people = lab.sql(&format!(
        "SELECT id FROM users WHERE tenant_id IN ('{}')",
        real.lines().collect::<Vec<_>>().join("','")
    ));
    let users: BTreeSet<String> = of("public.users").map(key).collect();
    let lost: Vec<&str> = people.lines().filter(|id| users.contains(*id)).collect();
    println!(
        "{} users of test tenants found, {} of {} real ones",
        users.len(),
        lost.len(),
        people.lines().count()
    );
    assert!(lost.is_empty(), "users of real tenants among the findings: {lost:?}");
}

/// Scans, plans all findings, purges, and puts back.
#[track_caller]
fn findings_go_and_come_back(lab: &Lab<'_>, users: &str, real: &str) {
    let before = lab.picture();
    let real_before = lab.sql(real);
    let url = lab.url();
    let planned = lab.run(&["plan", &url, "--findings", "-o", "plan.json"]);
    assert_eq!(planned.code, Some(0), "{planned:?}");
    lab.purge();
    assert_eq!(lab.count(users), 42, "forty customers, the admin and a person called Demo Lewis stay");
    assert_eq!(lab.sql(real), real_before);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

#[test]
fn the_dashboard_is_cleaned_by_its_findings() {
    let database = Postgres::shared().unwrap().database("dashboard").unwrap();
    load_dashboard(&database).unwrap();
    let real = "SELECT count(*), min(id) FROM \"User\" WHERE email !~ '^(demo[0-9]|visitor)'";
    findings_go_and_come_back(&Lab::of(database), "\"User\"", real);
}

#[test]
fn the_dashboard_in_sqlite_is_cleaned_by_its_findings() {
    let file = SqliteFile::create().unwrap();
    load_dashboard_sqlite(&file).unwrap();
    let real = "SELECT count(*), min(id) FROM users WHERE id NOT LIKE 'cldemo%'";
    findings_go_and_come_back(&Lab::of_file(file.path().to_path_buf()), "users", real);
}

#[test]
fn the_dashboard_in_mariadb_is_cleaned_by_its_findings() {
    let lab = Lab::mariadb("");
    lab.maria().server().sql_file(lab.maria().name(), &workload("dashboard_mysql.sql")).unwrap();
    let real = "SELECT count(*), min(id) FROM users WHERE id NOT LIKE 'cldemo%'";
    findings_go_and_come_back(&lab, "users", real);
}

/// Children of a test tenant are 99 of 100; every batch is a range of tenants.
#[test]
fn one_large_child_table_in_mariadb_goes_and_comes_back() {
    let lab = Lab::mariadb("SET @children = 5000");
    let script = std::fs::read_to_string(workload("child_mysql.sql")).unwrap();
    lab.sql(&format!("SET @children = 5000;\n{script}"));
    lab.circle(
        "tenants: email LIKE 'test%'",
        &["--batch-rows", "1000"],
        &[("tenants", 99), ("messages", 4950)],
    );
}

fn workload(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workloads").join(name)
}
