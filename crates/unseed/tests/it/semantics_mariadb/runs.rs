//! Rows of neighbouring keys, which are deleted by ranges of these keys: only archived ones, whoever writes between
//! them, and none is left behind.

use crate::lab::{Lab, Moment, assert_same, purge_with};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};

/// Fifty notes for each of forty tenants, one tenant after the other. Tenants 10, 20, 30 and 40 are real.
const BURSTS: &str = "
    CREATE TABLE tenants (id INT PRIMARY KEY, test BOOL NOT NULL);
    CREATE TABLE notes (id BIGINT PRIMARY KEY, tenant_id INT NOT NULL, text VARCHAR(40), FOREIGN KEY (tenant_id) REFERENCES tenants (id));
    INSERT INTO tenants SELECT seq, seq % 10 > 0 FROM seq_1_to_40;
    INSERT INTO notes SELECT seq, 1 + seq DIV 50, CONCAT('note ', seq) FROM seq_0_to_1999;";

const ROOTS: &str = "tenants: test";

fn bursts() -> Lab<'static> {
    let lab = Lab::mariadb(BURSTS);
    lab.plan(ROOTS, &["--max-share", "1"]);
    lab
}

/// Connections of the purge that have no transaction open.
fn onlookers(lab: &Lab<'_>) -> Vec<String> {
    let sql = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID() \
               AND ID NOT IN (SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX)";
    lab.sql(sql).lines().map(str::to_owned).collect()
}

/// A session that keeps what it wrote open until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(lab: &Lab<'_>, sql: &str) -> Self {
        let mut client = lab.maria().server().client("mariadb", lab.maria().name()).unwrap();
        client.args(["--batch", "--skip-column-names", "--unbuffered"]);
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let script =
            format!("SET tx_isolation = 'READ-COMMITTED'; START TRANSACTION; {sql}; SELECT 'held';\n");
        child.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said.trim_end(), "held", "{sql}");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

/// More runs than stand in one statement, next to rows that stay, and keys at both ends of what a number can be.
#[test]
fn rows_of_neighbouring_keys_leave_and_come_back() {
    let lab = Lab::mariadb(
        "CREATE TABLE tenants (id INT PRIMARY KEY, test BOOL NOT NULL);
         CREATE TABLE notes (id BIGINT PRIMARY KEY, tenant_id INT NOT NULL, text VARCHAR(40), FOREIGN KEY (tenant_id) REFERENCES tenants (id));
         INSERT INTO tenants VALUES (1, 0), (2, 1), (3, 1);
         INSERT INTO notes SELECT CAST(seq AS SIGNED) - 9000, IF(seq % 37 = 0, 1, 2 + seq % 2), CONCAT('note ', seq) FROM seq_1_to_20000;
         INSERT INTO notes SELECT 9223372036854775807 - seq, IF(seq = 20, 1, 2), 'last' FROM seq_0_to_99;
         INSERT INTO notes SELECT -9223372036854775808 + CAST(seq AS SIGNED), IF(seq = 20, 1, 3), 'first' FROM seq_0_to_99;",
    );
    let stay = lab.sql("SELECT count(*) FROM notes WHERE tenant_id = 1");
    let before = lab.picture();
    lab.plan("tenants: test", &["--max-share", "1"]);
    let report = purge_with(&lab, Moment::Commit, |_| assert_eq!(onlookers(&lab).len(), 1)).unwrap();
    assert_eq!(report.retries, 0);
    assert_eq!(lab.sql("SELECT count(*) FROM notes"), stay);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// The server reads the row behind a range to see that the range has ended.
#[test]
fn a_neighbour_that_somebody_has_is_not_waited_for() {
    let lab = bursts();
    let mut holder = None;
    let report = purge_with(&lab, Moment::Archive, |_| {
        let change = "UPDATE notes SET text = 'held' WHERE tenant_id % 10 = 0";
        holder.get_or_insert_with(|| Holder::of(&lab, change));
    });
    assert_eq!(report.unwrap().retries, 0);
    assert_eq!(lab.count("notes"), 200);
    drop(holder);
    lab.verify("r-1");
}

/// Such a row is in no range of keys that were archived, or between two of them.
#[test]
fn a_row_that_comes_without_any_check_is_archived_before_it_leaves() {
    for id in [-5, 2000, 420] {
        let lab = Lab::mariadb(&format!("{BURSTS} DELETE FROM notes WHERE id = 420;"));
        lab.plan(ROOTS, &["--max-share", "1"]);
        let mut before = None;
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 0 {
                lab.sql(&format!("SET foreign_key_checks = 0; INSERT INTO notes VALUES ({id}, 3, 'new')"));
                before = Some(lab.picture());
            }
        });
        assert_eq!(report.unwrap().retries, 1, "{id}");
        assert_eq!(lab.count("notes"), 200);
        lab.verify("r-1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before.unwrap());
    }
}

/// A customer's row that takes a key which is free between two archived ones stays.
#[test]
fn a_row_of_a_customer_that_comes_between_the_keys_stays() {
    for moment in [Moment::Archive, Moment::Remove] {
        let lab = Lab::mariadb(&format!("{BURSTS} DELETE FROM notes WHERE id = 420;"));
        lab.plan(ROOTS, &["--max-share", "1"]);
        let report = purge_with(&lab, moment, |_| {
            lab.sql("INSERT INTO notes VALUES (420, 10, 'of a customer')");
        });
        assert_eq!(report.unwrap().retries, 0);
        assert_eq!(lab.sql("SELECT text FROM notes WHERE id = 420"), "of a customer");
        assert_eq!(lab.count("notes"), 201);
        lab.verify("r-1");
    }
}

/// What is not committed yet may be by the time the batch is: it is seen, and the batch does not leave.
#[test]
fn a_row_that_is_not_committed_yet_is_seen() {
    let lab = bursts();
    let mut holder = None;
    let stopped = purge_with(&lab, Moment::Remove, |_| {
        let added = "SET foreign_key_checks = 0; INSERT INTO notes VALUES (5000, 3, 'new')";
        holder.get_or_insert_with(|| Holder::of(&lab, added));
    });
    assert!(stopped.is_err());
    assert_eq!((lab.count("tenants"), lab.count("notes")), (40, 2000));
    drop(holder);
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!((lab.count("tenants"), lab.count("notes")), (4, 200));
    lab.verify("r-1");
}

/// Where nobody can look behind, rows leave by their reference, as they do where keys are scattered.
#[test]
fn a_purge_goes_on_without_its_second_connection() {
    let lab = Lab::mariadb(BURSTS);
    lab.plan(ROOTS, &["--max-share", "1", "--batch-rows", "500"]);
    let mut killed = 0;
    let report = purge_with(&lab, Moment::Remove, |_| {
        for id in onlookers(&lab) {
            lab.sql(&format!("KILL {id}"));
            killed += 1;
        }
    });
    assert_eq!((report.unwrap().retries, killed), (1, 1));
    assert_eq!(lab.count("notes"), 200);
    lab.verify("r-1");
    let scattered = Lab::mariadb(&BURSTS.replace("1 + seq DIV 50", "1 + seq % 40"));
    scattered.plan(ROOTS, &["--max-share", "1"]);
    let report = purge_with(&scattered, Moment::Remove, |_| {
        assert_eq!(onlookers(&scattered).len(), 0);
    });
    assert_eq!(report.unwrap().retries, 0);
    assert_eq!(scattered.count("notes"), 200);
}
