//! The whole job on schemas of real applications, filled with made-up rows: scan, plan, purge, verify, restore, and a
//! restore by hand.
//!
//! What must be left is worked out by SQL of the test's own; what is there is read with the database's own client.
//!
//! Invariants
//! - after a purge exactly the expected rows are there, and those that triggers inserted;
//! - after either restore every row is as it was.
//!
//! Not here: traps one by one (`semantics_*`), random schemas (`property`).

mod mariadb;
mod oracle;
mod owner;
mod shapes;

use crate::lab::{Lab, Picture, Plan, assert_same};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;
use unseed_testkit::populate::{Populated, Population};
use unseed_testkit::schemas::{self, Engine};
use unseed_testkit::server::SqliteFile;
use unseed_testkit::zoo::Zoo;

/// Limits are not what these tests are about.
const NO_LIMITS: [&str; 4] = ["--max-share", "1", "--max-rows", "1000000"];

/// Who removes: a superuser, who may skip the server's checks, or the owner of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Superuser,
    Owner,
}

/// What a run took, and what it removed.
#[derive(Debug, Default)]
struct Figures {
    name: String,
    tables: usize,
    rows: usize,
    removed: u64,
    detached: u64,
    seconds: Vec<(&'static str, f64)>,
}

impl Figures {
    fn time<T>(&mut self, what: &'static str, run: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = run();
        self.seconds.push((what, begun.elapsed().as_secs_f64()));
        result
    }

    #[allow(clippy::print_stdout, reason = "times are for people who run this test with --nocapture")]
    fn print(&self) {
        let times: Vec<String> = self.seconds.iter().map(|(what, s)| format!("{what} {s:.1} s")).collect();
        let Self { name, tables, rows, removed, detached, .. } = self;
        println!(
            "{name}: {tables} tables, {rows} rows, {removed} removed, {detached} detached: {}",
            times.join(", ")
        );
    }
}

/// What is removed from a database, and how.
struct Job<'a> {
    name: &'a str,
    /// Table of the roots; every second of its tenants goes.
    root: &'a str,
    who: Who,
    /// SQL that runs before anything else.
    prepare: &'a str,
    /// Further arguments of the plan.
    plan: &'a [&'a str],
}

impl<'a> Job<'a> {
    fn new(name: &'a str, root: &'a str) -> Self {
        Self { name, root, who: Who::Superuser, prepare: "", plan: &[] }
    }

    fn by(self, who: Who) -> Self {
        Self { who, ..self }
    }

    fn after(self, prepare: &'a str) -> Self {
        Self { prepare, ..self }
    }

    fn planned(self, plan: &'a [&'a str]) -> Self {
        Self { plan, ..self }
    }

    /// On the schema of an application.
    #[track_caller]
    fn run(&self) {
        let lab = Lab::postgres("");
        schemas::one(self.name, Engine::Postgres).unwrap().load_postgres(lab.database()).unwrap();
        let populated = Population::default().fill_postgres(lab.database()).unwrap();
        // Where one row needs itself around a corner, none can be made.
        assert!(populated.empty.len() <= 2, "{:?}", populated.empty);
        self.run_on(lab, &populated);
    }

    /// On a zoo, whose tables get more rows.
    #[track_caller]
    fn run_in(&self, zoo: Zoo) {
        let lab = Lab::postgres(&zoo.sql());
        let more = Population { first_number: 1001, ..Population::default() };
        let populated = more.fill_postgres(lab.database()).unwrap();
        assert!(populated.empty.is_empty(), "{:?}", populated.empty);
        self.run_on(lab, &populated);
    }

    #[track_caller]
    fn run_on(&self, lab: Lab<'static>, populated: &Populated) {
        let root = self.root;
        let predicate = populated.predicate(root).unwrap_or_else(|| panic!("`{root}` has no rows"));
        lab.sql(self.prepare);
        let lab = match self.who {
            Who::Superuser => lab,
            Who::Owner => lab.owned().past_row_security(),
        };
        assert_eq!(oracle::orphans(lab.database()), "", "the rows were well made");
        let mut figures = Figures { name: self.name.to_owned(), ..Figures::default() };
        let before = lab.picture();
        let expected = figures.time("oracle", || lab.picture_within(&oracle::postgres(root, predicate)));
        let roots = format!("{root}: {predicate}");
        circle(&lab, (&roots, self.plan), [&before, &expected], &mut figures, |figures| {
            by_hand(&lab, &before, figures);
            assert_eq!(oracle::orphans(lab.database()), "", "nothing refers to nothing");
        });
        figures.print();
    }
}

