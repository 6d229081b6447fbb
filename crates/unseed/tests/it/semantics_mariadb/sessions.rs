//! Other sessions: what they write meanwhile, what they may wait for, what becomes of a connection that was cut; and
//! what a role must be allowed to see.

use super::{LEFT, SHOP, SHOP_BY_KEYS};
use crate::lab::{Lab, Moment, assert_same, fault, purge_with};
use unseed_core::fault::Category;
use unseed_testkit::server::Mariadb;

/// The version that is archived is the version that leaves: a plain DELETE would take the changed row.
#[test]
fn a_row_that_changes_after_it_was_archived_is_archived_again() {
    for path in ["fast", "checked"] {
        let lab = Lab::mariadb(SHOP_BY_KEYS);
        lab.plan("tenants: id = 2", &["--path", path]);
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 0 {
                lab.sql("UPDATE sessions SET agent = 'Y' WHERE id = 2");
            }
        });
        assert_eq!(report.unwrap().retries, 1, "the letter's case is all that changed");
        lab.restore("r-1");
        assert_eq!(lab.sql("SELECT agent FROM sessions WHERE id = 2"), "Y");
    }
}

/// With checks on the server would cascade it away, without a trace.
#[test]
fn a_child_that_is_inserted_after_the_closure_is_archived_before_it_leaves() {
    for path in ["fast", "checked"] {
        let lab = Lab::mariadb(SHOP_BY_KEYS);
        lab.plan("tenants: id = 2", &["--path", path]);
        let mut before = None;
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 0 {
                lab.sql("INSERT INTO sessions VALUES (9, 3, 'new', NULL)");
                before = Some(lab.picture());
            }
        });
        assert!(report.unwrap().retries >= 1);
        assert_eq!(lab.count("sessions"), 1);
        lab.verify("r-1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before.unwrap());
    }
}

