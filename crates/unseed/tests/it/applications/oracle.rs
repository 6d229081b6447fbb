//! What a purge must leave, worked out in plain SQL that knows nothing of the product: a list of rows that leave,
//! grown key by key until nothing is added.
//!
//! The scripts change the rows inside a transaction that the caller rolls back.
//!
//! Invariants
//! - whether a reference may be set to null is not reasoned about on PostgreSQL: it is tried, row by row.
//!
//! Not here: reading what is left (`lab`).

use unseed_testkit::server::{Database, SqliteFile};

/// One line per key: how it joins, and what a removal writes when the key lets the row stay.
const LINKS: &str = "
CREATE TEMP TABLE links ON COMMIT DROP AS
SELECT f.oid AS id, c.oid AS child, p.oid AS parent,
    format('%s%s', CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, c.oid::regclass) AS child_rows,
    format('%s%s', CASE p.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, p.oid::regclass) AS parent_rows,
    (SELECT string_agg(format('x.%I = y.%I', a.attname, b.attname), ' AND ') FROM unnest(f.conkey, f.confkey) AS pairs(i, j),
        pg_attribute a, pg_attribute b WHERE a.attrelid = c.oid AND a.attnum = i AND b.attrelid = p.oid AND b.attnum = j) AS same,
    coalesce((SELECT array_agg(relid::oid) FROM pg_partition_tree(p.oid)), ARRAY[p.oid]) AS parents,
    CASE WHEN f.confdeltype = 'd' AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attnum = ANY (f.conkey) AND atthasdef)
        THEN (SELECT string_agg(format('%I = DEFAULT', attname), ', ') FROM pg_attribute
            WHERE attrelid = c.oid AND attnum = ANY (coalesce(f.confdelsetcols, f.conkey)))
        WHEN f.confdeltype IN ('n', 'd')
        THEN (SELECT string_agg(format('%I = NULL', attname), ', ') FROM pg_attribute
            WHERE attrelid = c.oid AND attnum = ANY (coalesce(f.confdelsetcols, f.conkey)) AND NOT attnotnull)
    END AS writes
FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class p ON p.oid = f.confrelid
WHERE f.contype = 'f' AND f.conparentid = 0;";

