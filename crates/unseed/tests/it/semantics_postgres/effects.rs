//! What triggers do elsewhere: counted and named, refused or, where it was allowed, archived and undone.

use super::SHOP;
use crate::lab::{Lab, Moment, assert_same, fault, purge_with};

const LEFT: [(&str, usize); 3] = [("public.tenants", 1), ("public.users", 2), ("public.sessions", 2)];

/// Both ways of removing, as (database, arguments of the plan).
fn ways(ddl: &str) -> [(Lab<'static>, &'static [&'static str]); 2] {
    [(Lab::postgres(ddl), &["--path", "fast"]), (Lab::postgres(ddl).owned(), &[])]
}

#[track_caller]
fn refused(ddl: &str, says: &[&str]) {
    for (lab, way) in ways(ddl) {
        let before = lab.picture();
        lab.plan("tenants: id = 2", way);
        let mut all = vec!["that the plan does not name", "the batch was rolled back", "--allow-effect"];
        all.extend(says);
        fault(&lab.try_purge(), 3, &all);
        assert_same(&lab.picture(), &before);
    }
}

/// A counter of the real tenant: the trigger changes a row that stays.
const COUNTER: &str = "
    CREATE TABLE totals (name text PRIMARY KEY, users int); INSERT INTO totals VALUES ('users', 3), ('tenants', 2);
    CREATE FUNCTION count_down() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN UPDATE totals SET users = users - 1 WHERE name = 'users'; RETURN NULL; END $$;
    CREATE TRIGGER count_down AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION count_down();";

#[test]
fn a_trigger_that_changes_a_row_that_stays_is_refused_and_named() {
    refused(
        &format!("{SHOP} {COUNTER}"),
        &["change 2 rows of `public.totals`", "trigger `count_down`", "--allow-effect public.totals"],
    );
}

#[test]
fn an_allowed_change_is_archived_and_a_restore_brings_the_old_row_back() {
    for (lab, way) in ways(&format!("{SHOP} {COUNTER}")) {
        let arguments = [way, &["--allow-effect", "totals"]].concat();
        let before = lab.removes("tenants: id = 2", &arguments, &LEFT);
        assert_eq!(lab.sql("SELECT users FROM totals WHERE name = 'users'"), "1", "the trigger has fired");
        assert_eq!(lab.archived("r-1", "public.totals.effect.copy"), ["users\t3"]);
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

/// Each batch changes the same row again: the first version is the one to bring back.
#[test]
fn a_row_that_several_batches_change_comes_back_as_it_was_before_the_first() {
    let more = "INSERT INTO tenants SELECT n, 'Test' FROM generate_series(3, 5) n;
                INSERT INTO users SELECT n + 10, n, 'x' FROM generate_series(3, 5) n;";
    for (lab, way) in ways(&format!("{SHOP} {COUNTER} {more}")) {
        let arguments = [way, &["--allow-effect", "totals", "--batch-rows", "1"]].concat();
        let before = lab.picture();
        lab.plan("tenants: id > 1", &arguments);
        let report = lab.purge();
        assert!(report["batches"]["done"].as_u64().unwrap() > 1, "{report}");
        assert_eq!(lab.sql("SELECT users FROM totals WHERE name = 'users'"), "-2");
        lab.verify("r-1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

/// Someone counted on since: overwriting that would lose it, so it is listed and nothing is changed.
#[test]
fn a_row_that_changed_again_since_is_a_conflict() {
    for (lab, way) in ways(&format!("{SHOP} {COUNTER}")) {
        lab.removes("tenants: id = 2", &[way, &["--allow-effect", "totals"]].concat(), &LEFT);
        lab.sql("UPDATE totals SET users = 17 WHERE name = 'users'");
        let now = lab.picture();
        let answer = lab.run(&["restore", "r-1", "--confirm", "r-1"]);
        fault(&answer, 1, &["public.totals users", "changed since"]);
        assert_same(&lab.picture(), &now);
    }
}

#[test]
fn a_trigger_that_removes_rows_beyond_the_plan_is_refused_and_can_be_allowed() {
    let ddl = format!(
        "{SHOP} CREATE TABLE cache (tenant_id int, k int PRIMARY KEY, v text);
         INSERT INTO cache VALUES (1, 1, 'real'), (2, 2, 'x'), (2, 3, E'tab\\there');
         CREATE FUNCTION flush() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN DELETE FROM cache WHERE tenant_id = OLD.id; RETURN OLD; END $$;
         CREATE TRIGGER flush BEFORE DELETE ON tenants FOR EACH ROW EXECUTE FUNCTION flush();"
    );
    refused(&ddl, &["delete 2 rows of `public.cache`", "trigger `flush`"]);
    for (lab, way) in ways(&ddl) {
        let arguments = [way, &["--allow-effect", "cache"]].concat();
        let mut gone = LEFT.to_vec();
        gone.push(("public.cache", 2));
        lab.circle("tenants: id = 2", &arguments, &gone);
        assert_eq!(lab.archived("r-1", "public.cache.effect.copy"), ["2\t2\tx", "2\t3\ttab\\there"]);
    }
}

/// A constraint trigger that waits for the commit acts after everything was proven, unless it is made to act
/// before.
#[test]
fn a_deferred_trigger_is_proven_like_any_other() {
    refused(
        &format!(
            "{SHOP} CREATE TABLE totals (name text PRIMARY KEY, users int); INSERT INTO totals VALUES ('users', 3);
             CREATE FUNCTION count_down() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN UPDATE totals SET users = users - 1; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER late AFTER DELETE ON users DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION count_down();"
        ),
        &["change 2 rows of `public.totals`", "trigger `late`"],
    );
}

const AUDIT: &str = "
    CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
    INSERT INTO audit (what) VALUES ('user 3 is gone');
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO audit (what) VALUES ('user ' || OLD.id || ' is gone'); RETURN NULL; END $$;
    CREATE TRIGGER note AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION note();";

#[test]
fn rows_that_a_trigger_inserts_are_reported_and_a_restore_takes_them_away() {
    for (lab, way) in ways(&format!("{SHOP} {AUDIT}")) {
        let before = lab.picture();
        lab.plan("tenants: id = 2", way);
        let report = lab.purge();
        assert_eq!(report["inserted_by_triggers"], serde_json::json!({ "public.audit": 2 }));
        assert_eq!(lab.count("audit"), 3, "the trigger has fired");
        lab.verify("r-1");
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

/// Audit triggers like to swallow their own errors: a block with an exception handler is a transaction of its
/// own inside the batch's.
#[test]
fn rows_that_a_trigger_inserts_in_a_protected_block_are_taken_away_too() {
    let audit = AUDIT.replace("RETURN NULL; END", "RETURN NULL; EXCEPTION WHEN OTHERS THEN RETURN NULL; END");
    for (lab, way) in ways(&format!("{SHOP} {audit}")) {
        let before = lab.picture();
        lab.plan("tenants: id = 2", way);
        let report = lab.purge();
        assert_eq!(report["inserted_by_triggers"], serde_json::json!({ "public.audit": 2 }));
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

/// Rows that look the same as inserted ones but were there before stay where they are.
#[test]
fn equal_rows_without_a_key_survive_when_inserted_ones_are_taken_away() {
    let ddl = format!(
        "{SHOP} CREATE TABLE log (what text); INSERT INTO log VALUES ('a user is gone'), ('a user is gone'), ('x');
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO log VALUES ('a user is gone'); RETURN NULL; END $$;
         CREATE TRIGGER note AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION note();"
    );
    for (lab, way) in ways(&ddl) {
        lab.plan("tenants: id = 2", way);
        let before = lab.picture();
        lab.purge();
        assert_eq!(lab.count("log"), 5);
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

/// The audit row refers to the user that leaves, so it cannot stay behind; nor may it keep the user.
#[test]
fn rows_that_a_trigger_inserts_and_that_refer_to_removed_rows_go_with_them() {
    let ddl = format!(
        "{SHOP} CREATE TABLE audit (id int GENERATED ALWAYS AS IDENTITY, user_id int REFERENCES users);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO audit (user_id) VALUES (OLD.user_id); RETURN OLD; END $$;
         CREATE TRIGGER note BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION note();"
    );
    Lab::postgres(&ddl).circle("tenants: id = 2", &["--path", "fast"], &LEFT);
    // Where the server checks itself, it objects to the new row: that is said, and nothing is lost.
    let lab = Lab::postgres(&ddl).owned();
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    let answer = lab.try_purge();
    assert_ne!(answer.code, Some(0), "{answer:?}");
    assert!(answer.stderr.contains("audit_user_id_fkey"), "{answer:?}");
    assert_same(&lab.picture(), &before);
}

/// A counter cache on a parent that leaves as well, as Rails writes it: the trigger rewrites a row that is
/// about to be removed, after it was archived.
#[test]
fn a_trigger_that_changes_rows_which_leave_anyway_is_no_obstacle() {
    for timing in ["AFTER", "BEFORE"] {
        let ddl = format!(
            "{SHOP} ALTER TABLE users ADD sessions_count int DEFAULT 1;
             CREATE FUNCTION count_down() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN UPDATE users SET sessions_count = sessions_count - 1 WHERE id = OLD.user_id; RETURN OLD; END $$;
             CREATE TRIGGER count_down {timing} DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION count_down();"
        );
        for (lab, way) in ways(&ddl) {
            lab.circle("tenants: id = 2", way, &LEFT);
        }
    }
}

/// A trigger that stamps the row a reference is taken from: what it wrote is undone with the reference.
#[test]
fn what_a_trigger_writes_into_a_detached_row_is_undone_too() {
    let ddl = format!(
        "{SHOP} CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE SET NULL,
            updated_at timestamptz NOT NULL DEFAULT '2020-01-01');
         INSERT INTO notes VALUES (1, 1), (2, 2), (3, 3);
         CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
         CREATE TRIGGER stamp BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION stamp();"
    );
    Lab::postgres(&ddl).circle("tenants: id = 2", &["--path", "fast"], &LEFT);
    let lab = Lab::postgres(&ddl).owned();
    let before = lab.removes("tenants: id = 2", &[], &LEFT);
    assert_eq!(lab.count("notes WHERE updated_at > '2021-01-01'"), 2, "the trigger has fired");
    let script = std::fs::read_to_string(lab.path(".unseed/archive/r-1/restore.sql")).unwrap();
    assert!(script.contains("unseed_batch"), "psql does the same");
    // The owner cannot skip the trigger on the way back either; a superuser can.
    let superuser = lab.database().url();
    lab.json(0, &["restore", "r-1", &superuser, "--confirm", "r-1"]);
    assert_same(&lab.picture(), &before);
}

/// Statement triggers, transition tables and triggers that are always on fire as the application expects.
#[test]
fn triggers_of_every_kind_fire_once() {
    for kind in ["FOR EACH ROW", "REFERENCING OLD TABLE AS gone FOR EACH STATEMENT"] {
        let what = if kind.starts_with("FOR") { "OLD.id" } else { "(SELECT sum(id) FROM gone)" };
        for always in ["", "ALTER TABLE users ENABLE ALWAYS TRIGGER note;"] {
            let ddl = format!(
                "{SHOP} CREATE TABLE audit (id serial PRIMARY KEY, what int);
                 CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN INSERT INTO audit (what) VALUES ({what}); RETURN NULL; END $$;
                 CREATE TRIGGER note AFTER DELETE ON users {kind} EXECUTE FUNCTION note(); {always}"
            );
            let lab = Lab::postgres(&ddl);
            lab.plan("tenants: id = 2", &["--path", "fast"]);
            let before = lab.picture();
            lab.purge();
            assert_eq!(lab.sql("SELECT sum(what) FROM audit"), "5", "users 2 and 3, once each");
            lab.restore("r-1");
            assert_same(&lab.picture(), &before);
        }
    }
}

#[test]
fn nothing_can_be_proven_where_the_server_does_not_count() {
    let lab = Lab::postgres(SHOP).with_setting("track_counts=off");
    let before = lab.picture();
    lab.plan("tenants: id = 2", &[]);
    fault(&lab.try_purge(), 3, &["`track_counts` is off", "the batch was rolled back"]);
    assert_same(&lab.picture(), &before);
}

/// TRUNCATE is not counted row by row, nor is what ALTER or DROP do.
#[test]
fn a_trigger_that_empties_or_alters_a_table_is_refused_and_named() {
    let ddl = |what: &str| {
        format!(
            "{SHOP} CREATE TABLE cache (x int); INSERT INTO cache VALUES (1), (2);
             CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN BEGIN {what}; EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN NULL; END $$;
             CREATE TRIGGER act AFTER DELETE ON users FOR EACH STATEMENT EXECUTE FUNCTION act();"
        )
    };
    let cases = [
        ("TRUNCATE cache", "`public.cache`"),
        ("DROP TABLE cache", "`public.cache`"),
        ("ALTER TABLE cache ADD y int", "`public.cache`"),
    ];
    for (what, says) in cases {
        for path in ["fast", "checked"] {
            let lab = Lab::postgres(&ddl(what));
            let before = lab.picture();
            lab.plan("tenants: id = 2", &["--path", path]);
            fault(&lab.try_purge(), 3, &["empty or alter", says, "trigger `act`"]);
            assert_same(&lab.picture(), &before);
        }
    }
    let harmless = "CREATE TEMP TABLE mine (x int); DROP TABLE mine; CREATE TABLE made (x int); REFRESH MATERIALIZED VIEW seen";
    let lab = Lab::postgres(&format!("CREATE MATERIALIZED VIEW seen AS SELECT 1; {}", ddl(harmless)));
    lab.plan("tenants: id = 2", &[]);
    lab.purge();
    let lab = Lab::postgres(&ddl("TRUNCATE cache"));
    let before = lab.picture();
    lab.plan("tenants: id = 2", &["--allow-effect", "cache"]);
    lab.purge();
    assert_eq!(lab.count("cache"), 0);
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// What triggers write is looked for at the end of the table first, and without counting once it has been there. In
/// the second batch it stands elsewhere, in the third there is more of it, and some of that refers to nothing.
#[test]
fn rows_that_triggers_insert_are_found_wherever_they_stand() {
    let lab = Lab::postgres(
        "CREATE TABLE tenants (id int PRIMARY KEY);
         CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
         CREATE TABLE sessions (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, tenant_id int);
         CREATE TABLE audit (user_id int REFERENCES users, what text);
         CREATE INDEX ON users (tenant_id); CREATE INDEX ON sessions (user_id);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO audit VALUES (OLD.user_id, 'is about to leave');
            IF OLD.tenant_id = 4 THEN INSERT INTO audit VALUES (NULL, 'was of tenant 4'), (OLD.user_id, 'is gone'); END IF;
            RETURN OLD; END $$;
         CREATE TRIGGER note BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION note();
         INSERT INTO tenants SELECT g FROM generate_series(1, 6) g;
         INSERT INTO users SELECT g, 1 + g % 6 FROM generate_series(1, 60) g;
         INSERT INTO sessions SELECT id, id, tenant_id FROM users;
         INSERT INTO audit SELECT NULL, repeat('x', 500) FROM generate_series(1, 200) g;
         DELETE FROM audit WHERE ctid < '(5,0)'",
    );
    let before = lab.picture();
    lab.plan("tenants: id > 1", &["--path", "fast", "--batch-rows", "1"]);
    let left = lab.count("audit");
    let report = purge_with(&lab, Moment::Remove, |time| {
        if time == 1 {
            lab.sql("VACUUM audit");
        }
    });
    let report = report.unwrap();
    assert_eq!((report.retries, report.batches.done), (0, 5));
    assert_eq!(lab.count("audit"), left + 10, "ten rows refer to nothing");
    assert_eq!(
        lab.sql("SELECT count(*) FROM audit WHERE what = 'was of tenant 4' AND user_id IS NULL"),
        "10"
    );
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}

/// After the first batch the triggers' rows are expected at the end of the table; the second removes nothing that they
/// would have to leave with, only what they are detached from.
#[test]
fn rows_that_triggers_insert_may_refer_to_other_tables_in_each_batch() {
    let lab = Lab::postgres(
        "CREATE TABLE tenants (id int PRIMARY KEY);
         CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
         CREATE TABLE teams (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
         CREATE TABLE sessions (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, user_id int REFERENCES users,
            team_id int REFERENCES teams);
         CREATE TABLE audit (user_id int REFERENCES users ON DELETE CASCADE, team_id int REFERENCES teams ON DELETE SET NULL);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO audit VALUES (OLD.user_id, OLD.team_id); RETURN OLD; END $$;
         CREATE TRIGGER note BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION note();
         INSERT INTO tenants VALUES (1), (2), (3);
         INSERT INTO users VALUES (2, 2);
         INSERT INTO teams VALUES (3, 3);
         INSERT INTO sessions VALUES (2, 2, 2, NULL), (3, 3, NULL, 3)",
    );
    let before = lab.picture();
    lab.plan("tenants: id > 1", &["--path", "fast", "--batch-rows", "1"]);
    assert_eq!(lab.purge()["batches"]["done"], 2);
    assert_eq!(lab.sql("SELECT count(*), count(user_id), count(team_id) FROM audit"), "1|0|0");
    lab.verify("r-1");
    lab.restore("r-1");
    assert_same(&lab.picture(), &before);
}