/// A row that went to a customer in between is the customer's.
#[test]
fn a_row_that_moves_to_a_customer_stays() {
    let lab = Lab::mariadb(SHOP);
    lab.plan("tenants: id = 2", &[]);
    let report = purge_with(&lab, Moment::Archive, |time| {
        if time == 0 {
            lab.sql("UPDATE users SET tenant_id = 1 WHERE id = 3");
        }
    });
    assert_eq!(report.unwrap().retries, 1);
    assert_eq!(lab.sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM users"), "1,3");
    assert_eq!(lab.sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM sessions"), "1,3");
}

/// A DELETE between the first and the last key of a batch takes whatever lies there by now, and nobody has it.
#[test]
fn a_row_that_comes_between_the_keys_of_a_batch_stays() {
    let lab = Lab::mariadb(
        "CREATE TABLE events (id INT PRIMARY KEY, kind VARCHAR(9) NOT NULL);
         INSERT INTO events VALUES (1, 'test'), (5, 'real'), (9, 'test');",
    );
    for moment in [Moment::Archive, Moment::Remove] {
        let run = if moment == Moment::Archive { "r-1" } else { "r-2" };
        lab.plan("events: kind = 'test' AND id <> 4", &["--max-share", "1"]);
        let report = purge_with(&lab, moment, |_| {
            lab.sql("INSERT INTO events VALUES (4, 'test')");
        });
        assert_eq!(report.unwrap().retries, 0);
        assert_eq!(lab.sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM events"), "4,5");
        let archived = lab.archived(run, &format!("{}.events.sql", lab.maria().name()));
        assert_eq!(archived.len(), 3, "a head, two rows: {archived:?}");
        lab.verify(run);
        lab.restore(run);
        lab.sql("DELETE FROM events WHERE id = 4");
    }
}

/// A batch that is repeated leaves one copy of each row in the archive: the one that left.
#[test]
fn a_batch_that_is_repeated_archives_each_row_once() {
    for path in ["fast", "checked"] {
        let lab = Lab::mariadb(SHOP_BY_KEYS);
        lab.plan("tenants: id = 2", &["--path", path]);
        let report = purge_with(&lab, Moment::Remove, |time| {
            lab.sql(&format!("UPDATE sessions SET agent = 'version {time}' WHERE id = 2 AND {time} < 2"));
        });
        assert_eq!(report.unwrap().retries, 2);
        let rows = lab.archived("r-1", &format!("{}.sessions.sql", lab.maria().name()));
        let rows: Vec<&String> = rows.iter().filter(|row| row.starts_with('(')).collect();
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(rows.iter().filter(|row| row.contains("'version 1'")).count(), 1, "{rows:?}");
        lab.verify("r-1");
    }
}

/// A DELETE by key alone takes it, whatever it has become, and the archive has what it was.
#[test]
fn a_root_that_becomes_a_customer_is_refused_at_any_moment() {
    for moment in [Moment::Archive, Moment::Remove] {
        for path in ["fast", "checked"] {
            let lab = Lab::mariadb(SHOP);
            lab.plan("tenants: id = 2", &["--path", path]);
            let stopped = purge_with(&lab, moment, |_| {
                lab.sql("UPDATE tenants SET name = 'A real customer' WHERE id = 2");
            });
            assert_eq!(stopped.unwrap_err().category, Category::Stale);
            assert_eq!((lab.count("tenants"), lab.count("users"), lab.count("sessions")), (2, 3, 3));
        }
    }
}

/// With `foreign_key_checks` off the server lets in rows that point at nothing: somebody has to look.
#[test]
fn a_row_that_points_at_a_removed_one_is_found() {
    let lab = Lab::mariadb(SHOP);
    lab.removes("tenants: id = 2", &[], &LEFT);
    lab.sql("SET foreign_key_checks = 0; INSERT INTO sessions VALUES (9, 3, 'orphan')");
    let report = lab.json(1, &["verify", "r-1"]);
    assert!(report.to_string().contains("sessions"), "{report}");
    lab.sql("DELETE FROM sessions WHERE id = 9");
    lab.verify("r-1");
}

/// A few rows of a large table are found by its index; a hash of the whole table would lock them all.
#[test]
fn rows_that_stay_are_not_locked() {
    for path in ["fast", "checked"] {
        let lab = Lab::mariadb(
            "CREATE TABLE tenants (id INT PRIMARY KEY);
             CREATE TABLE users (id INT PRIMARY KEY, tenant_id INT NOT NULL, FOREIGN KEY (tenant_id) REFERENCES tenants (id));
             INSERT INTO tenants SELECT seq FROM seq_1_to_200; INSERT INTO users SELECT seq, 1 + seq % 200 FROM seq_1_to_20000;",
        );
        lab.plan("tenants: id = 7", &["--path", path]);
        let report = purge_with(&lab, Moment::Commit, |_| {
            // By the index, since whoever reads the whole table meets the rows that leave.
            let others = "SELECT count(*) FROM users FORCE INDEX (tenant_id) WHERE tenant_id > 100 FOR UPDATE; \
                SELECT count(*) FROM tenants WHERE id > 100 FOR UPDATE";
            assert_eq!(lab.sql(&format!("SET innodb_lock_wait_timeout = 1; {others}")), "10000\n100");
        });
        report.unwrap();
        assert_eq!(lab.count("users"), 19_900);
    }
}

/// Of a table of a few rows the server reads all rather than look some up, and locks what it reads.
#[test]
fn rows_of_small_tables_that_stay_are_not_locked() {
    for (shop, path) in [(SHOP, "fast"), (SHOP_BY_KEYS, "fast"), (SHOP_BY_KEYS, "checked")] {
        let lab = Lab::mariadb(shop);
        lab.plan("tenants: id = 2", &["--path", path]);
        let report = purge_with(&lab, Moment::Commit, |_| {
            for table in ["tenants", "users", "sessions"] {
                let touch = format!(
                    "SET innodb_lock_wait_timeout = 1; SELECT id FROM {table} WHERE id = 1 FOR UPDATE"
                );
                assert_eq!(lab.sql(&touch), "1", "{table}, {path}");
            }
        });
        report.unwrap();
        lab.verify("r-1");
    }
}

/// Gap locks would keep others from inserting beside the rows that leave.
#[test]
fn others_insert_and_read_while_a_batch_is_open() {
    let lab = Lab::mariadb(SHOP);
    lab.plan("tenants: id = 2", &[]);
    let report = purge_with(&lab, Moment::Commit, |_| {
        lab.sql("SET innodb_lock_wait_timeout = 1; INSERT INTO tenants VALUES (3, 'Next'); INSERT INTO users VALUES (4, 1, 'next@brennan.com'), (0, 3, 'x')");
        assert_eq!(lab.count("users"), 5, "what is not committed is not seen");
        assert!(
            lab.maria()
                .sql("SET innodb_lock_wait_timeout = 1; INSERT INTO users VALUES (9, 2, 'late')")
                .is_err(),
            "a child of a row that leaves waits"
        );
    });
    report.unwrap();
    assert_eq!(lab.sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM users"), "0,1,4");
    lab.verify("r-1");
}

/// Statements of the batch that commit by themselves would leave half a batch behind.
#[test]
fn a_batch_is_all_or_nothing() {
    let lab = Lab::mariadb(SHOP);
    lab.plan("tenants: id = 2", &[]);
    let before = lab.picture();
    let stopped = purge_with(&lab, Moment::Commit, |_| {
        lab.sql("SELECT GROUP_CONCAT(CONCAT('KILL ', ID) SEPARATOR ';') INTO @kill FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID(); EXECUTE IMMEDIATE @kill");
    });
    assert_eq!(stopped.unwrap_err().category, Category::Store);
    assert_same(&lab.picture(), &before);
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    lab.left(&before, &LEFT);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// Another session holds a row of the batch: it is waited for briefly, and nothing is changed.
#[test]
fn a_row_that_another_session_holds_ends_the_purge_with_nothing_changed() {
    let lab = Lab::mariadb(SHOP);
    lab.plan("tenants: id = 2", &[]);
    let before = lab.picture();
    let held = "BEGIN; SELECT id FROM users WHERE id = 2 FOR UPDATE; SELECT GET_LOCK('holds', 0); SELECT RELEASE_LOCK('go') + SLEEP(600)";
    let mut client = lab.maria().server().client("mariadb", lab.maria().name()).unwrap();
    let mut holder = client.args(["-e", held]).stdout(std::process::Stdio::null()).spawn().unwrap();
    while lab.sql("SELECT IS_USED_LOCK('holds') IS NOT NULL") != "1" {
        std::thread::yield_now();
    }
    let answer = purge_with(&lab, Moment::Archive, |_| ());
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(answer.is_err(), "{answer:?}");
    assert_same(&lab.picture(), &before);
}

fn role(lab: &mut Lab<'_>, grants: &str) {
    let name = lab.as_new_maria_user();
    for grant in grants.split(';').filter(|grant| !grant.trim().is_empty()) {
        lab.sql(&format!(
            "GRANT {} TO '{name}'@'127.0.0.1'",
            grant.replace("SHOP", &format!("`{}`", lab.maria().name()))
        ));
    }
}

#[test]
fn a_role_with_rights_on_the_database_and_process_can_do_all() {
    let mut lab = Lab::mariadb(SHOP);
    role(&mut lab, "ALL ON SHOP.*; PROCESS ON *.*");
    lab.circle("tenants: id = 2", &[], &LEFT);
}

/// A key from a database that the role cannot see would be left pointing at nothing.
#[test]
fn keys_that_the_role_cannot_see_are_a_partial_view() {
    let mut lab = Lab::mariadb(SHOP);
    let other = Mariadb::shared().unwrap().database("unseen").unwrap();
    let shop = lab.maria().name().to_owned();
    other.sql(&format!("CREATE TABLE bills (id INT PRIMARY KEY, user_id INT, FOREIGN KEY (user_id) REFERENCES `{shop}`.users (id))")).unwrap();
    role(&mut lab, "ALL ON SHOP.*; PROCESS ON *.*");
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &["bills", "refers to it"]);
    let mut lab = Lab::mariadb(SHOP);
    role(&mut lab, "ALL ON SHOP.*");
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &["PROCESS"]);
}

#[test]
fn a_right_that_is_missing_is_named_before_anything_is_done() {
    let mut lab = Lab::mariadb(SHOP);
    role(
        &mut lab,
        "SELECT, CREATE TEMPORARY TABLES ON SHOP.*; PROCESS ON *.*; DELETE ON SHOP.users; DELETE ON SHOP.tenants; UPDATE ON SHOP.tenants",
    );
    fault(&lab.try_plan("tenants: id = 2", &[]), 3, &["sessions", "DELETE"]);
}

#[test]
fn a_scan_streams_every_table_and_the_password_is_never_shown() {
    let mut lab = Lab::mariadb(SHOP);
    role(&mut lab, "SELECT ON SHOP.*");
    let url = lab.url();
    let report = lab.json(1, &["scan", &url]);
    assert!(report.to_string().contains("users"), "{report}");
    let secret = lab.maria().server().url_as("nobody", Some("s3cret-word"), lab.maria().name());
    let answer = lab.run(&["scan", &secret]);
    assert_eq!(answer.code, Some(4), "{answer:?}");
    assert!(!format!("{answer:?}").contains("s3cret-word"), "{answer:?}");
}