/// Scan, plan, purge, verify; what `purged` looks at; restore.
#[track_caller]
fn circle(
    lab: &Lab<'_>,
    (roots, more): (&str, &[&str]),
    [before, expected]: [&Picture; 2],
    figures: &mut Figures,
    purged: impl FnOnce(&mut Figures),
) {
    (figures.tables, figures.rows) = (before.len(), before.values().map(Vec::len).sum());
    let url = lab.url();
    let scan = figures.time("scan", || lab.run(&["scan", &url, "--format", "json"]));
    assert!(matches!(scan.code, Some(0 | 1)), "{scan:?}");
    let plan = figures.time("plan", || lab.plan(roots, &[&NO_LIMITS, more].concat()));
    let report = figures.time("purge", || lab.purge());
    let of = |name: &str| report["rows"][name].as_u64().unwrap();
    (figures.removed, figures.detached) = (of("deleted"), of("detached"));
    let planned = plan.0["steps"].as_array().unwrap().iter().filter_map(|s| s["rows"].as_u64()).sum::<u64>();
    assert_eq!(planned, figures.removed + figures.detached);
    assert_left(expected, &lab.picture(), &plan, &report);
    figures.time("verify", || lab.verify("r-1"));
    purged(figures);
    figures.time("restore", || lab.restore("r-1"));
    assert_same(&lab.picture(), before);
}

/// Exactly the expected rows are there, and as many more as the report says that triggers inserted. Where triggers
/// run on every change, they may have stamped the rows that were detached.
#[track_caller]
fn assert_left(expected: &Picture, found: &Picture, plan: &Plan, report: &Value) {
    let inserted = report["inserted_by_triggers"].as_object().unwrap().values();
    let inserted: u64 = inserted.filter_map(Value::as_u64).sum();
    let mut more = 0;
    for (table, rows) in expected {
        let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
        found[table].iter().for_each(|row| *counts.entry(row).or_default() += 1);
        rows.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
        let lost: u64 = counts.values().filter(|n| **n < 0).map(|n| n.unsigned_abs()).sum();
        let extra: u64 = counts.values().filter(|n| **n > 0).map(|n| n.unsigned_abs()).sum();
        let stamped = if plan.path() == "checked" { lost.min(plan.rows(table, "detach")) } else { 0 };
        counts.retain(|_, n| *n != 0);
        assert!(lost == stamped && (extra == lost || inserted > 0), "`{table}` (-1 is lost): {counts:#?}");
        more += extra - stamped;
    }
    assert_eq!(more, inserted, "rows beyond the expected ones are those that triggers inserted");
}

