//! Roots: choosing them by predicate or key, loading them back, noticing that they changed.
//!
//! A root is addressed by the table's key and carries a hash of its whole row, so that a later command can
//! tell that it is still the row that was planned.

use super::condition::{Conditions, Side};
use super::dialect::Dialect;
use super::{Session, SqlError, TextRow, number, text};
use unseed_core::batch;
use unseed_core::fault::Fault;
use unseed_core::plan::{RootRows, RootSet};
use unseed_core::port::store::{ChosenRows, RootChoice};
use unseed_core::rows::Rows;
use unseed_core::schema::{ColumnIndex, Schema, Table, TableId};

/// How many changed roots are named.
const STALE_NAMED_MAX: usize = 20;

/// Short name of the set of root keys of a table.
pub(crate) fn root_set(table: TableId) -> String {
    format!("unseed_r{}", table.0)
}

/// The keys of a set and of a row are the same.
pub(crate) fn same_key(d: &dyn Dialect, table: &Table, x: &str, r: &str) -> String {
    let key = table.key().unwrap_or_default();
    same_columns(d, table, key, x, r)
}

fn same_columns(d: &dyn Dialect, table: &Table, columns: &[ColumnIndex], x: &str, r: &str) -> String {
    let pairs = columns.iter().enumerate();
    let same = |(n, c): (usize, &ColumnIndex)| {
        let column = &table.columns[*c];
        d.exactly(column, &format!("{x}.{}", d.quote(&column.name)), &format!("{r}.key{n}"))
    };
    let terms: Vec<String> = pairs.map(same).collect();
    terms.join(" AND ")
}

/// Loads roots into their set, numbered from `ordinal`.
pub(crate) async fn load(
    session: &mut dyn Session,
    schema: &Schema,
    roots: &RootSet,
    ordinal: u64,
) -> Result<(), SqlError> {
    let name = root_set(roots.table);
    create(session, schema, roots.table, &roots.columns, &name).await?;
    let mut rows = roots.rows.iter().zip(ordinal..).map(|(row, n)| {
        let mut values = row.key;
        values.push(n.to_string());
        values.push(row.version);
        values
    });
    let table = session.dialect().temp(&name);
    session.load(&table, &mut rows).await?;
    Ok(())
}

async fn create(
    session: &mut dyn Session,
    schema: &Schema,
    table: TableId,
    columns: &[ColumnIndex],
    name: &str,
) -> Result<(), SqlError> {
    let d = session.dialect();
    let shape = schema.table(table);
    let keys: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(n, c)| format!("x.{} AS key{n}", d.quote(&shape.columns[*c].name)))
        .collect();
    let select = format!(
        "SELECT {}, {} AS ord, {} AS version FROM {} x WHERE false",
        keys.join(", "),
        d.blank_number(),
        d.blank_text(),
        d.relation(shape)
    );
    let sql = d.create_set(&d.temp(name), &[], &select);
    session.run(&sql).await?;
    Ok(())
}

/// Roots of a loaded set that are gone or have another version; named for people, at most twenty.
pub(crate) async fn stale(
    session: &mut dyn Session,
    schema: &Schema,
    table: TableId,
) -> Result<Vec<String>, SqlError> {
    let d = session.dialect();
    let shape = schema.table(table);
    let key = shape.key().unwrap_or_default();
    let key_text = |(n, c): (usize, &ColumnIndex)| d.text_of(&shape.columns[*c], &format!("r.key{n}"));
    let names: Vec<String> = key.iter().enumerate().map(key_text).collect();
    let hash = d.row_hash(shape, "x");
    let first = key.first().map(|c| d.quote(&shape.columns[*c].name)).unwrap_or_default();
    // MariaDB takes a date of zeros in a column that is never null for null, unless a function gives it.
    let gone = format!("COALESCE(x.{first}, NULL) IS NULL");
    let sql = format!(
        "SELECT {}, CASE WHEN {gone} THEN 'is gone' ELSE 'has changed' END FROM {} r LEFT JOIN {} x ON {} \
         WHERE {gone} OR {hash} <> r.version ORDER BY r.ord LIMIT {STALE_NAMED_MAX}",
        names.join(", "),
        d.temp(&root_set(table)),
        d.relation(shape),
        same_key(d, shape, "x", "r"),
    );
    let rows = session.rows(&sql).await?;
    let say = |row: &TextRow| {
        let values: Vec<String> = (0..key.len()).map(|n| text(row, n)).collect();
        format!("`{}` {} {}", shape.name, values.join(", "), text(row, key.len()))
    };
    Ok(rows.iter().map(say).collect())
}

