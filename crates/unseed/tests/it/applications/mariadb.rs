//! Zabbix on MariaDB: 173 tables, 226 foreign keys, triggers, and the 130,000 rows that it is delivered with.
//!
//! What must leave is worked out by SQL that knows nothing of the product: a list of keys, grown until nothing is added.

use super::{Figures, NO_LIMITS};
use crate::lab::{Lab, assert_same};
use std::collections::BTreeMap;
use std::process::Command;
use unseed_testkit::schemas::{self, Engine};

/// Foreign keys: child, its column, its primary key, parent. All of Zabbix's are over one column, to a primary key.
const LINKS: &str = "
    SELECT k.TABLE_NAME, k.COLUMN_NAME, p.COLUMN_NAME, k.REFERENCED_TABLE_NAME, r.DELETE_RULE,
        k.REFERENCED_COLUMN_NAME = q.COLUMN_NAME
    FROM information_schema.KEY_COLUMN_USAGE k
    JOIN information_schema.REFERENTIAL_CONSTRAINTS r
        ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME
    JOIN information_schema.KEY_COLUMN_USAGE p
        ON p.TABLE_SCHEMA = k.TABLE_SCHEMA AND p.TABLE_NAME = k.TABLE_NAME AND p.CONSTRAINT_NAME = 'PRIMARY'
    JOIN information_schema.KEY_COLUMN_USAGE q
        ON q.TABLE_SCHEMA = k.TABLE_SCHEMA AND q.TABLE_NAME = k.REFERENCED_TABLE_NAME AND q.CONSTRAINT_NAME = 'PRIMARY'
    WHERE k.TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME IS NOT NULL";

/// Which rows leave, in a database of its own: `doomed` has a line for each.
struct Oracle {
    database: String,
    /// Primary key of each table with rows that leave.
    keys: BTreeMap<String, String>,
}

impl Oracle {
    /// Grows the list from the roots, along every key, until nothing is added.
    fn of(lab: &Lab<'_>, (root, key): (&str, &str), predicate: &str) -> Self {
        let database = format!("{}_oracle", lab.maria().name());
        let text = lab.sql(LINKS);
        let links: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        assert!(links.len() > 200, "{text}");
        let plain = |link: &&Vec<&str>| !link[4].starts_with("SET") && link[5] == "1";
        assert!(
            links.iter().all(|link| plain(&link)),
            "a key that detaches, or leads to no primary key: {text}"
        );
        let mut round = String::new();
        let mut keys = BTreeMap::from([(root.to_owned(), key.to_owned())]);
        for link in &links {
            let [child, column, own, parent, ..] = link[..] else { panic!("{link:?}") };
            keys.insert(child.to_owned(), own.to_owned());
            round.push_str(&format!(
                "INSERT IGNORE INTO {database}.doomed SELECT '{child}', x.`{own}` FROM `{child}` x
                 JOIN {database}.doomed d ON d.t = '{parent}' AND d.r = x.`{column}`;\n"
            ));
        }
        let count = format!("SELECT count(*) FROM {database}.doomed");
        lab.sql(&format!(
            "CREATE DATABASE {database}; CREATE TABLE {database}.doomed (t VARCHAR(64), r BIGINT UNSIGNED, PRIMARY KEY (t, r));
             INSERT INTO {database}.doomed SELECT '{root}', `{key}` FROM `{root}` WHERE {predicate};"
        ));
        let mut before = String::new();
        loop {
            let now = lab.sql(&format!("{round}{count}"));
            if now == before {
                return Self { database, keys };
            }
            before = now;
        }
    }

    /// Rows that leave, by table.
    fn rows(&self, lab: &Lab<'_>) -> BTreeMap<String, usize> {
        let text = lab.sql(&format!("SELECT t, count(*) FROM {}.doomed GROUP BY t", self.database));
        let lines = text.lines().map(|line| line.split_once('\t').unwrap());
        lines.map(|(table, rows)| (table.to_owned(), rows.parse().unwrap())).collect()
    }

    /// How many of them are there.
    fn present(&self, lab: &Lab<'_>) -> usize {
        let count = |(table, key): (&String, &String)| {
            format!(
                "SELECT count(*) AS n FROM `{table}` x JOIN {}.doomed d ON d.t = '{table}' AND d.r = x.`{key}`",
                self.database
            )
        };
        let counts: Vec<String> = self.keys.iter().map(count).collect();
        let sum = format!("SELECT SUM(n) FROM ({}) c", counts.join(" UNION ALL "));
        lab.sql(&sum).parse().unwrap()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let server = unseed_testkit::server::Mariadb::shared().unwrap();
        drop(server.sql("", &format!("DROP DATABASE IF EXISTS {}", self.database)));
    }
}

#[test]
fn zabbix_in_mariadb_with_its_data() {
    let lab = Lab::mariadb("");
    schemas::one("zabbix", Engine::Mariadb).unwrap().load_mariadb(lab.maria()).unwrap();
    let before = lab.picture();
    let mut figures = Figures { name: "zabbix in MariaDB".to_owned(), ..Figures::default() };
    (figures.tables, figures.rows) = (before.len(), before.values().map(Vec::len).sum());
    assert!(figures.tables > 160 && figures.rows > 100_000, "{} {}", figures.tables, figures.rows);
    let predicate = "hostid % 3 = 0";
    let oracle = Oracle::of(&lab, ("hosts", "hostid"), predicate);
    let doomed = oracle.rows(&lab);
    let count: usize = doomed.values().sum();
    assert!(count > 5_000 && doomed.len() > 15, "{doomed:?}");
    let batches = [NO_LIMITS.as_slice(), &["--batch-rows", "10000"]].concat();
    figures.time("plan", || lab.plan(&format!("hosts: {predicate}"), &batches));
    let report = figures.time("purge", || lab.purge());
    figures.removed = report["rows"]["deleted"].as_u64().unwrap();
    assert_eq!(usize::try_from(figures.removed).unwrap(), count);
    assert_eq!(report["rows"]["detached"], 0);
    let after = lab.picture();
    assert_eq!(oracle.present(&lab), 0, "what had to leave is gone");
    for (table, rows) in &before {
        let gone = doomed.get(table).copied().unwrap_or(0);
        assert_eq!(after[table].len() + gone, rows.len(), "`{table}`");
        assert!(
            after[table].iter().all(|row| rows.binary_search(row).is_ok()),
            "`{table}` has rows as they were"
        );
    }
    figures.time("verify", || lab.verify("r-1"));
    figures.time("restore", || lab.restore("r-1"));
    assert_same(&lab.picture(), &before);
    assert_eq!(oracle.present(&lab), count);
    // The same again with nothing but the archive's folder and the server's client.
    lab.plan(&format!("hosts: {predicate}"), &batches);
    lab.purge();
    let mut shell = Command::new("sh");
    shell.args(["restore.sh", "mariadb", "--no-defaults", "--user=root"]);
    shell.arg(format!("--socket={}", lab.maria().server().socket().display())).arg(lab.maria().name());
    let output =
        figures.time("by hand", || shell.current_dir(lab.path(".unseed/archive/r-2")).output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same(&lab.picture(), &before);
    figures.print();
}
