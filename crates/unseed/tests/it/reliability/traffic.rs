//! Others write all the time while a purge runs: they wait a little at most, and nothing of theirs is lost.
//!
//! Each writer keeps, in the same transaction, a ledger of what it did; afterwards database and archive must agree
//! with the ledger. `UNSEED_CASES=N` makes the load N times longer; the figures are left in
//! `target/tmp/reliability-traffic.txt`.

use super::books::{assert_chained, assert_settled};
use crate::lab::Lab;
use crate::property::number;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Writers at work at the same time.
const WRITERS: u64 = 4;
/// Resumes that a purge between all these writers may need.
const RESUMES_MAX: usize = 50;

/// Tenants up to 20 stay, the others leave. Most writes are to rows that stay; one a second of each writer is to rows that
/// leave.
const TRAFFIC: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY, seen timestamptz);
    CREATE TABLE items (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants ON DELETE CASCADE, n int NOT NULL);
    CREATE TABLE parts (id serial PRIMARY KEY, item_id int NOT NULL REFERENCES items, n int NOT NULL DEFAULT 0);
    CREATE INDEX ON items (tenant_id); CREATE INDEX ON parts (item_id);
    INSERT INTO tenants SELECT g FROM generate_series(1, 200) g;
    INSERT INTO items SELECT g, 1 + g % 200, 0 FROM generate_series(1, 40000) g;
    INSERT INTO parts (item_id) SELECT g FROM generate_series(1, 40000) g;
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
    CREATE TRIGGER nothing BEFORE DELETE ON items FOR EACH ROW EXECUTE FUNCTION nothing();
    CREATE TABLE ledger AS SELECT id, tenant_id, n FROM items; CREATE UNIQUE INDEX ON ledger (id);
    CREATE TABLE added (part int PRIMARY KEY, item_id int);
    CREATE TABLE dropped (part int PRIMARY KEY);
    CREATE TABLE took (phase text, ms float, outcome text);
    CREATE TABLE phase (name text); INSERT INTO phase VALUES ('alone');
    ANALYZE;
    CREATE PROCEDURE once(doomed bool) LANGUAGE plpgsql AS $$
    DECLARE kind int := floor(random() * 5); which int; part int;
    BEGIN
        which := (floor(random() * 200) * 200 + CASE WHEN doomed THEN 20 + floor(random() * 180) ELSE floor(random() * 20) END)::int;
        IF which = 0 THEN which := 1; END IF;
        IF kind = 0 THEN
            UPDATE items SET n = n + 1 WHERE id = which;
            IF FOUND THEN UPDATE ledger SET n = n + 1 WHERE id = which; END IF;
        ELSIF kind = 1 THEN
            INSERT INTO parts (item_id) VALUES (which) RETURNING id INTO part;
            INSERT INTO added VALUES (part, which);
        ELSIF kind = 2 THEN
            UPDATE tenants SET seen = seen WHERE id = 1 + which % 200;
        ELSIF kind = 3 THEN
            UPDATE items SET tenant_id = 1 WHERE id = which;
            IF FOUND THEN UPDATE ledger SET tenant_id = 1 WHERE id = which; END IF;
        ELSE
            DELETE FROM parts WHERE id = (SELECT min(p.id) FROM parts p WHERE p.item_id = which) RETURNING id INTO part;
            IF FOUND THEN INSERT INTO dropped VALUES (part); END IF;
        END IF;
    END $$;
    CREATE PROCEDURE write() LANGUAGE plpgsql AS $$
    DECLARE begun timestamptz; outcome text; now_in text; doomed bool; last_doomed timestamptz := clock_timestamp();
    BEGIN
        LOOP
            SELECT name INTO now_in FROM phase;
            EXIT WHEN now_in = 'over';
            COMMIT;
            begun := clock_timestamp(); outcome := 'ok';
            -- By the clock, so that a slow machine is not given more of them per batch.
            doomed := begun > last_doomed + interval '1 second';
            IF doomed THEN last_doomed := begun; END IF;
            BEGIN
                CALL once(doomed);
            EXCEPTION WHEN foreign_key_violation OR lock_not_available OR deadlock_detected THEN outcome := SQLSTATE;
            END;
            COMMIT;
            INSERT INTO took VALUES (now_in, 1000 * extract(epoch FROM clock_timestamp() - begun), outcome);
            COMMIT;
        END LOOP;
    END $$;";