/// Evaluates choices: one set per table, in the order of the key.
pub(crate) async fn choose(
    session: &mut dyn Session,
    schema: &Schema,
    choices: &[RootChoice],
) -> Result<Vec<RootSet>, Fault> {
    let mut sets: Vec<RootSet> = Vec::new();
    for choice in choices {
        let shape = schema.table(choice.table);
        let Some(key) = shape.key() else {
            return Err(Fault::usage(format!("rows of `{}` cannot be roots: it has no key", shape.name))
                .hint("choose roots from a table with a primary or unique key"));
        };
        let key = key.to_vec();
        let rows = match &choice.rows {
            ChosenRows::Where(predicate) => by_predicate(session, schema, choice.table, predicate).await?,
            ChosenRows::Keys { columns, keys } => {
                by_keys(session, schema, choice.table, columns, keys).await?
            }
        };
        match sets.iter_mut().find(|set| set.table == choice.table) {
            Some(set) => rows.iter().for_each(|row| set.rows.push(row)),
            None => sets.push(RootSet { table: choice.table, columns: key, rows }),
        }
    }
    sets.iter_mut().for_each(RootSet::drop_repeated);
    sets.retain(|set| !set.rows.is_empty());
    for set in &mut sets {
        order(session, schema, set).await.map_err(|e| e.fault("ordering the roots"))?;
    }
    Ok(sets)
}

/// Puts roots that refer to other roots of the same table before them, so that a batch seldom has to reach
/// for a root of a later one.
async fn order(session: &mut dyn Session, schema: &Schema, set: &mut RootSet) -> Result<(), SqlError> {
    let own = schema.reference_ids().map(|id| schema.reference(id));
    let own: Vec<_> = own.filter(|r| r.child == set.table && r.parent == set.table).collect();
    if own.is_empty() || set.rows.len() < 2 {
        return Ok(());
    }
    let temp = session.dialect().temp(&root_set(set.table));
    session.run(&format!("DROP TABLE IF EXISTS {temp}")).await?;
    load(session, schema, set, 0).await?;
    let d = session.dialect();
    let conditions = Conditions { schema, dialect: d };
    let shape = schema.table(set.table);
    let relation = d.relation(shape);
    let selects: Vec<String> = own
        .iter()
        .map(|r| {
            format!(
                "SELECT a.ord, b.ord FROM {temp} a JOIN {relation} x ON {} JOIN {relation} y ON {} JOIN {temp} b ON {}",
                same_columns(d, shape, &set.columns, "x", "a"),
                conditions.refers(r, ("x", Side::Table), ("y", Side::Table)),
                same_columns(d, shape, &set.columns, "y", "b"),
            )
        })
        .collect();
    let mut pairs = Vec::new();
    for select in selects {
        for row in session.rows(&select).await? {
            let position = |n| usize::try_from(number(&row, n)).unwrap_or(usize::MAX);
            pairs.push((position(0), position(1)));
        }
    }
    session.run(&format!("DROP TABLE IF EXISTS {temp}")).await?;
    if !pairs.is_empty() {
        set.rows = set.rows.reordered(batch::referring_first(set.rows.len(), &pairs));
    }
    Ok(())
}

