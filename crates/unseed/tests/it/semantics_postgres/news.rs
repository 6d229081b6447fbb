//! Rows that others write while batches leave: what refers to a row of a batch sends it back, wherever it is looked
//! for; what customers write meanwhile does not.

use crate::lab::{Lab, Moment, assert_same, purge_with};

/// Tables that batches are small beside, whose references are looked up by their indexes, and one whose versions are
/// read, since its reference has none.
const LARGE: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY);
    CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
    CREATE INDEX ON users (tenant_id);
    CREATE TABLE visits (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users);
    CREATE INDEX ON visits (user_id);
    CREATE TABLE marks (id int PRIMARY KEY, user_id int REFERENCES users);
    CREATE TABLE notes (id int PRIMARY KEY, tenant text);
    INSERT INTO tenants SELECT g FROM generate_series(1, 6) g;
    INSERT INTO users SELECT g, CASE WHEN g <= 10 THEN 2 + g % 5 ELSE 1 END FROM generate_series(1, 4000) g;
    INSERT INTO visits SELECT g, g FROM generate_series(1, 4000) g;
    INSERT INTO marks SELECT g, g FROM generate_series(1, 100) g;
    INSERT INTO notes SELECT g, (1 + g % 6)::text FROM generate_series(1, 60) g;
    ANALYZE;";

fn planned() -> [Lab<'static>; 2] {
    let labs = [Lab::postgres(LARGE), Lab::postgres(LARGE).owned()];
    let notes = "[[references]]\nfrom = \"notes.tenant\"\nto = \"tenants.id\"\non_remove = \"delete\"\n";
    for (lab, path) in labs.iter().zip(["fast", "checked"]) {
        std::fs::write(lab.path("unseed.toml"), notes).unwrap();
        lab.plan("tenants: id > 1", &["--path", path, "--batch-rows", "1"]);
    }
    labs
}

/// Written before the first batch is removed: about that one (tenant 2) or a later one (tenant 5).
#[test]
fn what_refers_to_a_batch_is_found_by_index_and_by_version() {
    for written in [
        "INSERT INTO users VALUES (9001, 2)",
        "INSERT INTO users VALUES (9001, 5)",
        "INSERT INTO visits SELECT 9001, min(id) FROM users WHERE tenant_id = 2",
        "UPDATE visits SET user_id = 5 WHERE id = 3999",
        "INSERT INTO marks SELECT 9001, min(id) FROM users WHERE tenant_id = 5",
        "INSERT INTO notes VALUES (9001, '2')",
        "UPDATE notes SET tenant = '5' WHERE id = 6",
    ] {
        for lab in planned() {
            let mut before = None;
            let report = purge_with(&lab, Moment::Remove, |time| {
                if time == 0 {
                    lab.sql(written);
                    before = Some(lab.picture());
                }
            });
            let report = report.unwrap_or_else(|fault| panic!("{written}: {fault:?}"));
            assert!(report.retries >= 1, "{written}");
            let left = "SELECT (SELECT count(*) FROM visits v JOIN users u ON u.id = v.user_id), (SELECT count(*) FROM users), \
                        (SELECT count(*) FROM marks), (SELECT count(DISTINCT tenant) FROM notes)";
            let visits = if written.contains("visits SET") { 3989 } else { 3990 };
            assert_eq!(lab.sql(left), format!("{visits}|3990|90|1"), "{written}");
            lab.verify("r-1");
            lab.restore("r-1");
            assert_same(&lab.picture(), &before.unwrap());
        }
    }
}

/// On a server where others write, every batch looks, and finds that it is none of its business.
#[test]
fn what_customers_write_meanwhile_sends_no_batch_back() {
    for lab in planned() {
        let report = purge_with(&lab, Moment::Remove, |time| {
            let id = 9_001 + time;
            lab.sql(&format!(
                "INSERT INTO users VALUES ({id}, 1); INSERT INTO visits VALUES ({id}, {id}); INSERT INTO marks VALUES ({id}, {id}); \
                 INSERT INTO notes VALUES ({id}, '1'); UPDATE visits SET user_id = 4000 WHERE id = 3999; DELETE FROM marks WHERE id = {id} AND {time} = 1"
            ));
        });
        let report = report.unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!((report.retries, report.batches.done), (0, 5));
        assert_eq!(lab.sql("SELECT count(*) FROM users WHERE id > 9000"), "5");
        lab.verify("r-1");
        lab.restore("r-1");
        assert_eq!(lab.sql("SELECT count(*) FROM users"), "4005");
    }
}
