//! What others do between the closure, the archive, the removal and the commit: each race is the same one every
//! time, because it happens inside a call of the store.

use super::SHOP;
use crate::lab::{Lab, Moment, assert_same, fault, purge_with};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use unseed_core::fault::Category;

/// Both ways of removing, planned.
fn planned(ddl: &str, more: &[&str]) -> [Lab<'static>; 2] {
    let labs = [Lab::postgres(ddl), Lab::postgres(ddl).owned()];
    labs[0].plan("tenants: id > 1", &[&["--path", "fast"], more].concat());
    labs[1].plan("tenants: id > 1", more);
    labs
}

/// A session of its own that holds what its statements lock until it is dropped.
pub(crate) struct Holder(Child);

impl Holder {
    pub(crate) fn of(lab: &Lab<'_>, sql: &str) -> Self {
        let mut client: Command = lab.database().server().client("psql", lab.database().name());
        let mut child = client
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let script = format!("SET application_name = 'holder'; BEGIN; {sql}; SELECT 1;\n");
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), script.as_bytes()).unwrap();
        let state = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND \
                     datname = current_database() AND state = 'idle in transaction' AND query ~ 'SELECT 1'";
        wait_for(lab, state, "1");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

#[track_caller]
pub(crate) fn wait_for(lab: &Lab<'_>, query: &str, answer: &str) {
    let begun = Instant::now();
    while lab.sql(query) != answer {
        assert!(begun.elapsed() < Duration::from_secs(120), "{query} never becomes {answer}");
    }
}

/// The naive purge cascades it away: archived 1, removed 2. pt-archiver does the same.
#[test]
fn a_child_that_is_inserted_after_the_closure_is_archived_before_it_leaves() {
    for rule in
        ["ON DELETE CASCADE", "", "ON DELETE RESTRICT", "DEFERRABLE INITIALLY DEFERRED", "ON DELETE SET NULL"]
    {
        let ddl =
            SHOP.replace("NOT NULL REFERENCES users ON DELETE CASCADE", &format!("REFERENCES users {rule}"));
        for lab in planned(&ddl, &[]) {
            let mut before = None;
            let report = purge_with(&lab, Moment::Remove, |time| {
                if time == 0 {
                    lab.sql("INSERT INTO sessions VALUES (9, 3, 'new')");
                    before = Some(lab.picture());
                }
            });
            let report = report.unwrap_or_else(|fault| panic!("{rule}: {fault:?}"));
            assert!(report.retries >= 1);
            if rule.contains("NULL") {
                assert_eq!(lab.sql("SELECT count(*) FROM sessions WHERE user_id IS NULL"), "3");
            } else {
                assert!(lab.archived("r-1", "public.sessions.copy").contains(&"9\t3\tnew".to_owned()));
                assert_eq!(lab.count("sessions"), 1);
            }
            lab.verify("r-1");
            lab.restore("r-1");
            assert_same(&lab.picture(), &before.unwrap());
        }
    }
}

/// READ COMMITTED deletes the changed version: archived v=1, deleted v=99.
#[test]
fn a_row_that_changes_after_it_was_archived_is_archived_again() {
    for lab in planned(SHOP, &[]) {
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 0 {
                lab.sql("UPDATE sessions SET agent = 'v99' WHERE id = 3");
            }
        });
        assert_eq!(report.unwrap().retries, 1);
        assert_eq!(
            lab.archived("r-1", "public.sessions.copy"),
            ["2\t2\ty", "3\t3\tv99"],
            "the last version, once"
        );
        lab.restore("r-1");
        assert_eq!(lab.sql("SELECT agent FROM sessions WHERE id = 3"), "v99");
    }
}

