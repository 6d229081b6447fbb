//! Keys and cycles: what must leave together, and in which statement.

use super::on_both_ways;
use crate::lab::{Lab, assert_same, fault};

/// Two tables that need each other, deleted one after the other, fail with 23503 whatever the constraint says.
#[track_caller]
fn not_null_cycle(rule: &str) {
    let ddl = format!(
        "CREATE TABLE teams (id int PRIMARY KEY, lead_id int NOT NULL, name text);
         CREATE TABLE people (id int PRIMARY KEY, team_id int NOT NULL REFERENCES teams {rule});
         INSERT INTO teams VALUES (1, 1, 'real'), (2, 2, 'test'), (3, 3, 'test');
         INSERT INTO people VALUES (1, 1), (2, 2), (3, 3), (4, 3);
         ALTER TABLE teams ADD FOREIGN KEY (lead_id) REFERENCES people {rule};"
    );
    let rows = [("public.teams", 2), ("public.people", 3)];
    // Restoring needs both inserts in one statement, too.
    on_both_ways(&ddl, "teams: name = 'test'", &rows);
}

#[test]
fn a_not_null_cycle_with_no_action_leaves_in_one_statement() {
    not_null_cycle("");
}

#[test]
fn a_not_null_cycle_with_restrict_leaves_in_one_statement() {
    not_null_cycle("ON DELETE RESTRICT");
}

#[test]
fn a_not_null_cycle_that_is_deferred_but_restricted_leaves_in_one_statement() {
    not_null_cycle("ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED");
}

#[test]
fn a_tree_under_restrict_leaves_with_its_root() {
    on_both_ways(
        "CREATE TABLE folders (id int PRIMARY KEY, parent_id int REFERENCES folders ON DELETE RESTRICT, name text);
         INSERT INTO folders VALUES (1, NULL, 'real'), (2, NULL, 'test'), (3, 2, 'x'), (4, 3, 'y'), (5, 1, 'z'), (6, 6, 'own');
         UPDATE folders SET parent_id = 4 WHERE id = 2;",
        "folders: name IN ('test', 'own')",
        &[("public.folders", 4)],
    );
}

/// Jailer gives up or NULLs everything, Greenmask panics: here are three cycles, one of them through NOT NULL.
#[test]
fn several_cycles_at_once_are_no_trouble() {
    on_both_ways(
        "CREATE TABLE a (id int PRIMARY KEY, b_id int NOT NULL, note text);
         CREATE TABLE b (id int PRIMARY KEY, a_id int NOT NULL REFERENCES a, c_id int);
         CREATE TABLE c (id int PRIMARY KEY, b_id int NOT NULL REFERENCES b, c_id int NOT NULL REFERENCES c);
         CREATE TABLE d (id int PRIMARY KEY, e_id int NOT NULL, c_id int REFERENCES c);
         CREATE TABLE e (id int PRIMARY KEY, d_id int NOT NULL REFERENCES d ON DELETE CASCADE);
         INSERT INTO a VALUES (1, 1, 'real'), (2, 2, 'test');
         INSERT INTO b VALUES (1, 1, NULL), (2, 2, 2);
         INSERT INTO c VALUES (1, 1, 1), (2, 2, 3), (3, 2, 2);
         INSERT INTO d VALUES (1, 1, 1), (2, 2, 2), (3, 3, NULL);
         INSERT INTO e VALUES (1, 1), (2, 2), (3, 3);
         ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b;
         ALTER TABLE b ADD FOREIGN KEY (c_id) REFERENCES c;
         ALTER TABLE d ADD FOREIGN KEY (e_id) REFERENCES e;",
        "a: note = 'test'",
        &[("public.a", 1), ("public.b", 1), ("public.c", 2), ("public.d", 1), ("public.e", 1)],
    );
}

/// In one statement with common table expressions the DELETE of a row that is UPDATEd there hits nothing,
/// without an error: the reference of a row that leaves must not be detached first.
#[test]
fn a_row_that_is_detached_from_one_and_leaves_with_another_leaves() {
    on_both_ways(
        "CREATE TABLE tenants (id int PRIMARY KEY, name text);
         CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
         CREATE TABLE notes (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants ON DELETE CASCADE,
            author_id int REFERENCES users ON DELETE SET NULL);
         INSERT INTO tenants VALUES (1, 'real'), (2, 'test');
         INSERT INTO users VALUES (1, 1), (2, 2);
         INSERT INTO notes VALUES (1, 1, 1), (2, 2, 2), (3, 1, 2);",
        "tenants: name = 'test'",
        &[("public.tenants", 1), ("public.users", 1), ("public.notes", 1)],
    );
}

