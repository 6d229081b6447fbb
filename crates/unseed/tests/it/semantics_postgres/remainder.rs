//! Plans of databases in which nearly all rows leave: those that stay are looked for, and the others are only counted.
//! Where anything crosses between what leaves and what stays, the closure is computed as ever, with the same answer.

use crate::lab::{Lab, assert_same, fault};

/// Nineteen tenants of twenty are test tenants, with every kind of reference, cycles and a table in parts; each
/// temporary table that a session makes is noted in `made`.
const CITY: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY, name text NOT NULL, parent_id int REFERENCES tenants, boss_id int);
    CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, manager_id int REFERENCES users);
    ALTER TABLE tenants ADD FOREIGN KEY (boss_id) REFERENCES users DEFERRABLE;
    CREATE TABLE sites (tenant_id int REFERENCES tenants, no int, PRIMARY KEY (tenant_id, no));
    CREATE TABLE visits (id int, tenant_id int, site_no int, by_id int REFERENCES users ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, site_no) REFERENCES sites, PRIMARY KEY (id)) PARTITION BY HASH (id);
    CREATE TABLE visits_0 PARTITION OF visits FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE visits_1 PARTITION OF visits FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE notes (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, by_id int REFERENCES users ON DELETE SET NULL);
    CREATE TABLE tags (kind text, entity text, name text);
    CREATE TABLE plans (id int PRIMARY KEY, name text);
    INSERT INTO tenants SELECT n, CASE WHEN n < 20 THEN 'test' ELSE 'real' END FROM generate_series(1, 20) n;
    UPDATE tenants SET parent_id = id - 1 WHERE id BETWEEN 2 AND 10;
    INSERT INTO users SELECT n, n, CASE WHEN n % 3 = 0 THEN n - 1 END FROM generate_series(1, 20) n WHERE n <> 18;
    INSERT INTO users VALUES (21, 20, 20);
    UPDATE tenants SET boss_id = id WHERE id % 2 = 0 AND id <> 18;
    INSERT INTO sites SELECT t, n FROM generate_series(1, 20) t, generate_series(1, 2) n;
    INSERT INTO visits SELECT row_number() OVER (), s.tenant_id, s.no, u.id FROM sites s LEFT JOIN users u ON u.tenant_id = s.tenant_id;
    INSERT INTO visits VALUES (100, NULL, 1, NULL), (101, 20, NULL, NULL);
    INSERT INTO notes SELECT n, tenant_id, id FROM users, LATERAL (SELECT id AS n) x;
    INSERT INTO tags SELECT 'user', id::text, 'x' FROM users UNION ALL SELECT 'tenant', id::text, 'y' FROM tenants
        UNION ALL SELECT 'user', '99', 'of nobody' UNION ALL SELECT 'plan', '1', 'a plan';
    CREATE TABLE made (name text);
    CREATE FUNCTION note_made() RETURNS event_trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.made SELECT object_identity FROM pg_event_trigger_ddl_commands(); END $$;
    CREATE EVENT TRIGGER notes ON ddl_command_end WHEN TAG IN ('CREATE TABLE AS') EXECUTE FUNCTION note_made();";

