//! A batch that was archived while the one before it was removed: whatever happens to its rows in between, what is
//! archived is what left.

use crate::lab::{Lab, Moment, assert_same, purge_with};

const SHOPS: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY);
    CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, email text);
    CREATE INDEX ON users (tenant_id);
    INSERT INTO tenants SELECT g FROM generate_series(1, 4) g;
    INSERT INTO users SELECT g, 1 + g % 4, 'u' || g || '@test.com' FROM generate_series(1, 40) g;";

/// Both paths, one root in each batch.
fn planned() -> [Lab<'static>; 2] {
    let labs = [Lab::postgres(SHOPS), Lab::postgres(SHOPS).owned()];
    labs[0].plan("tenants: id > 1", &["--path", "fast", "--batch-rows", "1"]);
    labs[1].plan("tenants: id > 1", &["--batch-rows", "1"]);
    labs
}

/// Something happens to rows of the second batch while the first is about to be removed.
fn happens(statement: &str) {
    for lab in planned() {
        let mut before = None;
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 0 {
                lab.sql(statement);
                before = Some(lab.picture());
            }
        });
        let report = report.unwrap();
        assert_eq!((report.retries, report.batches.done), (1, 3), "{statement}");
        assert_eq!(lab.sql("SELECT count(*), max(tenant_id) FROM users"), "10|1");
        lab.verify("r-1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before.unwrap());
    }
}

#[test]
fn a_row_that_changes_after_it_was_archived_ahead_is_archived_again() {
    happens("UPDATE users SET email = 'v99' WHERE id = 2");
}

#[test]
fn a_row_that_comes_after_its_batch_was_archived_ahead_is_archived_too() {
    happens("INSERT INTO users VALUES (99, 3, 'new')");
}

#[test]
fn a_row_that_goes_after_it_was_archived_ahead_is_not_restored() {
    happens("DELETE FROM users WHERE id = 2");
}

/// A role with room for one connection archives and removes in turn.
#[test]
fn without_room_for_a_second_connection_batches_take_turns() {
    let lab = Lab::postgres(SHOPS).owned();
    let role = lab.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'tenants'");
    lab.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT 1"));
    lab.plan("tenants: id > 1", &["--batch-rows", "1"]);
    let before = lab.picture();
    assert_eq!(lab.purge()["batches"]["done"], 3);
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// The first batch holds no user, so nothing can refer to its users; the look that it causes must still see the new
/// session of a user of the second, after whom nobody writes any more.
#[test]
fn news_about_a_later_batch_are_not_forgotten() {
    let lab = Lab::postgres(
        "CREATE TABLE tenants (id int PRIMARY KEY);
         CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
         CREATE TABLE sessions (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users);
         CREATE INDEX ON users (tenant_id); CREATE INDEX ON sessions (user_id);
         INSERT INTO tenants VALUES (1), (2), (3); INSERT INTO users VALUES (1, 1), (3, 3); INSERT INTO sessions VALUES (1, 1);",
    );
    lab.plan("tenants: id > 1", &["--path", "fast", "--batch-rows", "1"]);
    let mut before = None;
    let report = purge_with(&lab, Moment::Remove, |time| {
        if time == 0 {
            lab.sql("INSERT INTO sessions VALUES (9, 3)");
            before = Some(lab.picture());
        }
    });
    assert_eq!(report.unwrap().retries, 1);
    assert_eq!(lab.sql("SELECT id FROM sessions"), "1");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before.unwrap());
}

/// Where a batch is small beside the tables, what refers to its rows is looked up by index.
#[test]
fn news_are_found_in_tables_that_are_far_larger_than_a_batch() {
    for (session, retries) in
        [("INSERT INTO sessions VALUES (9, 10002)", 1), ("INSERT INTO sessions VALUES (9, 7)", 0)]
    {
        for second in [false, true] {
            let lab = Lab::postgres(
                "CREATE TABLE tenants (id int PRIMARY KEY);
                 CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
                 CREATE TABLE sessions (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users);
                 CREATE INDEX ON users (tenant_id); CREATE INDEX ON sessions (user_id);
                 INSERT INTO tenants VALUES (1), (2), (3);
                 INSERT INTO users SELECT g, 1 FROM generate_series(1, 5000) g;
                 INSERT INTO users VALUES (10002, 2), (10003, 3); INSERT INTO sessions VALUES (1, 10003); ANALYZE;",
            );
            lab.plan("tenants: id > 1", &["--path", "fast", "--batch-rows", "1"]);
            let session = if second { session.replace("10002", "10003") } else { session.to_owned() };
            let mut before = None;
            let report = purge_with(&lab, Moment::Remove, |time| {
                if time == 0 {
                    lab.sql(&session);
                    before = Some(lab.picture());
                }
            });
            assert_eq!(report.unwrap().retries, retries, "{session}");
            assert_eq!(lab.sql("SELECT count(*) FROM users WHERE id > 5000"), "0");
            lab.verify("r-1");
            lab.restore("r-1");
            assert_same(&lab.picture(), &before.unwrap());
        }
    }
}

/// Statements of batches are kept by the server from the second time on. Here each batch removes from other tables than
/// the one before it, so that there are more such statements than are kept; a table changes among them, and then a row,
/// after which everything is looked at again.
#[test]
fn many_batches_of_many_kinds_take_what_is_theirs() {
    let tables: Vec<String> = (0..12)
        .map(|n| {
            format!(
                "CREATE TABLE t{n} (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, what text);
                 INSERT INTO t{n} SELECT g, g, 'x' FROM generate_series(1, 41) g WHERE g % 12 = {n};"
            )
        })
        .collect();
    let schema = format!(
        "CREATE TABLE tenants (id int PRIMARY KEY); INSERT INTO tenants SELECT g FROM generate_series(1, 41) g; {}",
        tables.concat()
    );
    for path in ["fast", "checked"] {
        let lab = Lab::postgres(&schema);
        lab.plan("tenants: id < 41", &["--path", path, "--batch-rows", "1"]);
        let report = purge_with(&lab, Moment::Remove, |time| {
            if time == 25 {
                lab.sql("ALTER TABLE t1 ADD COLUMN more text DEFAULT 'm'; ALTER TABLE t1 DROP COLUMN more");
            }
            if time == 30 {
                lab.sql("UPDATE t1 SET what = 'y' WHERE id = 37");
            }
        });
        let report = report.unwrap();
        assert_eq!((report.batches.done, report.retries), (40, 1), "{path}");
        assert_eq!(lab.sql("SELECT count(*) FROM t5"), "1");
        assert_eq!(lab.count("tenants"), 1);
        lab.verify("r-1");
        lab.restore("r-1");
        assert_eq!(lab.sql("SELECT string_agg(id || what, ' ' ORDER BY id) FROM t1"), "1x 13x 25x 37y");
        assert_eq!(lab.count("tenants"), 41);
    }
}
