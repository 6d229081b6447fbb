//! What an ordinary owner of the tables meets on the schemas of applications: constraints that were never
//! validated, triggers and rules that want a say in every insert.
//!
//! Not here: who may see and change what (`semantics_postgres::access`).

use super::{Figures, by_hand};
use crate::lab::{Lab, assert_same, fault};

/// The whole job as a superuser on both paths, as the owner, and by hand.
#[track_caller]
fn goes_round(ddl: &str, gone: &[(&str, usize)]) {
    Lab::postgres(ddl).circle("tenants: id = 2", &["--path", "checked"], gone);
    for lab in [Lab::postgres(ddl), Lab::postgres(ddl).owned()] {
        let before = lab.removes("tenants: id = 2", &[], gone);
        by_hand(&lab, &before, &mut Figures::default());
        lab.restore("r-1");
        assert_same(&lab.picture(), &before);
    }
}

const TENANTS: &str = "CREATE TABLE tenants (id int PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO tenants VALUES (1), (2);";

/// Row 4 stays with tenant 1, but could not even lose a reference: any change of it is refused.
#[test]
fn rows_that_fail_a_check_that_was_never_validated_leave_and_come_back() {
    let ddl = "CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, email text,
            boss_id int REFERENCES users ON DELETE SET NULL);
        INSERT INTO users VALUES (1, 1, 'x', NULL), (2, 2, NULL, NULL), (3, 2, 'q', NULL), (4, 1, NULL, 3), (5, 1, 'u', 2);
        ALTER TABLE users ADD CONSTRAINT email_there CHECK (email IS NOT NULL) NOT VALID;
        COMMENT ON CONSTRAINT email_there ON users IS 'it''s new';";
    goes_round(&format!("{TENANTS} {ddl}"), &[("public.tenants", 1), ("public.users", 3)]);

    let lab = Lab::postgres(&format!("{TENANTS} {ddl}")).owned();
    let constraint = || {
        lab.sql("SELECT pg_get_constraintdef(oid), obj_description(oid) FROM pg_constraint WHERE conname = 'email_there'")
    };
    let was = constraint();
    let plan = lab.plan("tenants: id = 2", &[]);
    assert!(plan.warnings("not-null-pull").concat().contains("email_there"), "{:?}", plan.0["warnings"]);
    lab.purge();
    lab.restore("r-1");
    assert_eq!(constraint(), was);
}

#[test]
fn an_ordinary_owner_puts_back_rows_that_refer_to_nothing() {
    let ddl = "CREATE TABLE users (id int PRIMARY KEY, tenant_id int, boss_id int);
        CREATE TABLE posts (id int PRIMARY KEY, user_id int, tenant_id int);
        INSERT INTO users VALUES (1, 1, 99), (2, 2, 98), (3, 7, 1), (4, 2, 2); INSERT INTO posts VALUES (1, 1, 1), (2, 2, 96), (3, 95, 2), (4, 94, 1);
        ALTER TABLE users ADD FOREIGN KEY (tenant_id) REFERENCES tenants NOT VALID,
            ADD CONSTRAINT boss FOREIGN KEY (boss_id) REFERENCES users ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED NOT VALID;
        ALTER TABLE posts ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE NOT VALID,
            ADD FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE NOT VALID;";
    goes_round(
        &format!("{TENANTS} {ddl}"),
        &[("public.tenants", 1), ("public.users", 2), ("public.posts", 2)],
    );
    let lab = Lab::postgres(&format!("{TENANTS} {ddl}")).owned();
    let keys = || {
        lab.sql("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' ORDER BY 1")
    };
    let was = keys();
    assert_eq!(was.matches("NOT VALID").count(), 4, "{was}");
    lab.plan("tenants: id = 2", &[]);
    lab.purge();
    lab.restore("r-1");
    assert_eq!(keys(), was);
}