fn selected(d: &dyn Dialect, table: &Table, alias: &str) -> (String, String) {
    let key = table.key().unwrap_or_default();
    let columns: Vec<String> =
        key.iter().map(|c| format!("{alias}.{}", d.quote(&table.columns[*c].name))).collect();
    let texts: Vec<String> =
        key.iter().zip(&columns).map(|(c, name)| d.text_of(&table.columns[*c], name)).collect();
    (format!("{}, {}", texts.join(", "), d.row_hash(table, alias)), columns.join(", "))
}

/// Key and version of each row, packed as it comes.
async fn root_rows(session: &mut dyn Session, sql: &str) -> Result<RootRows, SqlError> {
    let mut roots = RootRows::default();
    let mut keep = |row: TextRow| {
        roots.push_joined(&row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>());
    };
    session.each(sql, &mut keep).await?;
    Ok(roots)
}

async fn by_predicate(
    session: &mut dyn Session,
    schema: &Schema,
    table: TableId,
    predicate: &str,
) -> Result<RootRows, Fault> {
    let d = session.dialect();
    let shape = schema.table(table);
    // The alias is the table's own name, so that a predicate may qualify its columns with it.
    let alias = d.quote(&shape.name.name);
    let (columns, order) = selected(d, shape, &alias);
    let sql = format!(
        "SELECT {columns} FROM {} AS {alias} WHERE ({predicate}\n) ORDER BY {order}",
        d.relation(shape)
    );
    root_rows(session, &sql).await.map_err(|error| {
        Fault::usage(format!("predicate on `{}` is not valid: {}", shape.name, error.message))
            .detail(format!("predicate: {predicate}"))
            .hint("write it as the WHERE clause of a SELECT on that table, e.g. --where \"tenants: name LIKE 'Test %'\"")
    })
}

async fn by_keys(
    session: &mut dyn Session,
    schema: &Schema,
    table: TableId,
    columns: &[ColumnIndex],
    keys: &Rows,
) -> Result<RootRows, Fault> {
    let shape = schema.table(table);
    let failed = |error: SqlError| {
        Fault::usage(format!("keys of `{}` are not valid: {}", shape.name, error.message))
            .hint(format!("one key per line, values of {}", shape.column_names(columns)))
    };
    let name = "unseed_chosen";
    let temp = session.dialect().temp(name);
    session.run(&format!("DROP TABLE IF EXISTS {temp}")).await.map_err(failed)?;
    create(session, schema, table, columns, name).await.map_err(failed)?;
    let mut rows = keys.iter().zip(0_u64..).map(|(key, n)| {
        let mut values = key;
        values.push(n.to_string());
        values.push(String::new());
        values
    });
    session.load(&temp, &mut rows).await.map_err(failed)?;
    let d = session.dialect();
    let (selected, order) = selected(d, shape, "x");
    let same = same_columns(d, shape, columns, "x", "r");
    let sql =
        format!("SELECT {selected} FROM {} x JOIN {temp} r ON {same} ORDER BY {order}", d.relation(shape));
    let rows = root_rows(session, &sql).await.map_err(failed)?;
    session.run(&format!("DROP TABLE IF EXISTS {temp}")).await.map_err(failed)?;
    Ok(rows)
}

/// How many of the roots exist, by key.
pub(crate) async fn present(
    session: &mut dyn Session,
    schema: &Schema,
    roots: &[RootSet],
) -> Result<u64, SqlError> {
    let mut found = 0;
    for set in roots {
        let temp = session.dialect().temp(&root_set(set.table));
        session.run(&format!("DROP TABLE IF EXISTS {temp}")).await?;
        load(session, schema, set, 0).await?;
        let d = session.dialect();
        let shape = schema.table(set.table);
        let same = same_key(d, shape, "x", "r");
        let sql = format!("SELECT count(*) FROM {temp} r JOIN {} x ON {same}", d.relation(shape));
        let rows = session.rows(&sql).await?;
        found += rows.first().map_or(0, |row| number(row, 0));
    }
    Ok(found)
}