/// Its place on the disk is given to a row of somebody else: the address is the same, the version is not.
#[test]
fn a_row_that_took_the_place_of_another_stays() {
    for lab in planned(SHOP, &[]) {
        let place = lab.sql("SELECT ctid FROM sessions WHERE id = 3");
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 0 {
                lab.sql("DELETE FROM sessions WHERE id = 3");
                lab.sql("VACUUM sessions");
                lab.sql("INSERT INTO sessions VALUES (50, 1, 'a customer')");
            }
        });
        report.unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!(lab.sql("SELECT ctid FROM sessions WHERE id = 50"), place, "the place was given away");
        assert_eq!(lab.archived("r-1", "public.sessions.copy"), ["2\t2\ty"]);
    }
}

#[test]
fn a_row_that_changes_before_it_is_archived_is_found_again() {
    for lab in planned(SHOP, &[]) {
        let report = purge_with(&lab, Moment::Archive, |time| {
            if time == 0 {
                lab.sql("UPDATE sessions SET agent = 'v99' WHERE id = 3; DELETE FROM sessions WHERE id = 2");
            }
        });
        assert_eq!(report.unwrap().retries, 1);
        assert_eq!(lab.archived("r-1", "public.sessions.copy"), ["3\t3\tv99"]);
        assert_eq!(lab.count("sessions"), 1);
    }
}

/// As many rows left the table as were to leave, but one of them is a customer's.
#[test]
fn a_row_that_a_trigger_removes_does_not_make_up_for_one_that_left() {
    let ddl = format!(
        "{SHOP} CREATE FUNCTION wipe() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM sessions WHERE id = 1; RETURN NULL; END';
         CREATE TRIGGER wipe AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION wipe();"
    );
    for lab in planned(&ddl, &[]) {
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 0 {
                lab.sql("DELETE FROM sessions WHERE id = 3");
            }
        });
        let fault = report.unwrap_err();
        assert!(format!("{fault:?}").contains("wipe"), "{fault:?}");
        assert_eq!(lab.sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM sessions"), "1,2");
        assert_eq!(lab.count("users"), 3);
    }
}

/// A reference that someone sets anew while it is being detached keeps its new value.
#[test]
fn a_reference_that_moves_to_a_real_row_is_left_alone() {
    let ddl = format!(
        "{SHOP} CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE SET NULL);
         INSERT INTO notes VALUES (1, 2), (2, 3);
         CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER touch BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION nothing();"
    );
    for lab in planned(&ddl, &[]) {
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 0 {
                lab.sql("UPDATE notes SET user_id = 1 WHERE id = 1");
            }
        });
        report.unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!(lab.sql("SELECT * FROM notes ORDER BY 1"), "1|1\n2|");
        lab.restore("r-1");
        assert_eq!(lab.sql("SELECT * FROM notes ORDER BY 1"), "1|1\n2|3");
    }
}

/// pt-archiver deletes it: its DELETE looks at the key only.
#[test]
fn a_root_that_becomes_a_customer_is_refused_at_any_moment() {
    let customer = "UPDATE tenants SET name = 'A real customer' WHERE id = 2";
    for lab in planned(SHOP, &[]) {
        lab.sql(customer);
        let now = lab.picture();
        fault(
            &lab.try_purge(),
            3,
            &["1 root is not what it was", "`public.tenants` 2 has changed", "nothing was changed"],
        );
        assert_same(&lab.picture(), &now);
    }
    for moment in [Moment::Archive, Moment::Remove] {
        for lab in planned(SHOP, &[]) {
            let fault = purge_with(&lab, moment, |_| drop(lab.sql(customer))).unwrap_err();
            assert_eq!(fault.category, Category::Stale, "{fault:?}");
            assert_eq!(lab.sql("SELECT count(*), max(name) FROM tenants"), "2|Brennan");
            assert_eq!((lab.count("users"), lab.count("sessions")), (3, 3));
        }
    }
}

#[test]
fn a_root_that_is_gone_is_refused() {
    for lab in planned(&format!("{SHOP} INSERT INTO tenants VALUES (3, 'Test 3');"), &[]) {
        lab.sql("DELETE FROM tenants WHERE id = 3");
        fault(&lab.try_purge(), 3, &["`public.tenants` 3 is gone"]);
        assert_eq!(lab.count("tenants"), 2);
    }
}

