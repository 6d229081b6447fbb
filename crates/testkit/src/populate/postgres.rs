//! PostgreSQL: the catalog as JSON, and the rows as one script that inserts what can be inserted.

use super::catalog::{Check, Column, ForeignKey, Kind, Shape, Table};
use super::rows::Row;
use super::value;
use crate::server::{Database, ServerError};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Tables with columns, unique keys, checks (of partitions too), and foreign keys, in the order of their names.
const CATALOG: &str = "
WITH RECURSIVE types AS (
    SELECT oid, oid AS base, -1 AS mod, false AS required FROM pg_type WHERE typtype <> 'd'
    UNION ALL SELECT t.oid, b.base, greatest(t.typtypmod, b.mod), t.typnotnull OR b.required
    FROM pg_type t JOIN types b ON t.typbasetype = b.oid WHERE t.typtype = 'd'
), tables AS (
    SELECT c.oid, c.oid::regclass::text AS name, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
), columns AS (
    SELECT a.attrelid, json_agg(json_build_object('name', a.attname, 'number', a.attnum,
        'type', coalesce(e.typname, b.typname), 'array', b.typelem <> 0 AND b.typcategory = 'A',
        'mod', CASE WHEN a.atttypmod >= 0 THEN a.atttypmod ELSE t.mod END,
        'labels', (SELECT json_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = coalesce(e.oid, b.oid)),
        'required', a.attnotnull OR t.required, 'generated', a.attgenerated <> '') ORDER BY a.attnum) AS list
    FROM pg_attribute a JOIN tables ON tables.oid = a.attrelid JOIN types t ON t.oid = a.atttypid
    JOIN pg_type b ON b.oid = t.base LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
    WHERE a.attnum > 0 AND NOT a.attisdropped GROUP BY 1
), uniques AS (
    SELECT i.indrelid, bool_or(i.indisprimary) AS is_primary,
        json_agg(to_json((i.indkey::int2[])[0:i.indnkeyatts - 1]) ORDER BY i.indisprimary DESC, i.indexrelid) AS list
    FROM pg_index i WHERE i.indisunique AND i.indexprs IS NULL AND i.indpred IS NULL GROUP BY 1
), mixed AS (
    SELECT i.indrelid, json_agg(DISTINCT d.refobjsubid) AS list FROM pg_index i
    JOIN pg_depend d ON d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid > 0
    WHERE i.indisunique AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) GROUP BY 1
), checks AS (
    SELECT conrelid, conname, conkey, pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0
    UNION ALL SELECT a.attrelid, k.conname, ARRAY[a.attnum], pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_attribute a ON a.atttypid = k.contypid AND a.attnum > 0
    UNION ALL SELECT p.partrelid, '', p.partattrs::int2[], string_agg(pg_get_expr(c.relpartbound, c.oid), ' ')
    FROM pg_partitioned_table p, pg_partition_tree(p.partrelid) l JOIN pg_class c ON c.oid = l.relid
    WHERE l.isleaf GROUP BY 1, p.partattrs::int2[]
    UNION ALL SELECT i.indrelid, '*', array_agg(DISTINCT d.refobjsubid::int2), '''a,1''' FROM pg_index i
    JOIN pg_depend d ON d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid > 0
    WHERE i.indexprs IS NOT NULL GROUP BY 1
    UNION ALL SELECT i.indrelid, c.relname, array_agg(DISTINCT d.refobjsubid::int2), pg_get_expr(i.indpred, i.indrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_depend d ON d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid > 0
    WHERE i.indisunique AND i.indpred IS NOT NULL GROUP BY 1, 2, 4
)
SELECT json_build_object('tables', (SELECT json_agg(json_build_object('name', name, 'oid', oid::int8,
        'columns', (SELECT list FROM columns WHERE attrelid = oid),
        'uniques', (SELECT list FROM uniques WHERE indrelid = oid),
        'primary', (SELECT is_primary FROM uniques WHERE indrelid = oid),
        'mixed', (SELECT list FROM mixed WHERE indrelid = oid),
        'checks', (SELECT json_agg(json_build_object('name', conname, 'columns', conkey, 'text', text) ORDER BY conname)
            FROM checks WHERE conrelid = oid)) ORDER BY name COLLATE \"C\") FROM tables),
    'keys', (SELECT json_agg(json_build_object('child', coalesce(pg_partition_root(conrelid), conrelid)::oid::int8,
        'child_columns', (SELECT json_agg(attname ORDER BY o) FROM unnest(conkey) WITH ORDINALITY k(c, o)
            JOIN pg_attribute ON attrelid = conrelid AND attnum = c),
        'parent', coalesce(pg_partition_root(confrelid), confrelid)::oid::int8,
        'parent_columns', (SELECT json_agg(attname ORDER BY o) FROM unnest(confkey) WITH ORDINALITY k(c, o)
            JOIN pg_attribute ON attrelid = confrelid AND attnum = c)) ORDER BY conname, conrelid)
        FROM pg_constraint WHERE contype = 'f' AND conparentid = 0))";

/// Inserts one table's rows one by one. Where a check objects, a column that it mentions gets another value; what
/// helped is tried first for the next row. A partial unique index
/// objects by its name, an index over an expression by `*`.
const FILL: &str = "
CREATE FUNCTION pg_temp.fill(target text, names text[], data jsonb, choices jsonb, checks jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE row_values jsonb; cells text[]; learned jsonb := '{}'; why text := ''; broken text; pick text; n int; done bigint := 0;
    answer text; list text; options text[]; chance double precision;
BEGIN
    FOR row_values IN SELECT value FROM jsonb_array_elements(data) LOOP
        SELECT array_agg(value ORDER BY ordinality) INTO cells FROM jsonb_array_elements_text(row_values) WITH ORDINALITY;
        FOR pick IN SELECT jsonb_object_keys(learned) LOOP
            cells[pick::int] := learned ->> pick;
        END LOOP;
        FOR attempt IN 1..CASE WHEN done = 0 THEN 1500 ELSE 80 END LOOP
            SELECT string_agg(coalesce(quote_literal(c), 'NULL'), ', ' ORDER BY o) INTO list
                FROM unnest(cells) WITH ORDINALITY u(c, o);
            BEGIN
                EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s)', target,
                    (SELECT string_agg(quote_ident(c), ', ' ORDER BY o) FROM unnest(names) WITH ORDINALITY u(c, o)), list);
                done := done + 1;
                EXIT;
            EXCEPTION WHEN check_violation OR unique_violation THEN
                GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME, why = MESSAGE_TEXT;
            WHEN invalid_text_representation THEN
                GET STACKED DIAGNOSTICS why = MESSAGE_TEXT;
                broken := '*';
            WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS why = MESSAGE_TEXT;
                EXIT;
            END;
            SELECT array_agg(c) INTO options FROM jsonb_array_elements_text(checks -> broken) c WHERE choices ? c;
            EXIT WHEN options IS NULL;
            pick := options[1 + floor(random() * cardinality(options))::int];
            n := jsonb_array_length(choices -> pick);
            chance := random();
            answer := CASE WHEN chance < 0.25 THEN row_values ->> (pick::int - 1)
                WHEN chance < 0.6 AND choices -> pick @> '[null]' THEN NULL
                ELSE choices -> pick ->> floor(random() * n)::int END;
            cells[pick::int] := answer;
            learned := learned || jsonb_build_object(pick, answer);
        END LOOP;
    END LOOP;
    RETURN done || '|' || why;
END $$;";

/// Takes back references to rows that could not be inserted, or the rows that hold them, until none is left; then
/// moves sequences past the new rows.
const MEND: &str = "
DO $$
DECLARE k record; gone bigint; n bigint;
BEGIN
    FOR round IN 1..60 LOOP
        gone := 0;
        FOR k IN SELECT format('%s%s', CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, c.oid::regclass) AS child,
            format('%s AND NOT EXISTS (SELECT FROM %s%s y WHERE %s)', string_agg(format('x.%I IS NOT NULL', a.attname), ' AND '),
                CASE p.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, p.oid::regclass,
                string_agg(format('x.%I = y.%I', a.attname, b.attname), ' AND ')) AS dangling,
            string_agg(format('%I = NULL', a.attname), ', ') FILTER (WHERE NOT a.attnotnull) AS emptied
            FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class p ON p.oid = f.confrelid,
            unnest(f.conkey, f.confkey) AS pairs(i, j) JOIN LATERAL (SELECT 1) one ON true
            JOIN pg_attribute a ON a.attnum = pairs.i JOIN pg_attribute b ON b.attnum = pairs.j
            WHERE f.contype = 'f' AND a.attrelid = f.conrelid AND b.attrelid = f.confrelid
            AND (f.conparentid = 0 OR c.relispartition AND false)
            GROUP BY f.oid, c.oid, c.relkind, p.oid, p.relkind
        LOOP
            IF k.emptied IS NOT NULL THEN
                BEGIN
                    EXECUTE format('UPDATE %s x SET %s WHERE %s', k.child, k.emptied, k.dangling);
                EXCEPTION WHEN OTHERS THEN NULL;
                END;
            END IF;
            EXECUTE format('DELETE FROM %s x WHERE %s', k.child, k.dangling);
            GET DIAGNOSTICS n = ROW_COUNT;
            gone := gone + n;
        END LOOP;
        EXIT WHEN gone = 0;
    END LOOP;
    FOR k IN SELECT d.refobjid::regclass AS relation, a.attname AS name, d.objid::regclass AS sequence FROM pg_depend d
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid JOIN pg_class s ON s.oid = d.objid
        WHERE s.relkind = 'S' AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass
    LOOP
        EXECUTE format('SELECT setval(%L, greatest((SELECT max(%I) FROM %s), (SELECT last_value FROM %s)))',
            k.sequence, k.name, k.relation, k.sequence);
    END LOOP;
END $$;";

/// Reads the catalog.
pub(super) fn read(database: &Database<'_>) -> Result<Shape, ServerError> {
    let answer = database.psql(CATALOG)?;
    let catalog: Value = serde_json::from_str(answer.trim())
        .map_err(|error| ServerError::file(database.name(), &format!("{error}: {answer}")))?;
    let mut shape = Shape::default();
    let mut places: BTreeMap<u64, usize> = BTreeMap::new();
    for entry in list(&catalog["tables"]) {
        places.insert(entry["oid"].as_u64().unwrap_or_default(), shape.tables.len());
        shape.tables.push(table(entry));
    }
    let place = |value: &Value| value.as_u64().and_then(|oid| places.get(&oid).copied());
    for entry in list(&catalog["keys"]) {
        let (Some(child), Some(parent)) = (place(&entry["child"]), place(&entry["parent"])) else { continue };
        let key = ForeignKey {
            child,
            child_columns: columns(&shape.tables[child], &entry["child_columns"]),
            parent,
            parent_columns: columns(&shape.tables[parent], &entry["parent_columns"]),
        };
        // Each partition may declare the same key.
        if !shape.keys.contains(&key) {
            shape.keys.push(key);
        }
    }
    Ok(shape)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn columns(table: &Table, names: &Value) -> Vec<usize> {
    let named = |name: &Value| table.columns.iter().position(|c| Some(c.name.as_str()) == name.as_str());
    list(names).iter().filter_map(named).collect()
}

fn table(entry: &Value) -> Table {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let numbers: Vec<i64> = list(&entry["columns"]).iter().filter_map(|c| c["number"].as_i64()).collect();
    let position = |number: &Value| numbers.iter().position(|known| Some(*known) == number.as_i64());
    let positions = |value: &Value| list(value).iter().filter_map(position).collect::<Vec<usize>>();
    Table {
        name: text(&entry["name"]),
        columns: list(&entry["columns"]).iter().map(column).collect(),
        uniques: list(&entry["uniques"]).iter().map(positions).collect(),
        mixed: positions(&entry["mixed"]),
        has_primary_key: entry["primary"] == json!(true),
        checks: list(&entry["checks"])
            .iter()
            .map(|c| Check {
                name: text(&c["name"]),
                columns: positions(&c["columns"]),
                text: text(&c["text"]),
            })
            .collect(),
    }
}

fn column(entry: &Value) -> Column {
    let name = entry["type"].as_str().unwrap_or_default();
    let modifier = entry["mod"].as_u64().and_then(|m| usize::try_from(m).ok());
    // PostgreSQL keeps four more than the length; of a number, digits and scale in one.
    let (size, scale) = match (name, modifier.and_then(|m| m.checked_sub(4))) {
        ("bit" | "varbit", _) => (modifier, 0),
        ("numeric", Some(both)) => (Some(both >> 16), both & 0xffff),
        ("varchar" | "bpchar", length) => (length, 0),
        ("char", _) => (Some(1), 0),
        (_, _) => (None, 0),
    };
    let labels = list(&entry["labels"]).iter().filter_map(|l| l.as_str().map(str::to_owned)).collect();
    Column {
        name: entry["name"].as_str().unwrap_or_default().to_owned(),
        kind: Kind { name: name.to_owned(), is_array: entry["array"] == json!(true), size, scale, labels },
        required: entry["required"] == json!(true),
        generated: entry["generated"] == json!(true),
    }
}

/// The script; it answers with the number of each table, its new rows, and the last objection.
pub(super) fn script(shape: &Shape, rows: &[Vec<Row>]) -> String {
    let mut text = String::from(
        "SET client_min_messages = error; SET timezone = 'UTC'; SET session_replication_role = replica; \
         SET check_function_bodies = off; BEGIN;\nDO $$ BEGIN PERFORM setseed(0.5); END $$;\n",
    );
    text.push_str(FILL);
    for (number, table) in shape.tables.iter().enumerate() {
        let written = table.written();
        let names: Vec<String> = written.iter().map(|c| literal(&table.columns[*c].name)).collect();
        let data: Vec<Vec<&Option<String>>> =
            rows[number].iter().map(|row| written.iter().map(|c| &row.cells[*c]).collect()).collect();
        let (choices, checks) = alternatives((shape, rows), number, &written);
        let names = names.join(", ");
        text.push_str(&format!(
            "\nSELECT '{number}|' || pg_temp.fill({}, ARRAY[{names}]::text[], {}, {}, {});",
            literal(&table.name),
            literal(&json!(data).to_string()),
            literal(&choices.to_string()),
            literal(&checks.to_string()),
        ));
    }
    format!("{text}\n{MEND}\nCOMMIT;\nANALYZE;\n")
}

/// What else the columns could hold that checks mention, and those columns per check, by their place in a row.
fn alternatives((shape, rows): (&Shape, &[Vec<Row>]), number: usize, written: &[usize]) -> (Value, Value) {
    let table = &shape.tables[number];
    let place =
        |column: &usize| written.iter().position(|c| c == column).map(|index| (index + 1).to_string());
    // Others refer to such a key, so it stays as it is, unless it is made of several columns.
    let is_key = |column: &usize| table.has_primary_key && table.uniques[0] == [*column];
    let mut choices = serde_json::Map::new();
    let mut checks = serde_json::Map::new();
    for check in &table.checks {
        checks.insert(check.name.clone(), json!(check.columns.iter().filter_map(place).collect::<Vec<_>>()));
        for column in check.columns.iter().filter(|c| !is_key(c) || check.name.is_empty()) {
            let conditions: Vec<&str> =
                table.checks.iter().filter(|c| c.columns.contains(column)).map(|c| c.text.as_str()).collect();
            let mut found = value::choices(&table.columns[*column], &conditions, *column);
            let mut keys =
                shape.keys.iter().filter(|k| k.child == number && k.child_columns.contains(column));
            if let Some(key) = keys.next() {
                // A reference is taken back or leads to another row.
                let of = key.child_columns.iter().zip(&key.parent_columns).find(|(c, _)| *c == column);
                let others = of.map(|(_, p)| rows[key.parent].iter().filter_map(|row| row.cells[*p].clone()));
                found.retain(Option::is_none);
                found.extend(others.into_iter().flatten().map(Some));
            }
            if let (Some(place), false) = (place(column), found.is_empty()) {
                choices.insert(place, json!(found));
            }
        }
    }
    (Value::Object(choices), Value::Object(checks))
}

fn literal(text: &str) -> String {
    // Backslashes are plain, since standard_conforming_strings is on.
    format!("'{}'", text.replace('\'', "''"))
}