/// What tags refer to stands in two columns.
const POLICY: &str = "
    [limits]
    max_share_of_table = 1.0
    [[references]]
    from = \"tags.entity\"
    to = \"users.id\"
    on_remove = \"delete\"
    when = { kind = \"user\" }
    [[references]]
    from = \"tags.entity\"
    to = \"tenants.id\"
    on_remove = \"delete\"
    when = { kind = \"tenant\" }";

pub(super) const ROOTS: &str = "tenants: name = 'test'";

pub(super) fn city(more: &str) -> Lab<'static> {
    let lab = Lab::postgres(&format!("{CITY} {more}; ANALYZE; SELECT 1"));
    std::fs::write(lab.path("unseed.toml"), POLICY).unwrap();
    lab
}

/// Whether what stays was looked for, and whether key sets of what leaves were made, since the last question.
fn looked(lab: &Lab<'_>) -> (bool, bool) {
    let names = lab.sql("SELECT coalesce(string_agg(name, ' '), '') FROM made WHERE name ~ 'unseed_[yk]'");
    lab.sql("TRUNCATE made");
    (names.contains("unseed_y"), names.contains("unseed_k"))
}

/// What a plan counted is what a purge removes; then everything comes back.
fn circle(lab: &Lab<'_>) {
    let before = lab.picture();
    let plan = std::fs::read_to_string(lab.path("plan.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let report = lab.purge();
    let planned: u64 = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["action"] == "delete")
        .filter_map(|s| s["rows"].as_u64())
        .sum();
    assert_eq!(report["rows"]["deleted"], planned);
    lab.verify("r-1");
    lab.restore("r-1");
    lab.sql("TRUNCATE made");
    let mut before = before;
    before.entry("public.made".to_owned()).and_modify(Vec::clear);
    assert_same(&lab.picture(), &before);
}

#[test]
fn what_leaves_is_told_by_the_few_rows_that_stay() {
    let lab = city("");
    let plan = lab.plan(ROOTS, &["--protect", "tenants.id=20"]);
    assert_eq!(looked(&lab), (true, false));
    let counted = ["tenants", "users", "sites", "visits", "notes", "tags", "plans"]
        .map(|table| plan.rows(&format!("public.{table}"), "delete"));
    assert_eq!(counted, [19, 18, 38, 38, 18, 37, 0]);
    circle(&lab);
}

/// Half of the rows are no reason to look for those that stay; nor are all of them, if the server cannot tell.
#[test]
fn too_few_roots_or_no_statistics_take_the_long_way() {
    let lab = city("");
    lab.plan("tenants: id < 10", &[]);
    assert_eq!(looked(&lab), (false, true));
    let lab = Lab::postgres(CITY);
    std::fs::write(lab.path("unseed.toml"), POLICY).unwrap();
    lab.plan(ROOTS, &[]);
    assert_eq!(looked(&lab), (false, true), "nobody has told the server how many rows there are");
}

#[test]
fn a_row_that_stays_and_is_detached_takes_the_long_way() {
    let lab = city("INSERT INTO notes VALUES (50, 20, 3)");
    let plan = lab.plan(ROOTS, &[]);
    assert_eq!(looked(&lab), (true, true));
    assert_eq!((plan.rows("public.notes", "delete"), plan.rows("public.notes", "detach")), (18, 1));
    circle(&lab);
    // A table that nothing leaves is looked at too.
    let lab = city(
        "CREATE TABLE pins (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE SET NULL);
        INSERT INTO pins VALUES (1, 20), (2, 5), (3, NULL)",
    );
    let plan = lab.plan(ROOTS, &[]);
    assert_eq!(looked(&lab), (true, true));
    assert_eq!((plan.rows("public.pins", "delete"), plan.rows("public.pins", "detach")), (0, 1));
    circle(&lab);
}

#[test]
fn protected_rows_are_found_whoever_leads_to_them() {
    // By another user, by a second owner, by a chain of the same table, and as a root.
    for more in [
        "CREATE TABLE docs (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, author_id int NOT NULL REFERENCES users);
         INSERT INTO docs SELECT n, n, n FROM generate_series(1, 17) n; INSERT INTO docs VALUES (50, 20, 7)",
        "INSERT INTO visits VALUES (102, 20, 1, 4)",
        "UPDATE users SET manager_id = 19 WHERE id = 20",
        "UPDATE tenants SET parent_id = 1 WHERE id = 20",
        "UPDATE tenants SET name = 'test' WHERE id = 20",
    ] {
        let lab = city(more);
        fault(&lab.try_plan(ROOTS, &["--protect", "tenants.id=20"]), 3, &["public.tenants 20"]);
        assert_eq!(looked(&lab), (true, true), "{more}");
    }
}

/// A check decides whether a row can be detached; a table keeps most of its rows; a key was never validated, and some
/// rows refer to nothing.
#[test]
fn what_only_the_rows_themselves_tell_is_not_guessed() {
    let lab = city(
        "CREATE TABLE pins (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE SET NULL,
            place text, CHECK (user_id IS NOT NULL OR place IS NOT NULL));
        INSERT INTO pins VALUES (1, 20, NULL), (2, 5, NULL), (3, NULL, 'here')",
    );
    let plan = lab.plan(ROOTS, &[]);
    assert_eq!((looked(&lab), plan.rows("public.pins", "delete")), ((true, true), 1));
    circle(&lab);
    let lab = city(
        "CREATE TABLE facts (id int PRIMARY KEY, tenant_id int REFERENCES tenants);
        INSERT INTO facts SELECT n, CASE WHEN n <= 10 THEN n END FROM generate_series(1, 3000) n",
    );
    let plan = lab.plan(ROOTS, &[]);
    assert_eq!((looked(&lab), plan.rows("public.facts", "delete")), ((true, true), 10));
    circle(&lab);
    let lab = city(
        "CREATE TABLE facts (id int PRIMARY KEY, tenant_id int NOT NULL);
        INSERT INTO facts SELECT n, n FROM generate_series(1, 30) n;
        ALTER TABLE facts ADD FOREIGN KEY (tenant_id) REFERENCES tenants NOT VALID",
    );
    let plan = lab.plan(ROOTS, &[]);
    assert_eq!((looked(&lab), plan.rows("public.facts", "delete")), ((true, false), 19));
    circle(&lab);
}