/// Something of a real tenant came to depend on a row of the plan: the purge looks again.
#[test]
fn a_protected_row_that_comes_to_depend_on_a_root_is_refused_when_purging() {
    let ddl = format!(
        "{SHOP} CREATE TABLE docs (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, author_id int NOT NULL REFERENCES users);"
    );
    for lab in planned(&ddl, &["--protect", "tenants.id=1"]) {
        lab.sql("INSERT INTO docs VALUES (1, 1, 3)");
        let now = lab.picture();
        let says = ["protected", "public.tenants 2 → public.users 3", "public.docs 1"];
        fault(&lab.try_purge(), 3, &says);
        assert_same(&lab.picture(), &now);
    }
}

/// An open insert of a child holds its parent. The wait has an end, is tried again, and then told.
#[test]
fn an_open_insert_of_a_child_is_waited_for_and_then_told() {
    for (lab, way) in [(Lab::postgres(SHOP), "fast"), (Lab::postgres(SHOP).owned(), "checked")] {
        let lab = lab.with_setting("lock_timeout=100ms");
        lab.plan("tenants: id = 2", &["--path", way]);
        let before = lab.picture();
        let holder = Holder::of(&lab, "INSERT INTO users VALUES (9, 2, 'open')");
        let fault = purge_with(&lab, Moment::Commit, |_| ()).unwrap_err();
        assert_eq!(fault.category, Category::Store, "{fault:?}");
        assert!(fault.message.contains("lock"), "{fault:?}");
        assert!(
            fault.state.contains("was rolled back") && fault.hint.contains("unseed resume r-1"),
            "{fault:?}"
        );
        drop(holder);
        assert_same(&lab.picture(), &before);
        lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
        assert_eq!(lab.count("tenants"), 1);
        lab.verify("r-1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

/// While a batch is open, nobody can hang a new child on its roots, but everybody can read.
#[test]
fn an_open_batch_blocks_new_children_but_no_readers() {
    for lab in planned(SHOP, &[]) {
        let report = purge_with(&lab, Moment::Commit, |_| {
            assert_eq!(lab.count("users"), 3, "others still see the rows");
            let insert = "SET lock_timeout = '100ms'; INSERT INTO users VALUES (9, 2, 'late')";
            let said = lab.database().psql(insert).unwrap_err().to_string();
            assert!(said.contains("lock timeout"), "{said}");
        });
        report.unwrap();
        assert_eq!(lab.count("users"), 1);
    }
}

/// Every address of the closure is wrong afterwards, and the rows of one transaction cannot be told apart.
#[test]
fn a_table_that_is_rewritten_in_between_loses_no_other_rows() {
    let ddl = format!("{SHOP} DELETE FROM users WHERE id = 1; INSERT INTO users VALUES (1, 1, 'moved');
        BEGIN; CREATE TABLE marks (id int PRIMARY KEY, user_id int REFERENCES users); INSERT INTO marks SELECT n, 1 + n % 3 FROM generate_series(1, 30) n; COMMIT;")
        .replace("DELETE FROM users WHERE id = 1;", "DELETE FROM sessions WHERE id = 1; DELETE FROM users WHERE id = 1;");
    for moment in [Moment::Archive, Moment::Remove] {
        for lab in planned(&ddl, &[]) {
            let report = purge_with(&lab, moment, |time| {
                if time == 0 {
                    lab.sql("DELETE FROM marks WHERE id < 5");
                    lab.sql("VACUUM FULL users");
                    lab.sql("VACUUM FULL marks");
                }
            });
            report.unwrap_or_else(|fault| panic!("{fault:?}"));
            assert_eq!(lab.sql("SELECT id FROM users"), "1");
            assert_eq!(lab.sql("SELECT DISTINCT user_id FROM marks"), "1");
            lab.verify("r-1");
            lab.restore("r-1");
            assert_eq!((lab.count("users"), lab.count("marks")), (3, 26));
        }
    }
}

/// The rewrite waits until the batch looks the other way: after the comparison, before the delete.
#[test]
fn a_table_cannot_be_rewritten_while_a_batch_waits() {
    let ddl = format!(
        "{SHOP} CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE SET NULL); INSERT INTO notes VALUES (1, 2);
         CREATE TABLE marks (id int PRIMARY KEY, user_id int REFERENCES users);
         INSERT INTO marks SELECT n, CASE WHEN n < 10 THEN 2 ELSE 1 END FROM generate_series(0, 29) n; DELETE FROM marks WHERE id = 0;"
    );
    for lab in planned(&ddl, &[]) {
        let holder = Holder::of(&lab, "SELECT * FROM notes WHERE id = 1 FOR UPDATE");
        let before = lab.picture();
        std::thread::scope(|scope| {
            let purge = scope.spawn(|| purge_with(&lab, Moment::Commit, |_| ()));
            let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND \
                         application_name = 'unseed' AND wait_event_type = 'Lock'";
            wait_for(&lab, waits, "t");
            let rewrite = "SET lock_timeout = '300ms'; VACUUM FULL marks";
            drop(lab.database().psql(rewrite));
            drop(holder);
            purge.join().unwrap().unwrap_or_else(|fault| panic!("{fault:?}"));
        });
        assert_eq!(lab.sql("SELECT DISTINCT user_id FROM marks"), "1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

/// A check that waits for the commit fails there, after everything was removed: all of it comes back.
#[test]
fn a_check_that_fails_at_the_commit_loses_nothing() {
    let ddl = format!(
        "{SHOP} CREATE TABLE quota (least int); INSERT INTO quota VALUES (3);
         CREATE FUNCTION enough() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF (SELECT count(*) FROM users) < (SELECT least FROM quota) THEN RAISE EXCEPTION 'too few users'; END IF; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER enough AFTER DELETE ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION enough();"
    );
    for lab in planned(&ddl, &[]) {
        let before = lab.picture();
        fault(&lab.try_purge(), 4, &["too few users", "batch 1 was rolled back", "unseed resume r-1"]);
        assert_same(&lab.picture(), &before);
        lab.sql("UPDATE quota SET least = 1");
        lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
        lab.verify("r-1");
        assert_eq!(lab.count("users"), 1);
    }
}

/// A transaction that was open before the rows were made, anywhere on the server, makes them look younger than
/// they are: what the closure knows is no news, in whatever batch it leaves.
#[test]
fn an_old_transaction_elsewhere_does_not_stop_a_purge() {
    let labs = [Lab::postgres(SHOP), Lab::postgres(SHOP).owned()];
    for lab in labs {
        let role = lab.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'users'");
        lab.sql(&format!(
            "CREATE TABLE elsewhere (n int); CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE SET NULL);
             ALTER TABLE notes OWNER TO {role}; ALTER TABLE elsewhere OWNER TO {role}"
        ));
        let holder = Holder::of(&lab, "INSERT INTO elsewhere VALUES (1)");
        lab.sql(
            "INSERT INTO tenants SELECT n, 'Test' FROM generate_series(3, 12) n; INSERT INTO users SELECT n + 10, n, 'x' FROM generate_series(3, 12) n;
             INSERT INTO notes SELECT n, n + 10 FROM generate_series(3, 12) n;",
        );
        lab.plan("tenants: id > 1", &["--batch-rows", "3"]);
        let report = lab.purge();
        assert!(report["batches"]["done"].as_u64().unwrap() > 5, "{report}");
        assert_eq!(report["retries"], 0, "{report}");
        drop(holder);
        lab.verify("r-1");
    }
}

/// Many batches in a row: what one batch counted is not counted again for the next.
#[test]
fn batches_are_proven_one_by_one() {
    for lab in planned(
        &format!(
            "{SHOP} INSERT INTO tenants SELECT n, 'Test' FROM generate_series(3, 30) n; INSERT INTO users SELECT n + 10, n, 'x' FROM generate_series(3, 30) n;"
        ),
        &["--batch-rows", "3"],
    ) {
        let before = lab.picture();
        let report = lab.purge();
        assert!(report["batches"]["done"].as_u64().unwrap() > 10, "{report}");
        assert_eq!(report["retries"], 0);
        lab.verify("r-1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

/// Dependents that appear are taken along within the drift that the policy allows, and refused beyond it.
#[test]
fn dependents_that_appear_are_taken_along_up_to_a_limit() {
    for lab in planned(SHOP, &[]) {
        lab.sql("INSERT INTO sessions SELECT n, 2, 'new' FROM generate_series(10, 200) n");
        let now = lab.picture();
        fault(
            &lab.try_purge(),
            3,
            &["191 rows differ from the 5 planned ones", "`public.sessions`: 2 rows planned, 193 found"],
        );
        assert_same(&lab.picture(), &now);
    }
}

/// A batch of so many rows leaves table by table, up to one whose trigger changes rows that leave later. What comes in
/// between goes with a cascade of the server, and neither that nor a row which changed is made up for by another.
#[test]
fn a_large_batch_that_leaves_table_by_table_loses_nothing_either() {
    let ddl = "CREATE TABLE tenants (id int PRIMARY KEY, best int);
        CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, by_id int REFERENCES users);
        ALTER TABLE tenants ADD FOREIGN KEY (best) REFERENCES users;
        CREATE TABLE events (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE, what text) PARTITION BY RANGE (id);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100000);
        CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (100000) TO (1000000);
        CREATE INDEX ON events (user_id); CREATE INDEX ON users (tenant_id); CREATE INDEX ON users (by_id);
        INSERT INTO tenants SELECT n FROM generate_series(1, 20) n;
        INSERT INTO users SELECT n, 1 + n % 20, CASE WHEN n % 20 > 1 THEN n - 1 END FROM generate_series(1, 400) n WHERE n % 20 > 0;
        UPDATE tenants SET best = (SELECT min(u.id) FROM users u WHERE tenant_id = tenants.id);
        INSERT INTO users VALUES (1000, 1, NULL);
        CREATE TABLE notes (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users); INSERT INTO notes SELECT id, id FROM users;
        CREATE FUNCTION unset() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE users SET by_id = NULL WHERE id = OLD.user_id; RETURN NULL; END $$;
        CREATE TRIGGER unset AFTER DELETE ON notes FOR EACH ROW EXECUTE FUNCTION unset();
        INSERT INTO events SELECT n, u.id, 'e' FROM generate_series(1, 640) g, users u, LATERAL (SELECT g * 500 + u.id % 500 AS n) x;
        ANALYZE";
    let lab = Lab::postgres(ddl).owned();
    assert!(lab.count("events") > 220_000, "{}", lab.count("events"));
    let digest = "SELECT count(*), sum(hashtextextended(events::text, 0)::numeric) FROM events";
    lab.plan("tenants: id > 1", &["--batch-rows", "1000000000"]);
    let mut before = String::new();
    let report = purge_with(&lab, Moment::Remove, |time| {
        if time == 0 {
            let (one, other) =
                ("SELECT min(id) FROM events", "SELECT min(id) FROM users WHERE tenant_id > 1");
            lab.sql(&format!(
                "UPDATE events SET what = 'changed' WHERE id = ({one}); INSERT INTO events SELECT 999999, ({other}), 'late'"
            ));
            before = lab.sql(digest);
        }
    });
    let report = report.unwrap();
    assert_eq!((report.retries, report.batches.done), (1, 1));
    assert_eq!(lab.sql("SELECT count(*), min(user_id) FROM events"), "640|1000");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_eq!(lab.sql(digest), before);
    let twice = "SELECT count(*) FROM events WHERE what <> 'e'";
    assert_eq!(lab.sql(twice), "2");
}