/// `DELETE … RETURNING` on the parent would have told of one row: the children went by cascade, and the
/// references of the grandchildren were lost.
#[test]
fn cascaded_rows_are_archived_and_detached_values_too() {
    let lab = Lab::postgres(
        "CREATE TABLE parents (id int PRIMARY KEY, name text);
         CREATE TABLE children (id int PRIMARY KEY, parent_id int REFERENCES parents ON DELETE CASCADE);
         CREATE TABLE grandchildren (id int PRIMARY KEY, child_id int REFERENCES children ON DELETE SET NULL);
         INSERT INTO parents VALUES (1, 'real'), (2, 'test');
         INSERT INTO children SELECT n, 2 FROM generate_series(1, 5) n;
         INSERT INTO grandchildren SELECT n, n FROM generate_series(1, 5) n;",
    );
    let before = lab.removes("parents: id = 2", &[], &[("public.parents", 1), ("public.children", 5)]);
    assert_eq!(lab.archived("r-1", "public.parents.copy"), ["2\ttest"]);
    assert_eq!(lab.archived("r-1", "public.children.copy"), before["public.children"]);
    assert_eq!(lab.archived("r-1", "public.grandchildren.detached.copy"), before["public.grandchildren"]);
    assert_eq!(lab.count("grandchildren WHERE child_id IS NULL"), 5);
    lab.restore("r-1");
    crate::lab::assert_same(&lab.picture(), &before);
}

/// The database's own way fails with 23502 here, in the middle of the purge.
#[test]
fn set_null_on_a_not_null_column_takes_the_row_along_and_says_so() {
    let ddl = "CREATE TABLE users (id int PRIMARY KEY, name text);
         CREATE TABLE orders (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE SET NULL);
         INSERT INTO users VALUES (1, 'real'), (2, 'test'); INSERT INTO orders VALUES (1, 1), (2, 2), (3, 2);";
    let plan = Lab::postgres(ddl).plan("users: id = 2", &[]);
    let said = plan.warnings("not-null-pull");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("orders.user_id → users.id (SET NULL)"), "{said:?}");
    on_both_ways(ddl, "users: id = 2", &[("public.users", 1), ("public.orders", 2)]);
}

#[test]
fn a_check_that_forbids_null_takes_the_row_along() {
    on_both_ways(
        "CREATE TABLE users (id int PRIMARY KEY);
         CREATE TABLE entries (id int PRIMARY KEY, kind text, user_id int REFERENCES users ON DELETE SET NULL,
            CHECK (kind <> 'owned' OR user_id IS NOT NULL));
         INSERT INTO users VALUES (1), (2);
         INSERT INTO entries VALUES (1, 'owned', 1), (2, 'owned', 2), (3, 'free', 2), (4, 'free', NULL);",
        "users: id = 2",
        &[("public.users", 1), ("public.entries", 1)],
    );
}

/// NULLing both columns would fail, since one is NOT NULL; NULLing one is enough under MATCH SIMPLE.
#[test]
fn a_composite_key_is_detached_by_the_one_column_that_can_be_null() {
    let ddl = "CREATE TABLE users (tenant_id int, id int, PRIMARY KEY (tenant_id, id));
         CREATE TABLE tasks (id int PRIMARY KEY, tenant_id int NOT NULL, assignee_id int,
            FOREIGN KEY (tenant_id, assignee_id) REFERENCES users ON DELETE SET NULL (assignee_id));
         CREATE TABLE old_tasks (id int PRIMARY KEY, tenant_id int NOT NULL, assignee_id int,
            FOREIGN KEY (tenant_id, assignee_id) REFERENCES users ON DELETE SET NULL);
         INSERT INTO users VALUES (1, 1), (1, 2);
         INSERT INTO tasks VALUES (1, 1, 1), (2, 1, 2); INSERT INTO old_tasks VALUES (1, 1, 1), (2, 1, 2);";
    let lab = Lab::postgres(ddl);
    lab.removes("users: id = 2", &[], &[("public.users", 1)]);
    assert_eq!(
        lab.sql("SELECT * FROM tasks UNION ALL SELECT * FROM old_tasks ORDER BY 1, 3"),
        "1|1|1\n1|1|1\n2|1|\n2|1|"
    );
    on_both_ways(ddl, "users: id = 2", &[("public.users", 1)]);
}