#[test]
fn triggers_and_rules_on_inserts_have_no_say_when_their_owner_restores() {
    let ddl = "CREATE TABLE users (id int PRIMARY KEY, tenant_id int REFERENCES tenants, email text, created date DEFAULT '2020-01-01');
        CREATE TABLE notes (id int PRIMARY KEY, tenant_id int REFERENCES tenants, by_id int REFERENCES tenants ON DELETE SET NULL);
        CREATE TABLE log (what text); CREATE TABLE items (id int, tenant_id int REFERENCES tenants) PARTITION BY LIST (tenant_id);
        CREATE TABLE items_1 PARTITION OF items FOR VALUES IN (1); CREATE TABLE items_2 PARTITION OF items FOR VALUES IN (2);
        INSERT INTO users SELECT i, 1 + i % 2, 'A' || i FROM generate_series(1, 8) i;
        INSERT INTO notes VALUES (1, 1, 2), (2, 2, 1), (3, 2, 2), (4, 1, 1); INSERT INTO items SELECT i, 1 + i % 2 FROM generate_series(1, 8) i;
        CREATE FUNCTION written() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            NEW.created := '2021-01-01'; NEW.email := lower(NEW.email); INSERT INTO log VALUES (TG_OP);
            UPDATE tenants SET n = n + 1 WHERE id = NEW.tenant_id; RETURN NEW; END $$;
        CREATE TRIGGER written BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION written();
        CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no inserts here'; END $$;
        CREATE TRIGGER never AFTER INSERT ON tenants FOR EACH STATEMENT EXECUTE FUNCTION never();
        CREATE TRIGGER always AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION never();
        ALTER TABLE items ENABLE ALWAYS TRIGGER always; ALTER TABLE items_2 ENABLE ALWAYS TRIGGER always;
        CREATE TRIGGER off AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION never(); ALTER TABLE users DISABLE TRIGGER off;
        CREATE RULE also AS ON INSERT TO notes DO ALSO INSERT INTO log VALUES ('rule');
        CREATE RULE instead AS ON UPDATE TO notes WHERE new.by_id = 2 DO INSTEAD NOTHING;";
    let gone = [("public.tenants", 1), ("public.users", 4), ("public.notes", 2), ("public.items_2", 4)];
    let ddl = format!("{TENANTS} {ddl}");
    Lab::postgres(&ddl).circle("tenants: id = 2", &["--path", "checked"], &gone);
    let lab = Lab::postgres(&ddl).owned();
    let hooks = || {
        lab.sql("SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal UNION ALL
            SELECT ev_class::regclass, rulename, ev_enabled FROM pg_rewrite WHERE ev_class >= 16384 ORDER BY 1, 2")
    };
    let was = hooks();
    lab.circle("tenants: id = 2", &[], &gone);
    assert_eq!(hooks(), was);
}

/// Domains upon domains, and one that says it as a check.
#[test]
fn a_null_that_only_a_domain_forbids_is_not_written() {
    let ddl = "CREATE DOMAIN d1 AS int NOT NULL; CREATE DOMAIN d2 AS d1; CREATE DOMAIN d3 AS int CHECK (VALUE IS NOT NULL);
        CREATE DOMAIN d4 AS d3; CREATE DOMAIN d5 AS int CHECK (VALUE > 0 OR VALUE IS NULL);
        CREATE TABLE a (id int PRIMARY KEY, t d2 REFERENCES tenants ON DELETE SET NULL);
        CREATE TABLE b (id int PRIMARY KEY, t d4 REFERENCES tenants ON DELETE SET NULL);
        CREATE TABLE c (id int PRIMARY KEY, t d5 REFERENCES tenants ON DELETE SET NULL);
        INSERT INTO a VALUES (1, 1), (2, 2), (3, 2); INSERT INTO b TABLE a; INSERT INTO c TABLE a;";
    goes_round(&format!("{TENANTS} {ddl}"), &[("public.tenants", 1), ("public.a", 2), ("public.b", 2)]);
}

/// Emptying `tenant_id` would cut tasks off from their projects; a pair of keys can be let go by its other half.
#[test]
fn a_column_that_other_rows_refer_to_is_not_emptied() {
    let ddl = "CREATE TABLE projects (id int PRIMARY KEY, tenant_id int REFERENCES tenants ON DELETE SET NULL, UNIQUE (tenant_id, id));
        CREATE TABLE tasks (id int PRIMARY KEY, tenant_id int, project_id int, UNIQUE (tenant_id, id),
            FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE SET NULL);
        CREATE TABLE notes (id int PRIMARY KEY, tenant_id int, task_id int, FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id));
        INSERT INTO projects VALUES (1, 1), (2, 2), (3, 2); INSERT INTO tasks VALUES (1, 1, 1), (2, 2, 2), (3, 2, 3);
        INSERT INTO notes VALUES (1, 1, 1), (2, 2, 2);";
    let ddl = format!("{TENANTS} {ddl}");
    goes_round(&ddl, &[("public.tenants", 1), ("public.projects", 2)]);
    let lab = Lab::postgres(&ddl);
    lab.removes("tenants: id = 2", &[], &[("public.tenants", 1), ("public.projects", 2)]);
    assert_eq!(lab.sql("SELECT tenant_id, project_id FROM tasks WHERE id = 2"), "2|");
}