const WORKLIST: &str = "
CREATE FUNCTION pg_temp.cannot(rel oid, tid tid, writes text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE ONLY %s SET %s WHERE ctid = %L', rel::regclass, writes, tid);
    RAISE EXCEPTION USING ERRCODE = 'P0009';
EXCEPTION WHEN check_violation OR not_null_violation THEN RETURN true;
WHEN SQLSTATE 'P0009' THEN RETURN false;
END $$;
CREATE FUNCTION pg_temp.work() RETURNS void LANGUAGE plpgsql AS $$
DECLARE k record; grown oid[]; step int := 1;
BEGIN
    LOOP
        SELECT array_agg(DISTINCT rel) INTO grown FROM doomed WHERE seen = step;
        EXIT WHEN grown IS NULL;
        FOR k IN SELECT * FROM links WHERE parents && grown ORDER BY id LOOP
            EXECUTE format('INSERT INTO %s SELECT x.tableoid, x.ctid, %s FROM %s x JOIN %s y ON %s
                JOIN doomed d ON d.rel = y.tableoid AND d.tid = y.ctid WHERE d.seen = %s ON CONFLICT DO NOTHING',
                CASE WHEN k.writes IS NULL THEN 'doomed' ELSE 'loose' END,
                CASE WHEN k.writes IS NULL THEN (step + 1)::text ELSE format('%s, %L', step, k.writes) END,
                k.child_rows, k.parent_rows, k.same, step);
        END LOOP;
        -- Rows that would lose a reference leave when the row does not bear it: any set of them, the new ones included.
        INSERT INTO doomed SELECT DISTINCT l.rel, l.tid, step + 1 FROM loose l
            CROSS JOIN LATERAL (SELECT array_agg(DISTINCT writes ORDER BY writes) AS lost FROM loose m WHERE m.rel = l.rel AND m.tid = l.tid) m
            CROSS JOIN LATERAL generate_series(1, (1 << least(cardinality(lost), 6)) - 1) AS subset
            WHERE l.seen = step AND NOT EXISTS (SELECT FROM doomed d WHERE d.rel = l.rel AND d.tid = l.tid)
            AND pg_temp.cannot(l.rel, l.tid, (SELECT string_agg(lost[bit + 1], ', ') FROM generate_series(0, 5) bit
                WHERE subset & (1 << bit) > 0))
            ON CONFLICT DO NOTHING;
        step := step + 1;
    END LOOP;
    FOR k IN SELECT rel, tid, string_agg(DISTINCT writes, ', ') AS writes FROM loose l
        WHERE NOT EXISTS (SELECT FROM doomed d WHERE d.rel = l.rel AND d.tid = l.tid) GROUP BY 1, 2 LOOP
        EXECUTE format('UPDATE ONLY %s SET %s WHERE ctid = %L', k.rel::regclass, k.writes, k.tid);
    END LOOP;
    FOR k IN SELECT DISTINCT rel FROM doomed LOOP
        EXECUTE format('DELETE FROM ONLY %s x USING doomed d WHERE d.rel = x.tableoid AND d.tid = x.ctid', k.rel::regclass);
    END LOOP;
END $$;";

/// Removes the rows of a table that fit the predicate, with everything that must leave or change because of them.
pub(super) fn postgres(table: &str, predicate: &str) -> String {
    format!(
        "SET LOCAL session_replication_role = replica; SET LOCAL client_min_messages = error; {LINKS} {WORKLIST}
         CREATE TEMP TABLE doomed (rel oid, tid tid, seen int, PRIMARY KEY (rel, tid)) ON COMMIT DROP;
         CREATE TEMP TABLE loose (rel oid, tid tid, seen int, writes text, PRIMARY KEY (rel, tid, writes)) ON COMMIT DROP;
         INSERT INTO doomed SELECT tableoid, ctid, 1 FROM {table} WHERE {predicate};
         DO $$ BEGIN PERFORM pg_temp.work(); END $$;"
    )
}

/// Keys with rows that refer to nothing, and how many; those that were never validated are left out.
pub(super) fn orphans(database: &Database<'_>) -> String {
    let script = format!(
        "BEGIN; {LINKS}
         SELECT format('SELECT %L, count(*) FROM %s x WHERE %s AND NOT EXISTS (SELECT FROM %s y WHERE %s) HAVING count(*) > 0',
             l.child::regclass, child_rows, (SELECT string_agg(format('x.%I IS NOT NULL', attname), ' AND ') FROM pg_attribute
                 WHERE attrelid = l.child AND attnum = ANY (f.conkey)), parent_rows, same)
         FROM links l JOIN pg_constraint f ON f.oid = l.id WHERE f.convalidated ORDER BY id
         \\gexec\nROLLBACK;"
    );
    database.psql(&script).unwrap()
}

/// A key of a SQLite database.
struct Link {
    child: String,
    parent: String,
    same: String,
    /// Columns that become null, unless one of them must not be.
    writes: Option<String>,
}

/// How often every key is followed; the script fails when that was not enough.
const ROUNDS: usize = 14;

/// The same for SQLite, where rows are told apart by their rowid.
pub(super) fn sqlite(file: &SqliteFile, table: &str, predicate: &str) -> String {
    let links = sqlite_links(file);
    let mut script = format!(
        "PRAGMA foreign_keys = OFF;
         CREATE TEMP TABLE doomed (t, r, PRIMARY KEY (t, r)); CREATE TEMP TABLE grown (n);
         INSERT INTO doomed SELECT '{table}', rowid FROM {table} WHERE {predicate};\n"
    );
    for round in 1..=ROUNDS {
        for Link { child, parent, same, .. } in links.iter().filter(|link| link.writes.is_none()) {
            script.push_str(&format!(
                "INSERT OR IGNORE INTO doomed SELECT '{child}', x.rowid FROM {child} x JOIN {parent} y ON {same}
                 JOIN doomed d ON d.t = '{parent}' AND d.r = y.rowid;\n"
            ));
        }
        if round >= ROUNDS - 1 {
            script.push_str("INSERT INTO grown SELECT count(*) FROM doomed;\n");
        }
    }
    // A second value is an error of the test: the list was still growing.
    script.push_str("CREATE TEMP TABLE settled (n CHECK (n = 1)); INSERT INTO settled SELECT count(DISTINCT n) FROM grown;\n");
    for Link { child, parent, same, writes } in &links {
        if let Some(writes) = writes {
            script.push_str(&format!(
                "UPDATE {child} AS x SET {writes} WHERE EXISTS (SELECT 1 FROM {parent} y JOIN doomed d ON d.t = '{parent}'
                 AND d.r = y.rowid WHERE {same}) AND NOT EXISTS (SELECT 1 FROM doomed d WHERE d.t = '{child}' AND d.r = x.rowid);\n"
            ));
        }
    }
    let tables: Vec<&String> = links.iter().map(|link| &link.child).collect();
    for name in tables.into_iter().chain([&table.to_owned()]) {
        script.push_str(&format!(
            "DELETE FROM {name} WHERE rowid IN (SELECT r FROM doomed WHERE t = '{name}');\n"
        ));
    }
    format!("{script}DROP TABLE doomed; DROP TABLE grown; DROP TABLE settled;\n")
}

fn sqlite_links(file: &SqliteFile) -> Vec<Link> {
    const SQL: &str = "
        SELECT '\"' || m.name || '\"', '\"' || k.\"table\" || '\"',
            group_concat('x.\"' || k.\"from\" || '\" = y.\"' || coalesce(k.\"to\", (SELECT name FROM pragma_table_info(k.\"table\") WHERE pk = k.seq + 1)) || '\"', ' AND '),
            k.on_delete IN ('SET NULL', 'SET DEFAULT') AND sum(c.\"notnull\" OR c.pk > 0) < count(*),
            group_concat(CASE WHEN c.\"notnull\" THEN NULL ELSE '\"' || k.\"from\" || '\" = NULL' END, ', ')
        FROM sqlite_master m, pragma_foreign_key_list(m.name) k JOIN pragma_table_info(m.name) c ON c.name = k.\"from\" COLLATE NOCASE
        WHERE m.type = 'table' GROUP BY m.name, k.id ORDER BY m.name, k.id";
    let answer = file.run(SQL).unwrap();
    let links = answer.lines().map(|line| {
        let cells: Vec<&str> = line.split('|').collect();
        let [child, parent, same, weak, writes] = cells[..] else { panic!("{line}") };
        let text = str::to_owned;
        Link {
            child: text(child),
            parent: text(parent),
            same: text(same),
            writes: (weak == "1").then(|| text(writes)),
        }
    });
    links.collect()
}