fn writer(lab: &Lab<'_>) -> Child {
    let mut client = lab.database().server().client("psql", lab.database().name());
    client.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", "CALL write()"]);
    client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until so many more writes were done.
fn writes(lab: &Lab<'_>, phase: &str, more: u64) {
    let begun = Instant::now();
    let sql = format!("SELECT count(*) >= {more} FROM took WHERE phase = '{phase}'");
    while lab.sql(&sql) != "t" {
        assert!(begun.elapsed() < Duration::from_secs(120), "the writers stand still");
    }
}

#[test]
fn nothing_is_lost_and_nobody_waits_long_while_many_write() {
    let lab = Lab::postgres(TRAFFIC);
    // How far rows drift meanwhile depends on how slow the machine is.
    std::fs::write(lab.path("unseed.toml"), "[limits]\nmax_drift_share = 0.5\n").unwrap();
    let writers: Vec<Child> = (0..WRITERS).map(|_| writer(&lab)).collect();
    writes(&lab, "alone", 20_000 * number("UNSEED_CASES", 1));
    lab.plan("tenants: id > 20", &["--batch-rows", "6000", "--path", "fast", "--max-share", "1"]);
    lab.sql("UPDATE phase SET name = 'purge'");
    let id = lab.plan_id();
    let mut answer = lab.run(&["purge", "plan.json", "--confirm", &id]);
    let mut resumes = 0;
    while answer.code != Some(0) && resumes < RESUMES_MAX {
        assert_eq!(answer.code, Some(4), "{answer:?}");
        resumes += 1;
        answer = lab.run(&["resume", "r-1", "--confirm", "r-1"]);
    }
    lab.sql("UPDATE phase SET name = 'over'");
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(output.status.success(), "a writer saw {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(answer.code, Some(0), "{answer:?}");
    tell(&lab, resumes);
    agrees_with_the_ledger(&lab);
}

fn agrees_with_the_ledger(lab: &Lab<'_>) {
    assert_settled(lab, "r-1", "traffic");
    assert_chained(lab, "traffic");
    let none = |sql: &str| assert_eq!(lab.sql(&format!("SELECT count(*) FROM ({sql}) x")), "0", "{sql}");
    none("SELECT FROM items WHERE tenant_id > 20");
    none("SELECT FROM parts WHERE item_id NOT IN (SELECT id FROM items)");
    none(
        "SELECT FROM ledger l LEFT JOIN items i USING (id) WHERE l.tenant_id <= 20 AND (l.tenant_id, l.n) IS DISTINCT FROM (i.tenant_id, i.n)",
    );
    none(
        "SELECT FROM added a JOIN ledger l ON l.id = a.item_id WHERE l.tenant_id <= 20 AND part NOT IN (SELECT id FROM parts) \
          AND part NOT IN (SELECT part FROM dropped)",
    );
    none("SELECT FROM pg_trigger WHERE tgenabled <> 'O'");
    lab.verify("r-1");
    lab.restore("r-1");
    none(
        "SELECT FROM ledger l FULL JOIN items i USING (id) WHERE (l.tenant_id, l.n) IS DISTINCT FROM (i.tenant_id, i.n)",
    );
    none(
        "SELECT FROM (SELECT id FROM generate_series(1, 40000) id UNION SELECT part FROM added EXCEPT SELECT part FROM dropped) l \
          FULL JOIN parts p USING (id) WHERE l.id IS NULL OR p.id IS NULL",
    );
}

/// Keeps what the writers felt where a person can read it.
fn tell(lab: &Lab<'_>, resumes: usize) {
    let figures = lab.sql(
        "SELECT phase, count(*) AS writes, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2) AS p50_ms,
            round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 2) AS p99_ms, round(max(ms)::numeric, 1) AS max_ms,
            count(*) FILTER (WHERE outcome = '23503') AS key, count(*) FILTER (WHERE outcome = '55P03') AS lock,
            count(*) FILTER (WHERE outcome = '40P01') AS deadlock FROM took GROUP BY phase ORDER BY phase",
    );
    let report = lab.json(0, &["show", "r-1"]);
    let text = format!(
        "phase|writes|p50 ms|p99 ms|max ms|key|lock|deadlock\n{figures}\nresumes {resumes}\n{report:#}\n"
    );
    std::fs::write(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("reliability-traffic.txt"), text).unwrap();
}
