//! The rewrite path: tables are emptied and what stays is put back, whatever others do meanwhile; and where it is refused.

use super::remainder::{ROOTS, city};
use super::{Holder, wait_for};
use crate::lab::{Lab, Moment, Plan, assert_same, fault, purge_with};
use std::process::Stdio;

const REWRITE: [&str; 2] = ["--path", "rewrite"];

/// What a table holds that the server computes itself, a trigger, and a sequence.
const MORE: &str = "CREATE TABLE bills (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants,
        net numeric, gross numeric GENERATED ALWAYS AS (net * 1.19) STORED, \"Paid\" timestamptz DEFAULT 'infinity');
    INSERT INTO bills (tenant_id, net) SELECT n, n FROM generate_series(1, 20) n;
    INSERT INTO bills (tenant_id, net, \"Paid\") VALUES (20, NULL, NULL), (20, 7, '2026-02-03');
    CREATE TABLE log (what text);
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (TG_OP); RETURN OLD; END $$;
    CREATE TRIGGER told BEFORE DELETE ON bills FOR EACH ROW EXECUTE FUNCTION tell();
    CREATE TRIGGER emptied BEFORE TRUNCATE ON bills EXECUTE FUNCTION tell();
    CREATE TABLE empty (id int PRIMARY KEY, bill_id int REFERENCES bills);
    CREATE TABLE kin (id int PRIMARY KEY, tenant_id int REFERENCES tenants);
    INSERT INTO kin VALUES (1, 20), (2, NULL)";

fn planned(more: &str) -> (Lab<'static>, Plan) {
    let lab = city(more);
    let plan = lab.plan(ROOTS, &[&REWRITE[..], &["--protect", "tenants.id=20"]].concat());
    (lab, plan)
}

/// A picture without what the test itself notes.
fn picture(lab: &Lab<'_>) -> crate::lab::Picture {
    lab.sql("TRUNCATE made");
    lab.picture()
}

#[test]
fn tables_are_emptied_and_what_stays_is_put_back() {
    let (lab, plan) = planned(MORE);
    assert_eq!(plan.path(), "rewrite");
    assert_eq!(plan.warnings("trigger-skipped").len(), 1);
    assert!(plan.warnings("rewrite-path")[0].contains("emptied"));
    let before = picture(&lab);
    let files = lab.sql("SELECT pg_relation_filenode('users'), pg_relation_filenode('plans')");
    let report = lab.purge();
    assert_eq!((&report["batches"]["done"], &report["rows"]["deleted"]), (&1.into(), &187.into()));
    let now = lab.sql("SELECT pg_relation_filenode('users'), pg_relation_filenode('plans')");
    assert_ne!(now.split('|').next(), files.split('|').next(), "users has a new file");
    assert_eq!(now.split('|').nth(1), files.split('|').nth(1), "plans was left alone");
    assert_eq!(lab.sql("SELECT count(*) FROM log"), "0", "no trigger fires");
    assert_eq!(
        lab.sql("SELECT string_agg(id || ':' || coalesce(gross::text, 'none'), ' ' ORDER BY id) FROM bills"),
        "20:23.80 21:none 22:8.33"
    );
    assert_eq!(lab.sql("INSERT INTO bills (tenant_id) VALUES (20) RETURNING id"), "23", "sequences go on");
    lab.sql("DELETE FROM bills WHERE id = 23");
    lab.sql("TRUNCATE log");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&picture(&lab), &before);
}

#[test]
fn it_is_shown_before_it_is_done() {
    let (lab, _) = planned(MORE);
    assert!(lab.run(&["show", "plan.json"]).stdout.contains("path rewrite: asked for"));
    let shown = lab.run(&["show", "plan.json", "--sql"]).stdout;
    let place = |part: &str| shown.find(part).unwrap_or_else(|| panic!("`{part}` is not in {shown}"));
    let order = [
        "unseed_y",
        "IN ACCESS EXCLUSIVE MODE",
        "replica",
        "CREATE TEMPORARY TABLE pg_temp.unseed_z",
        "TRUNCATE ",
        "OVERRIDING SYSTEM VALUE",
        "must be the same",
        "\nCOMMIT",
    ];
    assert!(order.map(place).is_sorted(), "{shown}");
}