/// Restores a copy of the purged database with nothing but the archive's folder and psql.
#[track_caller]
fn by_hand(lab: &Lab<'_>, before: &Picture, figures: &mut Figures) {
    let server = lab.database().server();
    let copy = server.copy(lab.database()).unwrap();
    let mut psql = server.client("psql", copy.name());
    psql.args(["-X", "-f", "restore.sql"]).current_dir(lab.path(".unseed/archive/r-1"));
    let output = figures.time("by hand", || psql.output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same(&Lab::of(copy).picture(), before);
}

/// The same for SQLite.
#[track_caller]
fn application_in_sqlite(name: &str, root: &str) {
    let file = SqliteFile::create().unwrap();
    schemas::one(name, Engine::Sqlite).unwrap().load_sqlite(&file).unwrap();
    let populated = Population::default().fill_sqlite(&file).unwrap();
    assert!(populated.empty.len() <= 2, "{:?}", populated.empty);
    let root = format!("\"{root}\"");
    let predicate = populated.predicate(&root).unwrap_or_else(|| panic!("{root} has no rows")).to_owned();
    let lab = Lab::sqlite("");
    std::fs::copy(file.path(), lab.file()).unwrap();
    let mut figures = Figures { name: format!("{name} in SQLite"), ..Figures::default() };
    let before = lab.picture();
    let oracle = oracle::sqlite(&file, &root, &predicate);
    let expected = figures.time("oracle", || lab.picture_within(&oracle));
    let roots = format!("{}: {predicate}", root.trim_matches('"'));
    circle(&lab, (&roots, &[]), [&before, &expected], &mut figures, |figures| {
        let copy = lab.path("copy.db");
        std::fs::copy(lab.file(), &copy).unwrap();
        let archive = lab.path(".unseed/archive/r-1");
        let script = std::fs::File::open(archive.join("restore.sql")).unwrap();
        let mut client = Command::new("sqlite3");
        client.arg(&copy).current_dir(&archive).stdin(Stdio::from(script));
        let output = figures.time("by hand", || client.output().unwrap());
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_same(&Lab::of_file(copy).picture(), &before);
    });
    figures.print();
}

#[test]
fn django_and_its_shop_and_cms() {
    Job::new("django", "auth_user").run();
}

#[test]
fn galaxy() {
    Job::new("galaxy", "galaxy_user").run();
}

#[test]
fn indico_with_twelve_schemas_and_three_hundred_checks() {
    Job::new("indico", "events.events").run();
}

#[test]
fn keystone_as_the_owner_of_its_tables() {
    Job::new("keystone", "project").by(Who::Owner).run();
}

#[test]
fn ledgersmb_whose_triggers_want_to_know_who_deletes() {
    let known = "UPDATE users SET username = 'postgres' WHERE username = (SELECT min(username) FROM users u
        JOIN person p ON p.entity_id = u.entity_id WHERE p.entity_id % 2 = 1)";
    Job::new("ledgersmb", "entity").after(known).run();
}

#[test]
fn neutron_as_the_owner_of_its_tables() {
    Job::new("neutron", "standardattributes").by(Who::Owner).run();
}

#[test]
fn synapse() {
    Job::new("synapse", "events").run();
}

#[test]
fn tryton_in_many_batches() {
    Job::new("tryton", "party_party").planned(&["--batch-rows", "150"]).run();
}

#[test]
fn tryton_as_the_owner_of_its_tables() {
    Job::new("tryton", "company_company").by(Who::Owner).run();
}

#[test]
fn zabbix() {
    Job::new("zabbix", "hosts").run();
}

/// Rows under keys that were never validated and that refer to nothing.
const ORPHANS: &str = "DO $$ DECLARE k record; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR k IN SELECT conrelid::regclass AS child, attname FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
        WHERE contype = 'f' AND NOT convalidated AND conparentid = 0 AND cardinality(conkey) = 1 LOOP
        EXECUTE format('UPDATE %s SET %I = 123456789 WHERE ctid IN (SELECT ctid FROM %s ORDER BY md5(ctid::text) LIMIT 2)',
            k.child, k.attname, k.child);
    END LOOP;
END $$;";

#[test]
fn a_zoo_with_every_shape() {
    Job::new("small zoo", "organizations")
        .after(ORPHANS)
        .planned(&["--batch-rows", "400"])
        .run_in(Zoo::small());
}

#[test]
fn a_zoo_with_every_shape_and_all_checks_on() {
    Job::new("checked zoo", "projects").after(ORPHANS).planned(&["--path", "checked"]).run_in(Zoo::small());
}

#[test]
fn a_zoo_with_every_shape_as_the_owner_of_its_tables() {
    Job::new("owned zoo", "users").by(Who::Owner).after(ORPHANS).run_in(Zoo::small());
}

#[test]
fn a_zoo_of_1400_tables() {
    Job::new("large zoo", "organizations").after(ORPHANS).run_in(Zoo::large());
}

#[test]
fn django_in_sqlite() {
    application_in_sqlite("django", "auth_user");
}

#[test]
fn galaxy_in_sqlite() {
    application_in_sqlite("galaxy", "galaxy_user");
}

#[test]
fn neutron_in_sqlite() {
    application_in_sqlite("neutron", "standardattributes");
}

#[test]
fn synapse_in_sqlite() {
    application_in_sqlite("synapse", "events");
}

#[test]
fn zabbix_in_sqlite() {
    application_in_sqlite("zabbix", "hosts");
}