/// Under MATCH FULL one null among values is 23503: all columns are written, or the row leaves.
#[test]
fn match_full_is_detached_as_a_whole_or_not_at_all() {
    let ddl = "CREATE TABLE users (tenant_id int, id int, PRIMARY KEY (tenant_id, id));
         CREATE TABLE loose (id int PRIMARY KEY, tenant_id int, user_id int,
            FOREIGN KEY (tenant_id, user_id) REFERENCES users MATCH FULL ON DELETE SET NULL);
         CREATE TABLE firm (id int PRIMARY KEY, tenant_id int NOT NULL, user_id int,
            FOREIGN KEY (tenant_id, user_id) REFERENCES users MATCH FULL ON DELETE SET NULL);
         INSERT INTO users VALUES (1, 1), (1, 2);
         INSERT INTO loose VALUES (1, 1, 1), (2, 1, 2); INSERT INTO firm VALUES (1, 1, 1), (2, 1, 2);";
    let lab = Lab::postgres(ddl);
    lab.removes("users: id = 2", &[], &[("public.users", 1), ("public.firm", 1)]);
    assert_eq!(lab.sql("SELECT * FROM loose ORDER BY 1"), "1|1|1\n2||");
    on_both_ways(ddl, "users: id = 2", &[("public.users", 1), ("public.firm", 1)]);
}

/// Greenmask joins with the primary key of the parent, whatever the key says, and finds other rows.
#[test]
fn a_key_to_another_unique_column_is_followed_by_that_column() {
    on_both_ways(
        "CREATE TABLE accounts (id int PRIMARY KEY, code int NOT NULL UNIQUE);
         CREATE TABLE bookings (id int PRIMARY KEY, account_code int NOT NULL REFERENCES accounts (code));
         INSERT INTO accounts VALUES (1, 2), (2, 1); INSERT INTO bookings VALUES (1, 2), (2, 1), (3, 1);",
        "accounts: id = 2",
        &[("public.accounts", 1), ("public.bookings", 2)],
    );
}