#[test]
fn what_a_trigger_does_to_large_objects_is_refused_since_no_archive_holds_them() {
    let ddl = "CREATE EXTENSION lo; CREATE TABLE images (id int PRIMARY KEY, tenant_id int REFERENCES tenants, raster lo);
        CREATE TRIGGER raster BEFORE UPDATE OR DELETE ON images FOR EACH ROW EXECUTE FUNCTION lo_manage(raster);
        INSERT INTO images VALUES (1, 1, lo_from_bytea(0, '\\x01')), (2, 2, lo_from_bytea(0, '\\x02'));";
    let lab = Lab::postgres(&format!("{TENANTS} {ddl}"));
    lab.plan("tenants: id = 2", &[]);
    fault(&lab.try_purge(), 3, &["pg_largeobject_metadata", "trigger `raster`"]);
    assert_eq!(lab.count("pg_largeobject_metadata"), 2);
}

#[test]
fn a_trigger_that_stands_in_the_way_is_named() {
    let ddl = "CREATE TABLE users (id int PRIMARY KEY, tenant_id int REFERENCES tenants); INSERT INTO users VALUES (1, 1), (2, 2);
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'users are forever'; END $$;
        CREATE TRIGGER refuse BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION refuse();";
    let lab = Lab::postgres(&format!("{TENANTS} {ddl}"));
    lab.plan("tenants: id = 2", &[]);
    fault(&lab.try_purge(), 4, &["users are forever, in function refuse", "look at the trigger"]);
}

/// A row of a partition cannot lose the value that put it there.
#[test]
fn a_reference_that_a_partition_is_made_by_is_not_emptied() {
    let ddl = "CREATE TABLE events (id int, tenant_id int REFERENCES tenants ON DELETE SET NULL, by_id int REFERENCES tenants ON DELETE SET NULL)
            PARTITION BY LIST (tenant_id);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1); CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2);
        CREATE TABLE events_rest PARTITION OF events DEFAULT;
        INSERT INTO events VALUES (1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 1, 2), (5, NULL, 2);";
    goes_round(&format!("{TENANTS} {ddl}"), &[("public.tenants", 1), ("public.events_2", 2)]);
}

/// Rows of equal content cannot be told apart: one that never referred to anything must not get a reference.
#[test]
fn rows_without_a_key_that_a_trigger_stamps_come_back_and_no_other_row_gets_their_reference() {
    let ddl = "CREATE TABLE notes (by_id int REFERENCES tenants ON DELETE SET NULL, stamp text, to_id int REFERENCES tenants ON DELETE SET NULL);
        INSERT INTO notes VALUES (1, 'old', NULL), (2, 'old', 1), (2, 'old', 2), (2, 'old', 2), (NULL, 'old', NULL), (NULL, 'new', NULL), (NULL, 'new', 1);
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.stamp := STAMP; RETURN NEW; END $$;
        CREATE TRIGGER stamp BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION stamp();";
    for stamp in ["NEW.stamp", "'new'"] {
        let ddl = format!("{TENANTS} {}", ddl.replace("STAMP", stamp));
        goes_round(&ddl, &[("public.tenants", 1)]);
        let lab = Lab::postgres(&ddl);
        lab.removes("tenants: id = 2", &["--path", "checked"], &[("public.tenants", 1)]);
        lab.sql("DELETE FROM notes WHERE by_id IS NULL AND to_id IS NULL");
        let purged = lab.picture();
        let answer = lab.run(&["restore", "r-1", "--confirm", "r-1"]);
        fault(&answer, 1, &["it is not as it was left"]);
        assert_same(&lab.picture(), &purged);
    }
}
