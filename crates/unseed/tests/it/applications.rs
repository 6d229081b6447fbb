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

mod oracle;
mod shapes;

use crate::lab::{Lab, Picture, assert_same};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;
use unseed_testkit::populate::Population;
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

    fn print(&self) {
        let times: Vec<String> = self.seconds.iter().map(|(what, s)| format!("{what} {s:.1} s")).collect();
        let Self { name, tables, rows, removed, detached, .. } = self;
        println!(
            "{name}: {tables} tables, {rows} rows, {removed} removed, {detached} detached: {}",
            times.join(", ")
        );
    }
}

/// Fills the schema of an application and takes half of the rows of `root` out, and back in.
#[track_caller]
fn application(name: &str, root: &str, who: Who, prepare: &str) {
    let lab = Lab::postgres("");
    schemas::one(name, Engine::Postgres).unwrap().load_postgres(lab.database()).unwrap();
    let populated = Population::default().fill_postgres(lab.database()).unwrap();
    // Where one row refers to itself around a corner, none can be made.
    assert!(populated.empty.len() <= 2, "{:?}", populated.empty);
    lab.sql(prepare);
    let predicate = populated.predicate(root).unwrap_or_else(|| panic!("`{root}` has no rows")).to_owned();
    let lab = match who {
        Who::Superuser => lab,
        Who::Owner => lab.owned(),
    };
    around(&lab, name, root, &predicate).print();
}

#[track_caller]
fn around(lab: &Lab<'_>, name: &str, root: &str, predicate: &str) -> Figures {
    let mut figures = Figures { name: name.to_owned(), ..Figures::default() };
    assert_eq!(oracle::orphans(lab.database()), "", "the rows were well made");
    let before = lab.picture();
    let expected = figures.time("oracle", || lab.picture_within(&oracle::postgres(root, predicate)));
    circle(lab, &format!("{root}: {predicate}"), &before, &expected, &mut figures, |figures| {
        by_hand(lab, &before, figures);
        assert_eq!(oracle::orphans(lab.database()), "", "nothing refers to nothing");
    });
    figures
}

/// Scan, plan, purge, verify; what `purged` looks at; restore.
#[track_caller]
fn circle(
    lab: &Lab<'_>,
    roots: &str,
    before: &Picture,
    expected: &Picture,
    figures: &mut Figures,
    purged: impl FnOnce(&mut Figures),
) {
    (figures.tables, figures.rows) = (before.len(), before.values().map(Vec::len).sum());
    let url = lab.url();
    let scan = figures.time("scan", || lab.run(&["scan", &url, "--format", "json"]));
    assert!(matches!(scan.code, Some(0 | 1)), "{scan:?}");
    let plan = figures.time("plan", || lab.plan(roots, &NO_LIMITS));
    let report = figures.time("purge", || lab.purge());
    let (removed, detached) = (&report["rows"]["deleted"], &report["rows"]["detached"]);
    (figures.removed, figures.detached) = (removed.as_u64().unwrap(), detached.as_u64().unwrap());
    assert_eq!(
        plan.0["steps"].as_array().unwrap().iter().filter_map(|s| s["rows"].as_u64()).sum::<u64>(),
        figures.removed + figures.detached
    );
    assert_left(expected, &lab.picture(), &report);
    figures.time("verify", || lab.verify("r-1"));
    purged(figures);
    figures.time("restore", || lab.restore("r-1"));
    assert_same(&lab.picture(), before);
}

/// Exactly the expected rows are there, and as many more as the report says that triggers inserted.
#[track_caller]
fn assert_left(expected: &Picture, found: &Picture, report: &Value) {
    let inserted: u64 =
        report["inserted_by_triggers"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    let mut more = 0;
    for (table, rows) in expected {
        let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
        found[table].iter().for_each(|row| *counts.entry(row).or_default() += 1);
        rows.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
        let missing: Vec<_> = counts.iter().filter(|(_, n)| **n < 0).collect();
        let extra: Vec<_> = counts.iter().filter(|(_, n)| **n > 0).collect();
        assert!(
            missing.is_empty() && (extra.is_empty() || inserted > 0),
            "`{table}`: lost {missing:#?}, kept {extra:#?}"
        );
        more += extra.iter().map(|(_, n)| n.unsigned_abs()).sum::<u64>();
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
    circle(&lab, &roots, &before, &expected, &mut figures, |figures| {
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
    application("django", "auth_user", Who::Superuser, "");
}

#[test]
fn galaxy() {
    application("galaxy", "galaxy_user", Who::Superuser, "");
}

#[test]
fn indico_with_twelve_schemas_and_three_hundred_checks() {
    application("indico", "events.events", Who::Superuser, "");
}

#[test]
fn keystone_as_the_owner_of_its_tables() {
    application("keystone", "project", Who::Owner, "");
}

#[test]
fn ledgersmb_whose_triggers_want_to_know_who_deletes() {
    let known = "UPDATE users SET username = 'postgres' WHERE username = (SELECT min(username) FROM users u
        JOIN person p ON p.entity_id = u.entity_id WHERE p.entity_id % 2 = 1)";
    application("ledgersmb", "entity", Who::Superuser, known);
}

#[test]
fn neutron_as_the_owner_of_its_tables() {
    application("neutron", "standardattributes", Who::Owner, "");
}

#[test]
fn synapse() {
    application("synapse", "events", Who::Superuser, "");
}

#[test]
fn tryton() {
    application("tryton", "party_party", Who::Superuser, "");
}

#[test]
fn tryton_as_the_owner_of_its_tables() {
    application("tryton", "company_company", Who::Owner, "");
}

#[test]
fn zabbix() {
    application("zabbix", "hosts", Who::Superuser, "");
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

/// Half of the organizations of a zoo whose every table was filled.
#[track_caller]
fn zoo(name: &str, zoo: Zoo) {
    let lab = Lab::postgres(&zoo.sql());
    let populated =
        Population { first_number: 1001, ..Population::default() }.fill_postgres(lab.database()).unwrap();
    assert!(populated.empty.is_empty(), "{:?}", populated.empty);
    let root = oracle::most_referenced(lab.database());
    let predicate = populated.predicate(&root).unwrap().to_owned();
    around(&lab, name, &root, &predicate).print();
}

#[test]
fn a_zoo_with_every_shape() {
    zoo("small zoo", Zoo::small());
}

#[test]
fn a_zoo_of_1400_tables() {
    zoo("large zoo", Zoo::large());
}