/// The address of a row repeats from partition to partition: by address alone, the row of a real tenant goes.
#[test]
fn rows_at_the_same_address_of_another_partition_stay() {
    let ddl = "CREATE TABLE tenants (id int PRIMARY KEY);
         CREATE TABLE events (tenant_id int NOT NULL REFERENCES tenants, id int, PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
         CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2) PARTITION BY RANGE (id);
         CREATE TABLE events_2_low PARTITION OF events_2 FOR VALUES FROM (0) TO (10);
         CREATE TABLE events_2_high PARTITION OF events_2 FOR VALUES FROM (10) TO (20);
         INSERT INTO tenants VALUES (1), (2);
         INSERT INTO events SELECT t, n FROM generate_series(1, 2) t, generate_series(8, 11) n;";
    let lab = Lab::postgres(ddl);
    assert_eq!(lab.sql("SELECT count(DISTINCT ctid) < count(*) FROM events"), "t");
    let plan = lab.plan("tenants: id = 2", &[]);
    let steps = plan.0["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2, "a partitioned table is one table: {steps:?}");
    assert_eq!(steps[0]["via"], "events.tenant_id → tenants.id (NO ACTION)", "and its key one key");
    on_both_ways(
        ddl,
        "tenants: id = 2",
        &[("public.tenants", 1), ("public.events_2_low", 2), ("public.events_2_high", 2)],
    );
}

#[test]
fn a_key_of_one_partition_leads_to_the_rows_of_that_partition_only() {
    on_both_ways(
        "CREATE TABLE users (id int PRIMARY KEY);
         CREATE TABLE logs (id int, user_id int, kind text) PARTITION BY LIST (kind);
         CREATE TABLE logs_user PARTITION OF logs (FOREIGN KEY (user_id) REFERENCES users) FOR VALUES IN ('user');
         CREATE TABLE logs_robot PARTITION OF logs FOR VALUES IN ('robot');
         INSERT INTO users VALUES (1), (2);
         INSERT INTO logs VALUES (1, 1, 'user'), (2, 2, 'user'), (3, 2, 'robot'), (4, 77, 'robot');",
        "users: id = 2",
        &[("public.users", 1), ("public.logs_user", 1)],
    );
}

/// Fides skips such a table and calls it done. Two of the rows are equal, and one of them stays detached.
#[test]
fn rows_of_a_table_without_a_key_leave_and_come_back() {
    on_both_ways(
        "CREATE TABLE users (id int PRIMARY KEY);
         CREATE TABLE visits (user_id int NOT NULL REFERENCES users, page text);
         CREATE TABLE likes (user_id int REFERENCES users ON DELETE SET NULL, page text);
         INSERT INTO users VALUES (1), (2);
         INSERT INTO visits VALUES (1, 'a'), (2, 'a'), (2, 'a'), (2, 'b');
         INSERT INTO likes VALUES (1, 'a'), (2, 'a'), (2, 'a'), (NULL, 'a'), (NULL, 'a'), (2, 'b');",
        "users: id = 2",
        &[("public.users", 1), ("public.visits", 3)],
    );
}

#[test]
fn a_table_of_nothing_but_a_detached_column_gets_every_value_back() {
    on_both_ways(
        "CREATE TABLE users (id int PRIMARY KEY);
         CREATE TABLE winners (user_id int REFERENCES users ON DELETE SET NULL);
         INSERT INTO users VALUES (1), (2), (3), (4); INSERT INTO winners VALUES (1), (2), (3), (NULL), (3);",
        "users: id IN (2, 3)",
        &[("public.users", 2)],
    );
}

#[test]
fn set_default_writes_the_default_and_a_restore_the_old_value() {
    let ddl = "CREATE TABLE users (id int PRIMARY KEY);
         CREATE TABLE files (id int PRIMARY KEY, owner_id int DEFAULT 1 REFERENCES users ON DELETE SET DEFAULT);
         INSERT INTO users VALUES (1), (2); INSERT INTO files VALUES (1, 1), (2, 2), (3, NULL);";
    let lab = Lab::postgres(ddl);
    lab.removes("users: id = 2", &[], &[("public.users", 1)]);
    assert_eq!(lab.sql("SELECT * FROM files ORDER BY 1"), "1|1\n2|1\n3|");
    on_both_ways(ddl, "users: id = 2", &[("public.users", 1)]);
}

/// The database's own cascade fails or detaches, depending on which constraint trigger comes first.
#[test]
fn a_row_with_a_set_null_and_a_cascade_path_leaves() {
    on_both_ways(
        "CREATE TABLE tenants (id int PRIMARY KEY);
         CREATE TABLE users (id int PRIMARY KEY, tenant_id int REFERENCES tenants ON DELETE CASCADE);
         CREATE TABLE posts (id int PRIMARY KEY, a_editor int REFERENCES users ON DELETE SET NULL,
            b_author int NOT NULL REFERENCES users ON DELETE CASCADE);
         INSERT INTO tenants VALUES (1), (2); INSERT INTO users VALUES (1, 1), (2, 2);
         INSERT INTO posts VALUES (1, 2, 2), (2, 2, 1), (3, 1, 2), (4, NULL, 1);",
        "tenants: id = 2",
        &[("public.tenants", 1), ("public.users", 1), ("public.posts", 2)],
    );
}

/// A strong reference one way and a weak one back, as in organizations and their owner: while one table is
/// deleted the server NULLs the reference of rows that are about to leave, and so rewrites them.
#[test]
fn tables_that_refer_to_each_other_strongly_and_weakly_leave_together() {
    let tables = "CREATE TABLE orgs (id int PRIMARY KEY, owner_id int, name text);
         CREATE TABLE users (id int PRIMARY KEY, org_id int NOT NULL REFERENCES orgs ON DELETE CASCADE);
         INSERT INTO orgs VALUES (1, 1, 'real'), (2, 2, 'test'), (3, 2, 'real');
         INSERT INTO users VALUES (1, 1), (2, 2), (3, 2), (4, 3);
         ALTER TABLE orgs ADD FOREIGN KEY (owner_id) REFERENCES users ON DELETE SET NULL;";
    let rows = [("public.orgs", 1), ("public.users", 2)];
    on_both_ways(tables, "orgs: name = 'test'", &rows);
    for table in ["orgs", "users"] {
        // With a trigger, the fast way takes this table in a statement of its own, with checks on.
        let trigger = format!(
            "{tables} CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER after_all AFTER DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION nothing();"
        );
        on_both_ways(&trigger, "orgs: name = 'test'", &rows);
    }
}

#[test]
fn keys_across_schemas_and_odd_names_are_followed() {
    on_both_ways(
        "CREATE TABLE \"Ten\"\"ants: all\" (\"Id\" int PRIMARY KEY, \"select\" text);
         CREATE TABLE \"x\" (k int PRIMARY KEY, tag int, doomed int, ver text, part int, tid int,
            \"order\" int REFERENCES \"Ten\"\"ants: all\");
         INSERT INTO \"Ten\"\"ants: all\" VALUES (1, 'real'), (2, 'test');
         INSERT INTO x VALUES (1, 1, 1, 'v', 1, 1, 1), (2, 2, 2, 'v', 2, 2, 2);",
        "x: \"order\" = 2",
        &[("public.x", 1)],
    );
    let lab = Lab::postgres(
        "CREATE SCHEMA \"Bill ing\"; CREATE TABLE tenants (id int PRIMARY KEY);
         CREATE TABLE \"Bill ing\".tenants (id int PRIMARY KEY, t int REFERENCES public.tenants);
         INSERT INTO tenants VALUES (1), (2); INSERT INTO \"Bill ing\".tenants VALUES (1, 1), (2, 2), (3, 2);",
    );
    fault(
        &lab.try_plan("tenants: id = 2", &[]),
        2,
        &["`tenants` is ambiguous", "Bill ing.tenants", "public.tenants"],
    );
    lab.circle("public.tenants: id = 2", &[], &[("public.tenants", 1), ("Bill ing.tenants", 2)]);
}

/// A logical link counts as much as a declared one, on both ways.
#[test]
fn a_configured_reference_takes_rows_along() {
    let ddl = "CREATE TABLE tenants (id uuid PRIMARY KEY, name text);
         CREATE TABLE audit (id int PRIMARY KEY, subject_type text, subject_id text);
         INSERT INTO tenants VALUES ('00000000-0000-0000-0000-000000000001', 'real'), ('00000000-0000-0000-0000-00000000000b', 'test');
         INSERT INTO audit VALUES (1, 'tenant', '00000000-0000-0000-0000-000000000001'),
            (2, 'tenant', '00000000-0000-0000-0000-00000000000b'), (3, 'user', '00000000-0000-0000-0000-00000000000b');";
    let config = "[[references]]\nfrom = \"audit.subject_id\"\nto = \"tenants.id\"\non_remove = \"delete\"\n\
                  when = { subject_type = \"tenant\" }\n";
    for lab in [Lab::postgres(ddl), Lab::postgres(ddl).owned()] {
        std::fs::write(lab.path("unseed.toml"), config).unwrap();
        lab.circle("tenants: name = 'test'", &[], &[("public.tenants", 1), ("public.audit", 1)]);
    }
}

/// Where nearly all rows of a table leave, only the others are looked at again: for those that leave after all, in two
/// steps and by two references, and for those that are detached.
#[test]
fn the_few_rows_that_stay_are_looked_at_again() {
    for partitioned in ["", "PARTITION BY HASH (id)"] {
        let parts = match partitioned {
            "" => String::new(),
            _ => (0..3)
                .map(|n| format!("CREATE TABLE users_{n} PARTITION OF users FOR VALUES WITH (MODULUS 3, REMAINDER {n});"))
                .collect(),
        };
        let ddl = format!(
            "CREATE TABLE tenants (id int PRIMARY KEY, name text);
             CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, manager_id int, backup_id int,
                mentor_id int) {partitioned};
             {parts}
             ALTER TABLE users ADD FOREIGN KEY (manager_id) REFERENCES users ON DELETE CASCADE;
             ALTER TABLE users ADD FOREIGN KEY (backup_id) REFERENCES users ON DELETE CASCADE;
             ALTER TABLE users ADD FOREIGN KEY (mentor_id) REFERENCES users ON DELETE SET NULL;
             INSERT INTO tenants SELECT n, CASE WHEN n < 20 THEN 'test' ELSE 'real' END FROM generate_series(1, 20) n;
             INSERT INTO users SELECT n, n, nullif(n - 1, 0) FROM generate_series(1, 19) n;
             INSERT INTO users VALUES (101, 20, NULL, NULL, NULL), (100, 20, 1, 101, NULL), (102, 20, NULL, NULL, 1),
                (103, 20, NULL, NULL, 101), (104, 20, NULL, NULL, NULL);
             UPDATE users SET manager_id = 100 WHERE id = 101;
             ANALYZE;"
        );
        for lab in [Lab::postgres(&ddl), Lab::postgres(&ddl).owned()] {
            let before = lab.picture();
            lab.plan("tenants: name = 'test'", &[]);
            lab.purge();
            lab.verify("r-1");
            let left = lab.sql("SELECT string_agg(id || ':' || coalesce(mentor_id::text, 'none'), ' ' ORDER BY id) FROM users");
            assert_eq!(left, "102:none 103:none 104:none");
            lab.restore("r-1");
            assert_same(&lab.picture(), &before);
        }
    }
}

