//! Other processes on the same file: what they write in between, and what they hold.

use super::{LEFT, SHOP};
use crate::lab::{Lab, Moment, assert_same, fault, purge_with};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use unseed_core::fault::Category;

fn planned(ddl: &str) -> Lab<'static> {
    let lab = Lab::sqlite(ddl);
    lab.plan("tenants: id = 2", &[]);
    lab
}

/// Another process, in the middle of a transaction.
struct Writer(Child);

impl Writer {
    fn of(lab: &Lab<'_>, sql: &str) -> Self {
        Self::locking("IMMEDIATE", lab, sql)
    }

    fn locking(how: &str, lab: &Lab<'_>, sql: &str) -> Self {
        let flag = lab.path("holds");
        let mut child = Command::new("sqlite3")
            .arg(lab.file())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let script = format!("BEGIN {how};\n{sql};\n.shell touch {}\n", flag.display());
        child.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
        let begun = Instant::now();
        while !flag.exists() {
            assert!(begun.elapsed() < Duration::from_secs(120), "the other process does not get its lock");
            std::thread::yield_now();
        }
        Self(child)
    }

    fn commit(mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"COMMIT;\n").unwrap();
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// No wrong path, and nothing that has to be corrected: it is waited for, and then told.
#[test]
fn a_database_that_another_process_keeps_from_readers_is_told_to_be_locked() {
    let lab = planned(SHOP);
    let writer = Writer::locking("EXCLUSIVE", &lab, "SELECT 1");
    let says = ["another process keeps database", "nothing was changed", "then run the command again"];
    fault(&lab.try_purge(), 4, &says);
    writer.commit();
    lab.purge();
    lab.verify("r-1");
}

#[test]
fn a_child_that_another_process_inserts_in_between_is_archived_before_it_leaves() {
    for moment in [Moment::Archive, Moment::Remove] {
        let lab = planned(SHOP);
        let report = purge_with(&lab, moment, |time| {
            if time == 0 {
                lab.sql("INSERT INTO sessions VALUES (9, 3, 'new')");
            }
        });
        assert_eq!(report.unwrap().retries, 1);
        assert!(lab.archived("r-1", "sessions.sql").iter().any(|line| line.contains("(9,3,'new')")));
        assert_eq!(lab.count("sessions"), 1);
        lab.verify("r-1");
        lab.restore("r-1");
        assert_eq!(lab.count("sessions"), 4);
    }
}

#[test]
fn a_row_that_changes_after_it_was_archived_is_archived_again() {
    let lab = planned(SHOP);
    let report = purge_with(&lab, Moment::Remove, |time| {
        if time == 0 {
            lab.sql("UPDATE sessions SET agent = 'v99' WHERE id = 3");
        }
    });
    assert_eq!(report.unwrap().retries, 1);
    assert!(lab.archived("r-1", "sessions.sql").iter().any(|line| line.contains("(3,3,'v99')")));
    lab.restore("r-1");
    assert_eq!(lab.sql("SELECT agent FROM sessions WHERE id = 3"), "v99");
}

#[test]
fn a_root_that_becomes_a_customer_is_refused_at_any_moment() {
    let customer = "UPDATE tenants SET name = 'A real customer' WHERE id = 2";
    for moment in [Moment::Archive, Moment::Remove] {
        let lab = planned(SHOP);
        let fault = purge_with(&lab, moment, |_| drop(lab.sql(customer))).unwrap_err();
        assert_eq!(fault.category, Category::Stale, "{fault:?}");
        assert_eq!((lab.count("tenants"), lab.count("users"), lab.count("sessions")), (2, 3, 3));
    }
    let lab = planned(SHOP);
    lab.sql(customer);
    fault(&lab.try_purge(), 3, &["`tenants` 2 has changed"]);
}

/// While a batch is open, others read the old rows (WAL) or wait; none of them can write.
#[test]
fn an_open_batch_keeps_writers_out() {
    for mode in ["WAL", "DELETE"] {
        let lab = Lab::sqlite(SHOP);
        lab.sql(&format!("PRAGMA journal_mode = {mode}"));
        lab.plan("tenants: id = 2", &[]);
        let report = purge_with(&lab, Moment::Commit, |_| {
            let write = "INSERT INTO users VALUES (9, 2, 'late')";
            let said = unseed_testkit::server::sqlite::run(lab.file(), write).unwrap_err().to_string();
            assert!(said.contains("locked"), "{said}");
            assert_eq!(lab.count("users"), 3);
        });
        report.unwrap();
        assert_eq!(lab.count("users"), 1);
        lab.verify("r-1");
    }
}

/// The purge waits for another writer, and then sees what it wrote.
#[test]
fn another_process_that_writes_is_waited_for() {
    let lab = planned(SHOP);
    let mut writer = None;
    let report = std::thread::scope(|scope| {
        let mut handle = None;
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 0 {
                let other = Writer::of(&lab, "INSERT INTO sessions VALUES (9, 3, 'late')");
                writer = Some(());
                handle = Some(scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(300));
                    other.commit();
                }));
            }
        });
        handle.unwrap().join().unwrap();
        report
    });
    assert_eq!(report.unwrap().retries, 1);
    assert!(writer.is_some());
    assert_eq!(lab.count("sessions"), 1);
    lab.restore("r-1");
    assert_eq!(lab.count("sessions"), 4);
}

/// Rows of other tables that others write while a purge of many batches runs are none of its business.
#[test]
fn others_write_all_the_time_and_a_purge_still_ends() {
    let lab = Lab::sqlite(&format!(
        "{SHOP} CREATE TABLE visits (n INTEGER); WITH RECURSIVE n(n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM n WHERE n < 12)
         INSERT INTO tenants SELECT n, 'Test' FROM n;"
    ));
    lab.plan("tenants: id > 1", &["--batch-rows", "3"]);
    let mut visits = 0;
    let report = purge_with(&lab, Moment::Archive, |time| {
        if time % 2 == 0 {
            lab.sql(&format!("INSERT INTO visits VALUES ({time})"));
            visits += 1;
        }
    });
    report.unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!((lab.count("tenants"), lab.count("visits")), (1, visits));
    let _ = LEFT;
    lab.restore("r-1");
    assert_eq!(lab.count("tenants"), 12);
}

#[test]
fn a_plan_is_stale_once_the_schema_changed() {
    for change in [
        "ALTER TABLE sessions ADD note TEXT",
        "CREATE TABLE more (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users); INSERT INTO more VALUES (1, 2)",
        "CREATE TRIGGER t AFTER DELETE ON users BEGIN DELETE FROM sessions; END",
    ] {
        let lab = planned(SHOP);
        lab.sql(change);
        let before = lab.picture();
        fault(&lab.try_purge(), 3, &["the schema has changed since plan"]);
        assert_same(&lab.picture(), &before);
    }
}

/// A transaction of another process that never ends: the wait has an end, and everything is as it was.
#[test]
fn a_lock_that_never_goes_is_told() {
    let lab = planned(SHOP);
    let before = lab.picture();
    let mut writer = None;
    let begun = Instant::now();
    let fault = purge_with(&lab, Moment::Remove, |time| {
        if time == 0 {
            writer = Some(Writer::of(&lab, "INSERT INTO sessions VALUES (9, 3, 'late')"));
        }
    });
    let fault = fault.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(fault.category, Category::Store, "{fault:?}");
    assert!(fault.message.contains("another process is writing"), "{fault:?}");
    drop(writer.take().map(|mut writer| {
        drop(writer.0.stdin.take());
        writer.0.wait()
    }));
    assert_same(&lab.picture(), &before);
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    lab.left(&before, &LEFT);
}