#[test]
fn a_plan_that_cannot_take_it_is_refused_with_the_reason() {
    for (more, why) in [
        ("INSERT INTO notes VALUES (50, 20, 3)", "rows of `public.notes` stay and refer to rows that leave"),
        (
            "ALTER TABLE sites ADD CHECK (no < 100) NOT VALID",
            "rows of `public.sites` stay, and may fail `sites_no_check`",
        ),
        (
            "UPDATE tenants SET name = 'real' WHERE id > 10",
            "less than 80 % of the rows of `public.tenants` are roots",
        ),
        (
            "CREATE RULE kept AS ON DELETE TO notes DO INSTEAD NOTHING",
            "`kept` of `public.notes` is always in force",
        ),
        (
            "CREATE TABLE pins (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE SET NULL); INSERT INTO pins VALUES (1, 20)",
            "`public.pins` refers to `public.users` and keeps all its rows",
        ),
        (
            "CREATE TABLE facts (id int PRIMARY KEY, tenant_id int REFERENCES tenants);
          INSERT INTO facts SELECT n, CASE WHEN n <= 10 THEN n END FROM generate_series(1, 3000) n",
            "more than half of the rows of `public.facts` stay",
        ),
    ] {
        let lab = city(more);
        fault(
            &lab.try_plan(ROOTS, &REWRITE),
            3,
            &["the rewrite path cannot be taken", why, "leave `--path rewrite` out"],
        );
    }
    let owned = city("").owned();
    fault(&owned.try_plan(ROOTS, &REWRITE), 3, &["this role may not skip the store's checks"]);
    let mut lab = city("");
    let role = lab.as_new_role();
    lab.sql(&format!(
        "GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; GRANT ALL ON SCHEMA public TO {role};
         DROP EVENT TRIGGER notes; GRANT TRUNCATE, INSERT ON users TO {role}"
    ));
    if lab.sql("SHOW server_version_num").parse::<u32>().unwrap() >= 150_000 {
        lab.sql(&format!("GRANT SET ON PARAMETER session_replication_role TO {role}"));
        let says = ["the role may not TRUNCATE and INSERT INTO `notes`, `sites`, `tags`, `tenants`, `visits"];
        fault(&lab.try_plan(ROOTS, &REWRITE), 3, &says);
    }
    let sqlite = Lab::sqlite(
        "CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO tenants VALUES (1, 'test')",
    );
    fault(&sqlite.try_plan(ROOTS, &REWRITE), 2, &["sqlite has no rewrite path"]);
}

/// What was true when the plan was made need not be when it is purged.
#[test]
fn a_plan_that_can_no_longer_take_it_changes_nothing() {
    let (lab, _) = planned(MORE);
    lab.sql("INSERT INTO notes VALUES (50, 20, 3)");
    let before = picture(&lab);
    fault(&lab.try_purge(), 3, &["rows of `public.notes` stay and refer to rows that leave"]);
    assert_same(&picture(&lab), &before);
}

/// Whatever others write between the closure, the archive and the removal, nothing of it is lost, and nothing leaves
/// that is not in the archive.
#[test]
fn what_others_write_meanwhile_is_looked_at_again() {
    for (sql, kept) in [
        // A customer writes, in place and anew.
        ("UPDATE bills SET net = 100 WHERE id = 20; INSERT INTO kin VALUES (3, 20)", "119.00 2"),
        ("DELETE FROM bills WHERE id = 20", "none 1"),
        // Rows of test tenants.
        (
            "UPDATE bills SET net = 5 WHERE id = 3; INSERT INTO bills (tenant_id, net) VALUES (4, 4)",
            "23.80 1",
        ),
        ("DELETE FROM bills WHERE id = 3", "23.80 1"),
        ("DELETE FROM bills WHERE id IN (3, 20); INSERT INTO bills (tenant_id) VALUES (4), (20)", "none 1"),
    ] {
        for moment in [Moment::Archive, Moment::Remove] {
            let lab = city(MORE);
            lab.plan(ROOTS, &REWRITE);
            lab.sql("DELETE FROM kin WHERE id = 2");
            let mut before = None;
            let report = purge_with(&lab, moment, |time| {
                if time == 0 {
                    lab.sql(sql);
                    lab.sql("VACUUM bills, kin");
                    before = Some(picture(&lab));
                }
            });
            let report = report.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
            assert!(report.retries >= 1, "{sql}");
            let found = lab.sql("SELECT coalesce((SELECT gross::text FROM bills WHERE id = 20), 'none'), (SELECT count(*) FROM kin)");
            assert_eq!(found.replace('|', " "), kept, "{sql}");
            lab.verify("r-1");
            lab.restore("r-1");
            assert_same(&picture(&lab), &before.unwrap());
        }
    }
}