/// 300,000 children without an index cost a thousand times as much per parent: the plan says so before.
#[test]
fn a_key_without_an_index_is_warned_of_with_an_estimate() {
    let ddl = "CREATE TABLE parents (id int PRIMARY KEY);
         CREATE TABLE children (id int PRIMARY KEY, parent_id int REFERENCES parents);
         INSERT INTO parents SELECT n FROM generate_series(1, 2000) n;
         INSERT INTO children SELECT n, 1 + n % 1000 FROM generate_series(1, 60000) n; ANALYZE;";
    let checked = Lab::postgres(ddl).owned();
    let plan = checked.plan("parents: id > 1000", &[]);
    let said = plan.warnings("missing-fk-index");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("public.children: no index on parent_id"), "{said:?}");
    let warning =
        plan.0["warnings"].as_array().unwrap().iter().find(|w| w["id"] == "missing-fk-index").unwrap();
    assert!(warning["estimate_s"].as_u64().unwrap() >= 4, "1,000 scans of 60,000 rows: {warning}");
    checked.purge();
    assert_eq!(
        checked.sql("SELECT count(*) FROM pg_class WHERE relname ~ 'unseed'"),
        "0",
        "no index is left"
    );
    let fast = Lab::postgres(ddl).plan("parents: id > 1000", &[]);
    assert_eq!(fast.path(), "fast");
    assert!(fast.warnings("missing-fk-index")[0].contains("costs nothing on the fast path"));
}

