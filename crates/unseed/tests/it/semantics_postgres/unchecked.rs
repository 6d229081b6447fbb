//! Tables with triggers, whose checks are switched off while many of their rows leave, and somebody who writes meanwhile.

use super::races::{Holder, wait_for};
use crate::lab::{Lab, assert_same};
use std::process::Stdio;

/// 2,000 documents leave with their pages, and a trigger notes how many checks were off meanwhile.
const DOCUMENTS: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY);
    CREATE TABLE documents (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
    CREATE TABLE pages (id int PRIMARY KEY, document_id int NOT NULL REFERENCES documents);
    CREATE INDEX ON documents (tenant_id); CREATE INDEX ON pages (document_id);
    INSERT INTO tenants VALUES (1), (2);
    INSERT INTO documents SELECT g, 1 + (g > 10)::int FROM generate_series(1, 2010) g;
    INSERT INTO pages SELECT g, 1 + g % 2010 FROM generate_series(1, 4020) g;
    CREATE TABLE notes (off int, gone int);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO notes SELECT count(*) FILTER (WHERE tgenabled = 'D'), (SELECT count(*) FROM gone) FROM pg_trigger;
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER DELETE ON documents REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note();";

/// Purges and restores; returns how many checks were off while the trigger fired.
fn purged(lab: &Lab<'_>) -> String {
    let before = lab.picture();
    lab.plan("tenants: id = 2", &["--path", "fast"]);
    let report = lab.purge();
    assert_eq!(report["tables"]["public.documents"]["deleted"], 2000, "{report}");
    assert_eq!(lab.sql("SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'O'"), "0");
    let (off, gone) = (lab.sql("SELECT max(off) FROM notes"), lab.sql("SELECT sum(gone) FROM notes"));
    assert_eq!(gone, "2000", "the trigger has fired for each row, once");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
    off
}

#[test]
fn checks_are_off_only_while_a_batch_is_removed() {
    assert_eq!(purged(&Lab::postgres(DOCUMENTS)), "1");
}

#[test]
fn where_somebody_holds_the_table_checks_stay_on() {
    let lab = Lab::postgres(DOCUMENTS);
    let holder = Holder::of(&lab, "INSERT INTO documents VALUES (9999, 1)");
    let purged = purged(&lab);
    drop(holder);
    assert_eq!(purged, "0");
}

/// Whoever holds a root may go on to write to the table: a purge that waits for the root must not hold the table.
#[test]
fn while_a_root_is_waited_for_the_table_is_free() {
    let lab = Lab::postgres(&format!(
        "{DOCUMENTS} CREATE TABLE visits (tenant_id int REFERENCES tenants); CREATE INDEX ON visits (tenant_id);"
    ));
    lab.plan("tenants: id = 2", &["--path", "fast"]);
    let holder = Holder::of(&lab, "INSERT INTO visits VALUES (2)");
    std::thread::scope(|scope| {
        let purge = scope.spawn(|| lab.try_purge());
        let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND \
                     application_name = 'unseed' AND wait_event_type = 'Lock'";
        wait_for(&lab, waits, "t");
        lab.sql("SET lock_timeout = '2s'; INSERT INTO documents VALUES (9999, 1)");
        drop(holder);
        assert_eq!(purge.join().unwrap().code, Some(0));
    });
    assert_eq!(lab.sql("SELECT max(off) FROM notes"), "1", "checks were off as always");
    assert_eq!(lab.count("documents"), 11);
    lab.verify("r-1");
}

#[test]
fn where_an_event_trigger_listens_nothing_is_altered() {
    let heard = "CREATE FUNCTION hear() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF tg_tag = 'ALTER TABLE' THEN RAISE 'heard'; END IF; END $$;
                 CREATE EVENT TRIGGER hear ON ddl_command_start EXECUTE FUNCTION hear();";
    // Temporary tables are altered too, which is what makes such a trigger stop everything.
    let lab = Lab::postgres(&format!("{DOCUMENTS} {}", heard.replace("RAISE 'heard'", "NULL")));
    assert_eq!(purged(&lab), "0");
}

/// A crash in between leaves the checks as they were, since all of it is one transaction.
#[test]
fn a_batch_that_is_refused_leaves_the_checks_on() {
    let lab = Lab::postgres(&format!(
        "{DOCUMENTS} CREATE TABLE totals (n int); INSERT INTO totals VALUES (0);
         CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE totals SET n = n + 1; RETURN NULL; END $$;
         CREATE TRIGGER tally AFTER DELETE ON documents FOR EACH STATEMENT EXECUTE FUNCTION tally();"
    ));
    let before = lab.picture();
    lab.plan("tenants: id = 2", &["--path", "fast"]);
    assert_eq!(lab.try_purge().code, Some(3));
    assert_eq!(lab.sql("SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'O'"), "0");
    assert_same(&lab.picture(), &before);
}

/// What a trigger adds below rows that leave goes with them, though nothing checks it.
#[test]
fn what_a_trigger_adds_below_unchecked_rows_is_no_orphan() {
    let lab = Lab::postgres(&format!(
        "{DOCUMENTS} CREATE TABLE ghosts (id serial PRIMARY KEY, document_id int REFERENCES documents);
         CREATE FUNCTION haunt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO ghosts (document_id) VALUES (OLD.id); RETURN OLD; END $$;
         CREATE TRIGGER haunt BEFORE DELETE ON documents FOR EACH ROW EXECUTE FUNCTION haunt();"
    ));
    assert_eq!(purged(&lab), "2", "of pages and of ghosts");
}

/// Somebody who writes all the time keeps notes of what was committed; a restore must give back exactly that.
fn nothing_is_lost_while_somebody_writes(more: &str) {
    let lab = Lab::postgres(&format!(
        "CREATE TABLE tenants (id int PRIMARY KEY);
         CREATE TABLE items (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants ON DELETE CASCADE, n int NOT NULL);
         CREATE TABLE parts (id serial PRIMARY KEY, item_id int NOT NULL REFERENCES items);
         CREATE INDEX ON items (tenant_id); CREATE INDEX ON parts (item_id);
         INSERT INTO tenants SELECT g FROM generate_series(1, 300) g;
         INSERT INTO items SELECT g, 1 + g % 300, 0 FROM generate_series(1, 30000) g;
         CREATE TABLE notes AS SELECT id AS a, tenant_id AS b, n AS c, 0 AS parts FROM items;
         CREATE UNIQUE INDEX ON notes (a);
         CREATE TABLE done (x int);
         CREATE PROCEDURE write() LANGUAGE plpgsql AS $$
         DECLARE which int; found_id int;
         BEGIN
             WHILE NOT EXISTS (SELECT FROM done) LOOP
                 which := 1 + floor(random() * 30000);
                 UPDATE items SET n = n + 1 WHERE id = which RETURNING id INTO found_id;
                 IF found_id IS NOT NULL THEN UPDATE notes SET c = c + 1 WHERE a = which; END IF;
                 COMMIT;
                 which := 1 + floor(random() * 30000);
                 BEGIN
                     INSERT INTO parts (item_id) VALUES (which);
                     UPDATE notes SET parts = parts + 1 WHERE a = which;
                 EXCEPTION WHEN foreign_key_violation THEN NULL;
                 END;
                 COMMIT;
                 PERFORM pg_sleep(0.05);
             END LOOP;
         END $$; {more}"
    ));
    // How far rows drift meanwhile depends on how slow the machine is.
    std::fs::write(lab.path("unseed.toml"), "[limits]\nmax_drift_share = 0.5\n").unwrap();
    lab.plan("tenants: id > 20", &["--batch-rows", "2000", "--path", "fast"]);
    let mut client = lab.database().server().client("psql", lab.database().name());
    let mut writer = client.args(["-X", "-q", "-c", "CALL write()"]).stdin(Stdio::null()).spawn().unwrap();
    let id = lab.plan_id();
    let mut answer = lab.run(&["purge", "plan.json", "--confirm", &id]);
    for _ in 0..50 {
        if answer.code == Some(0) {
            break;
        }
        answer = lab.run(&["resume", "r-1", "--confirm", "r-1"]);
    }
    lab.sql("INSERT INTO done VALUES (1)");
    assert!(writer.wait().unwrap().success());
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert_eq!(lab.sql("SELECT count(*) FROM items WHERE tenant_id > 20"), "0");
    assert_eq!(lab.sql("SELECT count(*) FROM parts WHERE item_id NOT IN (SELECT id FROM items)"), "0");
    lab.verify("r-1");
    lab.restore("r-1");
    let differs = "SELECT count(*) FROM (SELECT i.*, (SELECT count(*) FROM parts WHERE item_id = i.id) AS p FROM items i) i \
         FULL JOIN notes ON id = a WHERE (tenant_id, n, p) IS DISTINCT FROM (b, c, parts)";
    assert_eq!(lab.sql(differs), "0");
    assert_ne!(lab.sql("SELECT sum(n) FROM items"), "0");
    assert_eq!(lab.sql("SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'O'"), "0");
}

#[test]
fn nothing_is_lost_while_somebody_writes_all_the_time() {
    nothing_is_lost_while_somebody_writes("");
}

#[test]
fn nothing_is_lost_below_unchecked_rows_while_somebody_writes_all_the_time() {
    nothing_is_lost_while_somebody_writes(
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
         CREATE TRIGGER nothing BEFORE DELETE ON items FOR EACH ROW EXECUTE FUNCTION nothing();",
    );
}
