//! Shapes that large applications have and that once went wrong, each in a few lines.
//!
//! Not here: what PostgreSQL does to anybody (`semantics_postgres`).

use crate::lab::Lab;

/// A tenant's space and the space of each of its projects, as code forges have them: who removes a project
/// removes its space by a trigger.
const FORGE: &str = "
    CREATE TABLE spaces (id int PRIMARY KEY, parent_id int REFERENCES spaces ON DELETE CASCADE);
    CREATE TABLE projects (id int PRIMARY KEY, owner_id int NOT NULL REFERENCES spaces ON DELETE CASCADE, space_id int);
    CREATE TABLE routes (id int PRIMARY KEY, space_id int NOT NULL REFERENCES spaces);
    CREATE TABLE a_counts (project_id int NOT NULL REFERENCES projects ON DELETE CASCADE, issues int NOT NULL);
    CREATE TABLE z_counts (project_id int NOT NULL REFERENCES projects ON DELETE CASCADE, issues int NOT NULL);
    CREATE TABLE issues (id int PRIMARY KEY, project_id int NOT NULL REFERENCES projects);
    INSERT INTO spaces VALUES (1, NULL), (2, NULL), (11, 1), (12, 2), (13, 2);
    INSERT INTO projects VALUES (1, 1, 11), (2, 2, 12), (3, 2, 13);
    INSERT INTO routes VALUES (1, 1), (2, 2), (3, 12);
    INSERT INTO issues VALUES (1, 1), (2, 2), (3, 2), (4, 3);
    INSERT INTO a_counts VALUES (1, 1), (2, 2), (3, 1); INSERT INTO z_counts TABLE a_counts;";

const GONE: [(&str, usize); 6] = [
    ("public.spaces", 3),
    ("public.projects", 2),
    ("public.routes", 2),
    ("public.issues", 3),
    ("public.a_counts", 2),
    ("public.z_counts", 2),
];

#[track_caller]
fn goes_round(triggers: &str) {
    let ddl = format!("{FORGE} {triggers}");
    Lab::postgres(&ddl).circle("spaces: id = 2", &["--path", "fast"], &GONE);
    Lab::postgres(&ddl).circle("spaces: id = 2", &["--path", "checked"], &GONE);
    Lab::postgres(&ddl).owned().circle("spaces: id = 2", &[], &GONE);
}

#[test]
fn a_trigger_may_remove_rows_that_leave_anyway() {
    for timing in ["AFTER", "BEFORE"] {
        goes_round(&format!(
            "CREATE FUNCTION remove_space() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN DELETE FROM spaces WHERE id = OLD.space_id; RETURN OLD; END $$;
             CREATE TRIGGER remove_space {timing} DELETE ON projects FOR EACH ROW EXECUTE FUNCTION remove_space();"
        ));
    }
}

/// The counters are kept in tables that nothing refers to, one removed before the issues and one after them.
#[test]
fn a_trigger_may_change_rows_that_leave_anyway_even_without_a_key() {
    for timing in ["AFTER", "BEFORE"] {
        goes_round(&format!(
            "CREATE FUNCTION count_down() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN
                    UPDATE a_counts SET issues = issues - 1 WHERE project_id = OLD.project_id;
                    UPDATE z_counts SET issues = issues - 1 WHERE project_id = OLD.project_id;
                    RETURN OLD;
                END $$;
             CREATE TRIGGER count_down {timing} DELETE ON issues FOR EACH ROW EXECUTE FUNCTION count_down();"
        ));
    }
}

/// Rings through a reference that may be null, with a trigger on one table of the ring: the server's own SET NULL
/// must not get at rows that leave.
#[test]
fn a_ring_with_a_weak_link_and_a_trigger_leaves_at_once() {
    let ddl = "
        CREATE TABLE tenants (id int PRIMARY KEY);
        CREATE TABLE projects (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, latest_build_id int);
        CREATE TABLE builds (id int PRIMARY KEY, project_id int NOT NULL REFERENCES projects);
        ALTER TABLE projects ADD FOREIGN KEY (latest_build_id) REFERENCES builds ON DELETE SET NULL;
        CREATE TABLE log (id int);
        INSERT INTO tenants VALUES (1), (2); INSERT INTO projects VALUES (1, 1), (2, 2), (3, 2);
        INSERT INTO builds VALUES (1, 1), (2, 2), (3, 3), (4, 3); UPDATE projects SET latest_build_id = id;
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (OLD.id); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER DELETE ON builds FOR EACH ROW EXECUTE FUNCTION note();";
    for path in ["fast", "checked"] {
        let lab = Lab::postgres(ddl);
        let before = lab.picture();
        lab.plan("tenants: id = 2", &["--path", path]);
        let report = lab.purge();
        assert_eq!(report["inserted_by_triggers"], serde_json::json!({ "public.log": 3 }));
        lab.verify("r-1");
        lab.restore("r-1");
        crate::lab::assert_same(&lab.picture(), &before);
    }
}