/// What is printed before a purge is all of it: locks, references that are set to null, removals, the proof.
#[test]
fn the_statements_of_a_purge_are_shown_whole() {
    let lab = Lab::postgres(
        "CREATE TABLE tenants (id int PRIMARY KEY); CREATE TABLE users (id int PRIMARY KEY, tenant_id int REFERENCES tenants);
         CREATE TABLE notes (id int PRIMARY KEY, by_id int REFERENCES users ON DELETE SET NULL);
         INSERT INTO tenants VALUES (1), (2); INSERT INTO users VALUES (1, 1), (2, 2); INSERT INTO notes VALUES (1, 2);",
    );
    for (path, role) in [("fast", true), ("checked", false)] {
        lab.plan("tenants: id = 2", &["--path", path]);
        let shown = lab.json(0, &["show", "plan.json", "--sql"]);
        let statements: Vec<&str> =
            shown["statements"].as_array().unwrap().iter().filter_map(|s| s.as_str()).collect();
        let place = |part: &str| {
            statements
                .iter()
                .position(|s| s.contains(part))
                .unwrap_or_else(|| panic!("{part}: {statements:#?}"))
        };
        let order = [
            place("BEGIN"),
            place("LOCK TABLE ONLY \"public\".\"notes\""),
            place("FOR UPDATE OF x"),
            place("UPDATE ONLY \"public\".\"notes\" x SET \"by_id\" = CASE WHEN"),
            place("DELETE FROM ONLY \"public\".\"users\""),
            place("DELETE FROM ONLY \"public\".\"tenants\""),
            place("SELECT count(*) FROM ONLY \"public\".\"notes\" AS x WHERE EXISTS"),
            place("exactly what the plan says"),
            place("COMMIT"),
        ];
        assert!(order.is_sorted(), "{order:?} {statements:#?}");
        assert_eq!(statements.iter().any(|s| s.contains("session_replication_role = replica")), role);
    }
    let lab = Lab::sqlite(
        "CREATE TABLE tenants (id INTEGER PRIMARY KEY); CREATE TABLE notes (id INTEGER PRIMARY KEY, by_id INTEGER REFERENCES tenants ON DELETE SET NULL);
         INSERT INTO tenants VALUES (1), (2); INSERT INTO notes VALUES (1, 2);",
    );
    lab.plan("tenants: id = 2", &[]);
    let shown = lab.json(0, &["show", "plan.json", "--sql"]).to_string();
    for part in ["UPDATE main.\\\"notes\\\" AS x SET", "must find nothing", "PRAGMA data_version"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
