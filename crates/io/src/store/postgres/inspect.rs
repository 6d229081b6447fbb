//! The catalog of PostgreSQL as a [`Schema`]: a handful of queries, whatever the number of tables.
//!
//! Left out: views, materialized views, foreign and temporary tables, system schemas. Partitions become
//! parts of their root; a key that belongs to one partition, or points at one, keeps that restriction.

use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Client, Row};
use unseed_core::schema::{
    Check, Column, ColumnKind, Effect, EffectKind, Identity, OnDelete, Origin, PUBLISHED_DELETES,
    PUBLISHED_UPDATES, Part, Reference, Schema, Table, TableId, TableName, Visibility,
};

const TABLES: &str = "
WITH published AS MATERIALIZED (
    SELECT t.relid, bool_or(p.pubdelete) AS deletes, bool_or(p.pubupdate) AS updates
    FROM pg_publication p, LATERAL pg_get_publication_tables(p.pubname) t GROUP BY t.relid),
identified AS MATERIALIZED (
    SELECT i.indrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
SELECT c.oid::int8, n.nspname, c.relname, c.relkind::text, c.relispartition,
       greatest(c.reltuples, 0)::float8,
       coalesce((SELECT r.oid::int8 FROM pg_partition_root(c.oid) AS r(oid)), c.oid::int8) AS root,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'),
       has_table_privilege(c.oid, 'DELETE'), has_table_privilege(c.oid, 'UPDATE'),
       c.relrowsecurity AND NOT (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.rolname = current_user)
         AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')),
       c.relkind = 'p' AND EXISTS (SELECT FROM pg_partition_tree(c.oid) t JOIN pg_class f ON f.oid = t.relid WHERE f.relkind = 'f'),
       c.relreplident = 'f' OR c.oid IN (SELECT indrelid FROM identified) OR NOT coalesce(p.deletes, false),
       c.relreplident = 'f' OR c.oid IN (SELECT indrelid FROM identified) OR NOT coalesce(p.updates, false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN published p ON p.relid = c.oid
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname";

const COLUMNS: &str = "
WITH RECURSIVE layers AS (
    SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd'
    UNION ALL SELECT l.oid, t.typbasetype FROM layers l JOIN pg_type t ON t.oid = l.typbasetype AND t.typtype = 'd'
), bases AS (
    SELECT l.oid, b.typname, b.typcategory FROM layers l JOIN pg_type b ON b.oid = l.typbasetype AND b.typtype <> 'd'
)
SELECT a.attrelid::int8, a.attnum::int4, a.attname, format_type(a.atttypid, a.atttypmod),
       CASE WHEN b.typcategory IS NOT NULL THEN b.typcategory::text ELSE t.typcategory::text END,
       coalesce(b.typname, t.typname), a.attnotnull, a.attgenerated::text, a.attidentity::text,
       coalesce(
         (SELECT quote_ident(sn.nspname) || '.' || quote_ident(s.relname)
          FROM pg_depend p JOIN pg_class s ON s.oid = p.objid JOIN pg_namespace sn ON sn.oid = s.relnamespace
          JOIN pg_sequence q ON q.seqrelid = s.oid AND q.seqincrement > 0
          WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid
            AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i') LIMIT 1),
         (SELECT quote_ident(sn.nspname) || '.' || quote_ident(s.relname)
          FROM pg_depend p JOIN pg_class s ON s.oid = p.refobjid JOIN pg_namespace sn ON sn.oid = s.relnamespace
          JOIN pg_sequence q ON q.seqrelid = s.oid AND q.seqincrement > 0
          WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass LIMIT 1)),
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, t.oid::int8
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN bases b ON b.oid = t.oid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND NOT c.relispartition AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY a.attrelid, a.attnum";

/// Domains that may not hold a null, at once or because of a check that is still to be asked.
const DOMAINS: &str = "
WITH RECURSIVE layers AS (
    SELECT oid, oid AS layer, typbasetype, typnotnull FROM pg_type WHERE typtype = 'd'
    UNION ALL SELECT l.oid, t.oid, t.typbasetype, t.typnotnull
    FROM layers l JOIN pg_type t ON t.oid = l.typbasetype AND t.typtype = 'd'
)
SELECT l.oid::int8, bool_or(l.typnotnull),
       string_agg(format('(%s) IS FALSE', regexp_replace(pg_get_expr(k.conbin, 0), '\\mVALUE\\M',
           format('(NULL::%s)', format_type(l.typbasetype, NULL)), 'g')), ' OR ') FILTER (WHERE k.oid IS NOT NULL)
FROM layers l LEFT JOIN pg_constraint k ON k.contypid = l.layer AND k.contype = 'c'
GROUP BY l.oid HAVING bool_or(l.typnotnull) OR string_agg(pg_get_expr(k.conbin, 0), ' ') ~* 'null|coalesce'";

const KEYS: &str = "
SELECT i.indrelid::int8, i.indisprimary, (i.indkey::int2[])[0:i.indnkeyatts - 1]
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND (SELECT bool_and(a.attnotnull) FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
ORDER BY i.indrelid, NOT i.indisprimary, array_length(i.indkey::int2[], 1), i.indexrelid";

const REFERENCES: &str = "
SELECT k.conname, k.conrelid::int8, k.conkey, k.confrelid::int8, k.confkey, k.confdeltype::text, k.confmatchtype::text,
       k.condeferrable, k.convalidated,
       EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indpred IS NULL AND i.indisvalid
               AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey),
       to_jsonb(k) -> 'confdelsetcols' AS set_columns
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname, k.conkey, k.conname";

const CHECKS: &str = "
SELECT k.conrelid::int8, k.conname, coalesce(k.conkey, '{}'), pg_get_expr(k.conbin, k.conrelid), k.convalidated
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'c' AND NOT c.relispartition AND c.relkind IN ('r', 'p')
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
UNION ALL
SELECT DISTINCT r.attrelid::int8, 'the partition by ' || r.attname, ARRAY[r.attnum], quote_ident(r.attname) || ' IS NOT NULL', true
FROM pg_partitioned_table p, unnest(p.partattrs::int2[]) AS k(number)
JOIN pg_attribute a ON a.attnum = k.number
JOIN pg_attribute r ON r.attname = a.attname AND NOT r.attnotnull
WHERE a.attrelid = p.partrelid AND r.attrelid = pg_partition_root(p.partrelid)
ORDER BY 1, 2";

const EFFECTS: &str = "
SELECT t.tgrelid::int8 AS rel, t.tgname, 't', (t.tgtype & 8) <> 0 AS del, (t.tgtype & 16) <> 0 AS upd,
       (t.tgtype & 4) <> 0 AS ins, t.tgenabled::text, pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND c.relkind IN ('r', 'p')
UNION ALL
SELECT r.ev_class::int8, r.rulename, 'r', r.ev_type = '4', r.ev_type = '2', r.ev_type = '3', r.ev_enabled::text,
       pg_get_ruledef(r.oid)
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
WHERE r.rulename <> '_RETURN' AND r.ev_enabled <> 'D' AND c.relkind IN ('r', 'p')
ORDER BY rel, 2";

/// Reads the whole catalog. Every name in it comes out with its schema, whatever the role's search path is,
/// since plans made by one role are purged by another.
pub(super) async fn schema(client: &Client) -> Result<Schema, tokio_postgres::Error> {
    client.batch_execute("BEGIN; SET LOCAL search_path = pg_catalog").await?;
    let schema = read(client).await;
    client.batch_execute("ROLLBACK").await?;
    schema
}

async fn read(client: &Client) -> Result<Schema, tokio_postgres::Error> {
    let tables = client.query(TABLES, &[]).await?;
    let columns = client.query(COLUMNS, &[]).await?;
    let keys = client.query(KEYS, &[]).await?;
    let references = client.query(REFERENCES, &[]).await?;
    let checks = client.query(CHECKS, &[]).await?;
    let effects = client.query(EFFECTS, &[]).await?;
    let mut building = Building::default();
    building.add_tables(&tables);
    building.required = required_domains(client).await?;
    building.add_columns(&columns);
    building.add_keys(&keys);
    building.add_checks(&checks);
    building.add_effects(&effects);
    building.add_partition_columns(client, &references).await?;
    building.add_references(&references);
    Ok(building.schema)
}

/// Domains without nulls. A check is asked what it says to one; a check that fails says nothing.
async fn required_domains(client: &Client) -> Result<BTreeSet<i64>, tokio_postgres::Error> {
    let mut required = BTreeSet::new();
    for row in client.query(DOMAINS, &[]).await? {
        let (domain, not_null, checks): (i64, bool, Option<String>) = (row.get(0), row.get(1), row.get(2));
        let mut forbids = not_null;
        if let Some(checks) = checks.filter(|_| !not_null) {
            client.batch_execute("SAVEPOINT ask").await?;
            match client.query_one(&format!("SELECT {checks}"), &[]).await {
                Ok(answer) => forbids = answer.get(0),
                Err(error) if error.as_db_error().is_some() => {
                    client.batch_execute("ROLLBACK TO SAVEPOINT ask").await?;
                }
                Err(error) => return Err(error),
            }
        }
        if forbids {
            required.insert(domain);
        }
    }
    Ok(required)
}

/// What a relation of the catalog is here.
#[derive(Debug, Clone)]
struct Place {
    table: TableId,
    /// For a partition: the leaf parts below it.
    parts: Option<Vec<u64>>,
}

#[derive(Default)]
struct Building {
    schema: Schema,
    places: BTreeMap<i64, Place>,
    /// Attribute number → column index, per table of the schema.
    numbers: BTreeMap<i64, BTreeMap<i16, usize>>,
    /// Domains that may not hold a null.
    required: BTreeSet<i64>,
}

fn handle(oid: i64) -> u64 {
    u64::try_from(oid).unwrap_or_default()
}

impl Building {
    fn add_tables(&mut self, rows: &[Row]) {
        let mut children: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            let (oid, root): (i64, i64) = (row.get(0), row.get(6));
            if oid == root {
                let id = TableId(self.schema.tables.len());
                self.schema.tables.push(table(row));
                self.places.insert(oid, Place { table: id, parts: None });
            } else {
                children.entry(root).or_default().push(row);
            }
        }
        for (root, partitions) in children {
            let Some(place) = self.places.get(&root).cloned() else { continue };
            let mut estimate = 0;
            for row in partitions {
                let oid: i64 = row.get(0);
                let leaf = row.get::<_, &str>(3) == "r";
                let target = &mut self.schema.tables[place.table.0];
                if leaf {
                    target.parts.push(part(row));
                    estimate += rows_estimate(row);
                }
                target.visibility = worse(&target.visibility, visibility(row));
                let parts = Some(if leaf { vec![handle(oid)] } else { Vec::new() });
                self.places.insert(oid, Place { table: place.table, parts });
            }
            let target = &mut self.schema.tables[place.table.0];
            target.rows_estimate = estimate;
            target.parts.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }

    fn add_columns(&mut self, rows: &[Row]) {
        for row in rows {
            let relation: i64 = row.get(0);
            let Some(place) = self.places.get(&relation) else { continue };
            let target = &mut self.schema.tables[place.table.0];
            let number = i16::try_from(row.get::<_, i32>(1)).unwrap_or_default();
            self.numbers.entry(relation).or_default().insert(number, target.columns.len());
            let mut column = column(row);
            column.nullable &= !self.required.contains(&row.get(11));
            target.columns.push(column);
        }
    }

    fn indexes(&self, relation: i64, numbers: &[i16]) -> Option<Vec<usize>> {
        let known = self.numbers.get(&relation)?;
        numbers.iter().map(|n| known.get(n).copied()).collect()
    }

    fn add_keys(&mut self, rows: &[Row]) {
        for row in rows {
            let relation: i64 = row.get(0);
            let Some(place) = self.places.get(&relation) else { continue };
            let Some(columns) = self.indexes(relation, &row.get::<_, Vec<i16>>(2)) else { continue };
            let target = &mut self.schema.tables[place.table.0];
            target.has_primary_key |= row.get::<_, bool>(1);
            target.keys.push(columns);
        }
    }

    fn add_checks(&mut self, rows: &[Row]) {
        for row in rows {
            let relation: i64 = row.get(0);
            let Some(place) = self.places.get(&relation) else { continue };
            let Some(columns) = self.indexes(relation, &row.get::<_, Vec<i16>>(2)) else { continue };
            let expression: Option<String> = row.get(3);
            let Some(expression) = expression else { continue };
            let name = row.get(1);
            self.schema.tables[place.table.0].checks.push(Check {
                name,
                columns,
                expression,
                validated: row.get(4),
            });
        }
    }

    fn add_effects(&mut self, rows: &[Row]) {
        for row in rows {
            let Some(place) = self.places.get(&row.get::<_, i64>(0)) else { continue };
            let enabled: &str = row.get(6);
            let effect = Effect {
                name: row.get(1),
                kind: if row.get::<_, &str>(2) == "t" { EffectKind::Trigger } else { EffectKind::Rule },
                on_delete: row.get(3),
                on_update: row.get(4),
                on_insert: row.get(5),
                always: enabled == "A" || enabled == "R",
                definition: row.get(7),
            };
            let effects = &mut self.schema.tables[place.table.0].effects;
            if !effects.iter().any(|known| known.name == effect.name && known.on_delete == effect.on_delete) {
                effects.push(effect);
            }
        }
    }

    /// Attribute numbers of partitions differ from their root's: map those that keys speak of, by name.
    async fn add_partition_columns(
        &mut self,
        client: &Client,
        references: &[Row],
    ) -> Result<(), tokio_postgres::Error> {
        let mut wanted: Vec<u32> = Vec::new();
        for row in references {
            for relation in [row.get::<_, i64>(1), row.get::<_, i64>(3)] {
                if self.places.get(&relation).is_some_and(|place| place.parts.is_some()) {
                    wanted.extend(u32::try_from(relation).ok());
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let sql = "SELECT attrelid::int8, attnum, attname FROM pg_attribute \
                   WHERE attrelid = ANY ($1) AND attnum > 0 AND NOT attisdropped";
        for row in client.query(sql, &[&wanted]).await? {
            let (relation, number, name): (i64, i16, &str) = (row.get(0), row.get(1), row.get(2));
            let table = self.places[&relation].table;
            let index = self.schema.table(table).columns.iter().position(|c| c.name == name);
            if let Some(index) = index {
                self.numbers.entry(relation).or_default().insert(number, index);
            }
        }
        let trees = "SELECT w.oid::int8, t.relid::oid::int8 FROM unnest($1::oid[]) AS w(oid), pg_partition_tree(w.oid) t \
                     WHERE t.isleaf";
        wanted.sort_unstable();
        wanted.dedup();
        let mut leaves: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for row in client.query(trees, &[&wanted]).await? {
            leaves.entry(row.get(0)).or_default().push(handle(row.get(1)));
        }
        for (relation, parts) in leaves {
            if let Some(place) = self.places.get_mut(&relation) {
                place.parts = Some(parts);
            }
        }
        Ok(())
    }

    fn add_references(&mut self, rows: &[Row]) {
        for row in rows {
            let (child, parent): (i64, i64) = (row.get(1), row.get(3));
            let (Some(from), Some(to)) = (self.places.get(&child), self.places.get(&parent)) else {
                continue;
            };
            let child_columns = self.indexes(child, &row.get::<_, Vec<i16>>(2));
            let parent_columns = self.indexes(parent, &row.get::<_, Vec<i16>>(4));
            let (Some(child_columns), Some(parent_columns)) = (child_columns, parent_columns) else {
                continue;
            };
            let set: Option<serde_json::Value> = row.get(10);
            let set: Option<Vec<i16>> = set.and_then(|v| serde_json::from_value(v).ok());
            let set_columns = set.and_then(|numbers| self.indexes(child, &numbers));
            let reference = Reference {
                name: row.get(0),
                child: from.table,
                child_parts: from.parts.clone(),
                set_columns: set_columns.unwrap_or_else(|| child_columns.clone()),
                child_columns,
                parent: to.table,
                parent_parts: to.parts.clone(),
                parent_columns,
                on_delete: on_delete(row.get(5)),
                match_full: row.get::<_, &str>(6) == "f",
                deferrable: row.get(7),
                validated: row.get(8),
                indexed: row.get(9),
                origin: Origin::Declared,
                when: Vec::new(),
            };
            self.schema.references.push(reference);
        }
    }
}

fn table(row: &Row) -> Table {
    let name = TableName::new(row.get::<_, String>(1), row.get::<_, String>(2));
    let partitioned = row.get::<_, &str>(3) == "p";
    Table {
        name,
        columns: Vec::new(),
        keys: Vec::new(),
        has_primary_key: false,
        parts: if partitioned { Vec::new() } else { vec![part(row)] },
        partitioned,
        checks: Vec::new(),
        effects: Vec::new(),
        visibility: visibility(row),
        rows_estimate: rows_estimate(row),
    }
}

fn part(row: &Row) -> Part {
    let name = TableName::new(row.get::<_, String>(1), row.get::<_, String>(2));
    Part { name, handle: handle(row.get(0)) }
}

fn rows_estimate(row: &Row) -> u64 {
    format!("{:.0}", row.get::<_, f64>(5)).parse().unwrap_or_default()
}

fn visibility(row: &Row) -> Visibility {
    let needed =
        [("SELECT", 7), ("DELETE", 8), ("UPDATE", 9), (PUBLISHED_DELETES, 12), (PUBLISHED_UPDATES, 13)];
    let mut missing: Vec<String> =
        needed.iter().filter(|(_, n)| !row.get::<_, bool>(*n)).map(|(word, _)| (*word).to_owned()).collect();
    if row.get::<_, bool>(11) {
        missing.push("a way to rows of its foreign partitions".to_owned());
    }
    if row.get::<_, bool>(10) {
        Visibility::RowSecurity
    } else if missing.is_empty() {
        Visibility::Full
    } else {
        Visibility::Denied(missing)
    }
}

fn worse(a: &Visibility, b: Visibility) -> Visibility {
    match a {
        Visibility::Full => b,
        Visibility::RowSecurity | Visibility::Denied(_) => a.clone(),
    }
}

fn column(row: &Row) -> Column {
    let type_name: String = row.get(3);
    let (category, base): (&str, &str) = (row.get(4), row.get(5));
    let identity = match row.get::<_, &str>(8) {
        "a" => Some(Identity::Always),
        "d" => Some(Identity::ByDefault),
        _ => None,
    };
    Column {
        name: row.get(2),
        kind: kind(category, base),
        type_name,
        nullable: !row.get::<_, bool>(6),
        generated: !row.get::<_, &str>(7).is_empty(),
        identity,
        sequence: row.get(9),
        default: row.get(10),
    }
}

fn kind(category: &str, base: &str) -> ColumnKind {
    match (category, base) {
        ("S", _) => ColumnKind::Text,
        ("B", _) => ColumnKind::Boolean,
        ("D", _) => ColumnKind::Time,
        ("N", "int2" | "int4" | "int8" | "oid") => ColumnKind::Integer,
        ("N", _) => ColumnKind::Number,
        ("E", _) => ColumnKind::Text,
        (_, "uuid") => ColumnKind::Uuid,
        (_, "citext") => ColumnKind::Text,
        (_, "json" | "jsonb") => ColumnKind::Json,
        (_, "bytea") => ColumnKind::Bytes,
        (_, _) => ColumnKind::Other,
    }
}

fn on_delete(code: &str) -> OnDelete {
    match code {
        "c" => OnDelete::Cascade,
        "n" => OnDelete::SetNull,
        "d" => OnDelete::SetDefault,
        "r" => OnDelete::Restrict,
        _ => OnDelete::NoAction,
    }
}