/// Addresses mean nothing any more, and a column came that nobody has read.
#[test]
fn a_table_that_is_altered_meanwhile_keeps_what_it_has() {
    for moment in [Moment::Archive, Moment::Remove] {
        let (lab, _) = planned(MORE);
        let before = picture(&lab);
        let report = purge_with(&lab, moment, |time| {
            if time == 0 {
                lab.sql("DELETE FROM bills WHERE id IN (1, 2)");
                lab.sql("VACUUM FULL bills");
            }
        });
        report.unwrap_or_else(|fault| panic!("{fault:?}"));
        lab.verify("r-1");
        lab.restore("r-1");
        let mut now = picture(&lab);
        let bills = now.get_mut("public.bills").unwrap();
        bills.extend(
            before["public.bills"]
                .iter()
                .filter(|row| row.contains("id\": 1,") || row.contains("id\": 2,"))
                .cloned(),
        );
        assert_eq!(lab.count("bills"), 20);
    }
    let (lab, _) = planned(MORE);
    let refused = purge_with(&lab, Moment::Remove, |_| {
        lab.sql("ALTER TABLE bills ADD IF NOT EXISTS late int DEFAULT 5; ALTER TABLE bills ALTER late SET DEFAULT 6");
    });
    let fault = refused.unwrap_err();
    assert!(fault.to_string().contains("of `public.bills`, 3 rows stay"), "{fault:?}");
    assert_eq!(lab.sql("SELECT count(*), min(late), max(late) FROM bills"), "22|5|5");
}

/// It waits for readers, ends when it is killed, and is taken up again.
#[test]
fn a_purge_that_is_killed_while_it_waits_has_changed_nothing() {
    let (lab, _) = planned(MORE);
    let before = picture(&lab);
    let reader = Holder::of(&lab, "SELECT count(*) FROM users");
    let id = lab.plan_id();
    let mut command = lab.command(&["purge", "plan.json", "--confirm", &id, "--quiet"]);
    let mut purge = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(
        &lab,
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'ACCESS EXCLUSIVE'",
        "1",
    );
    purge.kill().unwrap();
    purge.wait().unwrap();
    drop(reader);
    wait_for(
        &lab,
        "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'ACCESS EXCLUSIVE' AND pid <> pg_backend_pid()",
        "0",
    );
    assert_same(&picture(&lab), &before);
    lab.json(0, &["resume", "r-1", "--confirm", "r-1"]);
    assert_eq!(lab.count("bills"), 3);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&picture(&lab), &before);
}

/// A key was validated, and yet a row refers to nothing by it, as replication or a role without checks may leave it. It
/// belongs to a customer.
#[test]
fn a_row_whose_parent_is_missing_is_not_taken_for_one_that_leaves() {
    let orders = "CREATE TABLE orders (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, by_id int REFERENCES users);
        INSERT INTO orders SELECT n, n, nullif(n, 18) FROM generate_series(1, 20) n;
        SET session_replication_role = replica; INSERT INTO orders VALUES (999, 20, 555); RESET session_replication_role";
    let lab = city(orders);
    lab.plan(ROOTS, &REWRITE);
    let before = picture(&lab);
    fault(&lab.try_purge(), 3, &["1 row refer to nothing by", "orders.by_id"]);
    assert_same(&picture(&lab), &before);
    lab.plan(ROOTS, &["--path", "fast"]);
    lab.purge();
    assert_eq!(lab.sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM orders"), "20 999");
}

/// Where it is known what rows belong to, only the keys by which they do so tell what leaves: one that leads to nothing
/// elsewhere changes nothing, and one of those is noticed.
#[test]
fn of_protected_rows_the_keys_that_decide_are_looked_at() {
    let bills = |rows: &str| {
        format!(
            "CREATE TABLE bills (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, by_id int REFERENCES users);
             INSERT INTO bills SELECT n, n, nullif(n, 18) FROM generate_series(1, 20) n;
             CREATE TABLE lines (no int PRIMARY KEY, bill_id int NOT NULL REFERENCES bills);
             INSERT INTO lines SELECT n, n FROM generate_series(1, 20) n;
             SET session_replication_role = replica; INSERT INTO {rows}; RESET session_replication_role"
        )
    };
    let (lab, _) = planned(&bills("bills VALUES (99, 3, 555)"));
    lab.purge();
    assert_eq!(lab.sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM bills"), "20");
    assert!(lab.archived("r-1", "public.bills.copy").contains(&"99\t3\t555".to_owned()));
    lab.verify("r-1");
    for (rows, key) in
        [("bills VALUES (99, 777, 20)", "bills.tenant_id"), ("lines VALUES (99, 777)", "lines.bill_id")]
    {
        let (lab, _) = planned(&bills(rows));
        let before = picture(&lab);
        fault(&lab.try_purge(), 3, &["1 row refer to nothing by", key]);
        assert_same(&picture(&lab), &before);
    }
}

/// Tables change their names and their partitions while a purge waits.
#[test]
fn tables_that_were_swapped_meanwhile_are_left_alone() {
    let swaps = [
        "CREATE TABLE sites_n (LIKE sites INCLUDING ALL, note text); INSERT INTO sites_n SELECT 20, n, 'customer' FROM generate_series(1, 38) n;
         ALTER TABLE visits DROP CONSTRAINT visits_tenant_id_site_no_fkey; ALTER TABLE sites RENAME TO sites_o; ALTER TABLE sites_n RENAME TO sites",
        "CREATE TABLE parts_2 (id int, tenant_id int NOT NULL, what text); INSERT INTO parts_2 SELECT 200 + n, 20, 'customer' FROM generate_series(1, 5) n;
         DELETE FROM parts WHERE id < 5; ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (200) TO (300)",
        "CREATE TABLE late (id int REFERENCES users); INSERT INTO late VALUES (20)",
    ];
    for swap in swaps {
        let (lab, _) = planned(
            "CREATE TABLE parts (id int, tenant_id int NOT NULL REFERENCES tenants, what text) PARTITION BY RANGE (id);
             CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (200);
             INSERT INTO parts SELECT n, 1 + n % 19, 'x' FROM generate_series(0, 199) n",
        );
        let mut before = None;
        let refused = purge_with(&lab, Moment::Remove, |_| {
            if before.is_none() {
                lab.sql(swap);
                before = Some(picture(&lab));
            }
        });
        let fault = refused.unwrap_err();
        assert!(
            fault.to_string().contains("the schema changed while tables were to be emptied"),
            "{swap}: {fault:?}"
        );
        assert_same(&picture(&lab), &before.unwrap());
    }
}

/// A reference that only the configuration knows leads into a table that is emptied.
#[test]
fn what_refers_without_a_key_is_not_left_behind() {
    let (lab, _) = planned("TRUNCATE tags");
    let report = purge_with(&lab, Moment::Remove, |time| {
        if time == 0 {
            lab.sql("INSERT INTO tags VALUES ('user', '5', 'late'), ('user', '20', 'a customer')");
        }
    });
    assert_eq!(report.unwrap().retries, 1);
    assert_eq!(lab.sql("SELECT string_agg(entity, ' ') FROM tags"), "20");
    assert_eq!(lab.archived("r-1", "public.tags.copy"), ["user\t5\tlate"]);
}

/// A transaction that began before the rows were written says nothing about who writes now.
#[test]
fn an_old_transaction_of_somebody_does_not_keep_tables_from_being_emptied() {
    let lab = city(MORE);
    let old = Holder::of(&lab, "SELECT pg_current_xact_id()");
    lab.sql("UPDATE bills SET net = net + 1 WHERE id IN (3, 20); INSERT INTO kin VALUES (3, 5); ANALYZE");
    lab.plan(ROOTS, &REWRITE);
    let before = picture(&lab);
    lab.purge();
    assert_eq!(lab.count("bills"), 3);
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&picture(&lab), &before);
    drop(old);
}
