//! Indexes for the time of a run: where the server checks foreign keys itself, a key without an index makes
//! every removed parent scan the whole referring table.
//!
//! They are built and dropped concurrently, outside any transaction, so that nobody is blocked for long. Their names
//! start with `unseed_tmp_` and the id of the plan. Whoever builds some holds an advisory lock of the server for that
//! plan until its connection ends, so that an index whose lock is free was left by a process that died.

use super::Postgres;
use super::connect::connect;
use super::dialect::{PostgresDialect, qualified};
use super::remove::fires;
use super::session::sql_error;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, number, text};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_postgres::Client;
use unseed_core::fault::Fault;
use unseed_core::plan::{BuildIndexes, INDEX_PREFIX, Path, RunIndex};
use unseed_core::port::progress::Progress;
use unseed_core::port::store::{Closure, IndexBuilt, Work};
use unseed_core::schema::{Origin, Reference, TableName};

/// Rows that one backend can look at in a second, roughly; only used to weigh an index against its absence.
const ROWS_PER_SECOND: u64 = 10_000_000;
/// The first half of the keys of our advisory locks: `unsd` as a number.
const LOCKS: u32 = 0x756e_7364;

/// An index that is to be built.
struct Building {
    /// Its place among all that are wanted.
    place: usize,
    table: String,
    create: String,
    /// What to do with what a failed attempt leaves.
    drop: String,
}

impl Building {
    fn new(place: usize, name: &str, index: &RunIndex) -> Self {
        let d = PostgresDialect;
        let columns: Vec<String> = index.columns.iter().map(|name| d.quote(name)).collect();
        let table = qualified(&TableName::new(&index.namespace, &index.table));
        Self {
            place,
            create: format!(
                "CREATE INDEX CONCURRENTLY {} ON {table} ({})",
                d.quote(name),
                columns.join(", ")
            ),
            drop: format!("DROP INDEX CONCURRENTLY IF EXISTS {}", full(&index.namespace, name)),
            table,
        }
    }
}

/// Indexes that wait for a connection, those of one table together: two of one table would wait for each other.
type Queue = Mutex<VecDeque<Vec<Building>>>;

impl Postgres {
    /// See [`unseed_core::port::store::Store::build_indexes`]. Two connections build at a time, if there is a second.
    pub(super) async fn build_run_indexes(
        &mut self,
        wanted: &[(String, RunIndex)],
        progress: &dyn Progress,
    ) -> Result<Vec<IndexBuilt>, Fault> {
        let failed = |e: SqlError| e.fault("building indexes for the run");
        let Some((first, _)) = wanted.first() else { return Ok(Vec::new()) };
        self.own_indexes(tag(first)).await.map_err(failed)?;
        let mut outcomes = self.present_indexes(wanted).await.map_err(failed)?;
        let missing = wanted.iter().enumerate().filter(|(place, _)| !outcomes.contains_key(place));
        let mut tables: BTreeMap<String, Vec<Building>> = BTreeMap::new();
        for (place, (name, index)) in missing {
            let building = Building::new(place, name, index);
            tables.entry(building.table.clone()).or_default().push(building);
        }
        let second = if tables.len() > 1 { connect(&self.target).await.ok() } else { None };
        let queue: Queue = Mutex::new(tables.into_values().collect());
        let total = u64::try_from(wanted.len()).ok();
        let done = AtomicU64::new(u64::try_from(outcomes.len()).unwrap_or_default());
        let tick = || progress.update("building indexes", done.fetch_add(1, Ordering::Relaxed) + 1, total);
        let first = build_all(self.session.client(), &queue, &tick);
        let built = match &second {
            Some(second) => {
                let (first, second) = tokio::join!(first, build_all(&second.client, &queue, &tick));
                [first, second]
            }
            None => [first.await, Ok(BTreeMap::new())],
        };
        for built in built {
            outcomes.extend(built.map_err(failed)?);
        }
        self.session.count_statements(u64::try_from(wanted.len()).unwrap_or_default());
        let unknown = || IndexBuilt::Not("it was left out".to_owned());
        Ok((0..wanted.len()).map(|place| outcomes.remove(&place).unwrap_or_else(unknown)).collect())
    }

    /// Indexes that are there, and those that this role cannot build; what is there but half built is dropped.
    async fn present_indexes(
        &mut self,
        wanted: &[(String, RunIndex)],
    ) -> Result<BTreeMap<usize, IndexBuilt>, SqlError> {
        let d = PostgresDialect;
        let rows = wanted.iter().enumerate().map(|(place, (name, index))| {
            let table = qualified(&TableName::new(&index.namespace, &index.table));
            format!("({place}, {}, {})", d.literal(&table), d.literal(&full(&index.namespace, name)))
        });
        let sql = format!(
            "SELECT w.place, (SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass(w.name))::text, \
             EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = to_regclass(w.rel) AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE') \
             AND has_schema_privilege(n.oid, 'CREATE'))::text FROM (VALUES {}) w (place, rel, name)",
            rows.collect::<Vec<_>>().join(", ")
        );
        let mut known = BTreeMap::new();
        for row in self.session.rows(&sql).await? {
            let place = usize::try_from(number(&row, 0)).unwrap_or(usize::MAX);
            if text(&row, 2) != "true" {
                let why = "this role does not own the table, or may not CREATE in its schema";
                known.insert(place, IndexBuilt::Not(why.to_owned()));
            } else if text(&row, 1) == "true" {
                known.insert(place, IndexBuilt::Built);
            } else if let (Some(_), Some((name, index))) = (&row[1], wanted.get(place)) {
                self.session.run(&Building::new(place, name, index).drop).await?;
            }
        }
        Ok(known)
    }

    /// Drops an index of this run, whoever built it.
    pub(super) async fn drop_run_index(&mut self, namespace: &str, name: &str) -> Result<(), Fault> {
        let failed = |e: SqlError| e.fault("dropping an index of the run");
        self.own_indexes(tag(name)).await.map_err(failed)?;
        let full = full(namespace, name);
        let dropped = self.session.run(&format!("DROP INDEX CONCURRENTLY IF EXISTS {full}")).await;
        dropped.map(drop).map_err(failed)
    }

    /// Drops what was left by processes that died, of whatever run, and gives up the lock of this one.
    pub(super) async fn drop_left_indexes(&mut self) -> Result<(), Fault> {
        let failed = |e: SqlError| e.fault("dropping the indexes of earlier runs");
        if let Some(tag) = self.indexes_of.take() {
            self.unlock(&tag).await.map_err(failed)?;
        }
        let sql = "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE c.relkind = 'i' AND c.relname LIKE 'unseed\\_tmp\\_%' AND pg_has_role(c.relowner, 'USAGE') \
                   ORDER BY 1, 2";
        for row in self.session.rows(sql).await.map_err(failed)? {
            let name = text(&row, 1);
            let tag = tag(&name).to_owned();
            let sql = format!("SELECT pg_try_advisory_lock({})::text", key(&tag));
            let free = self.session.rows(&sql).await.map_err(failed)?;
            if free.first().map(|row| text(row, 0)).as_deref() != Some("true") {
                // A run at work has built it.
                continue;
            }
            let full = full(&text(&row, 0), &name);
            let dropped = self.session.run(&format!("DROP INDEX CONCURRENTLY IF EXISTS {full}")).await;
            self.unlock(&tag).await.map_err(failed)?;
            dropped.map_err(failed)?;
        }
        Ok(())
    }

    /// Holds the lock of a plan's indexes from here on. The session of a process that was killed may hold it until the
    /// server notices.
    async fn own_indexes(&mut self, tag: &str) -> Result<(), SqlError> {
        if self.indexes_of.as_deref() != Some(tag) {
            self.wait_briefly(true).await?;
            self.session.run(&format!("SELECT pg_advisory_lock({})", key(tag))).await?;
            self.indexes_of = Some(tag.to_owned());
        }
        // Building and dropping wait for everybody who writes, and that takes as long as it takes.
        self.wait_briefly(false).await
    }

    async fn unlock(&mut self, tag: &str) -> Result<(), SqlError> {
        self.session.run(&format!("SELECT pg_advisory_unlock({})", key(tag))).await.map(drop)
    }
}

/// Builds what waits, table by table, until nothing does.
async fn build_all(
    client: &Client,
    queue: &Queue,
    tick: &(dyn Fn() + Sync),
) -> Result<BTreeMap<usize, IndexBuilt>, SqlError> {
    let mut outcomes = BTreeMap::new();
    loop {
        let next = queue.lock().expect("nobody panics while holding it").pop_front();
        let Some(table) = next else { return Ok(outcomes) };
        for building in table {
            outcomes.insert(building.place, build(client, &building).await?);
            tick();
        }
    }
}

async fn build(client: &Client, building: &Building) -> Result<IndexBuilt, SqlError> {
    let Err(error) = client.batch_execute(&building.create).await.map_err(|error| sql_error(&error)) else {
        return Ok(IndexBuilt::Built);
    };
    if error.code.is_none() {
        return Err(error);
    }
    // What it left half built would cost every writer, and serve nobody.
    client.batch_execute(&building.drop).await.map_err(|error| sql_error(&error))?;
    Ok(IndexBuilt::Not(error.message))
}

fn full(namespace: &str, name: &str) -> String {
    format!("{}.{}", PostgresDialect.quote(namespace), PostgresDialect.quote(name))
}

/// The id of the plan in the name of an index.
fn tag(name: &str) -> &str {
    let rest = name.strip_prefix(INDEX_PREFIX).unwrap_or(name);
    rest.rsplit_once('_').map_or(rest, |(tag, _)| tag)
}

fn key(tag: &str) -> String {
    format!("{LOCKS}, hashtext({})", PostgresDialect.literal(tag))
}

/// Indexes that are worth it, each relation and columns once.
pub(super) fn wanted(work: &Work, closure: &Closure, choice: BuildIndexes) -> Vec<RunIndex> {
    let mut wanted: BTreeSet<RunIndex> = BTreeSet::new();
    for r in work.schema.references.iter().filter(|r| !r.indexed && r.origin == Origin::Declared) {
        let saves_s = costs(work, closure, r);
        let parents = closure.removed.get(&r.parent).copied().unwrap_or(0);
        let worth = match choice {
            BuildIndexes::Auto => saves_s > 1,
            BuildIndexes::Always => parents > 0,
            BuildIndexes::Never => false,
        };
        if !worth {
            continue;
        }
        let child = work.schema.table(r.child);
        let columns: Vec<String> = r.child_columns.iter().map(|c| child.columns[*c].name.clone()).collect();
        for part in &child.parts {
            let same = |known: &&RunIndex| {
                known.namespace == part.name.namespace
                    && known.table == part.name.name
                    && known.columns == columns
            };
            let known = wanted.iter().find(same).cloned();
            let saves_s = saves_s.max(known.as_ref().map_or(0, |known| known.saves_s));
            known.iter().for_each(|known| drop(wanted.take(known)));
            wanted.insert(RunIndex {
                namespace: part.name.namespace.clone(),
                table: part.name.name.clone(),
                columns: columns.clone(),
                saves_s,
            });
        }
    }
    wanted.into_iter().collect()
}

/// Seconds that the server's own checks of this key would take without an index.
fn costs(work: &Work, closure: &Closure, r: &Reference) -> u64 {
    let checked = work.path == Path::Checked || work.path == Path::Fast && fires(work, r.parent);
    let parents = closure.removed.get(&r.parent).copied().unwrap_or(0);
    if !checked || parents == 0 {
        return 0;
    }
    let known = work.schema.table(r.child).rows_estimate;
    let children = known.max(closure.removed.get(&r.child).copied().unwrap_or(0));
    parents.saturating_mul(children) / ROWS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn a_name_tells_its_plan() {
        assert_eq!(tag("unseed_tmp_7f3a90bc_12"), "7f3a90bc");
        assert_eq!(tag("unseed_tmp_3"), "3");
    }
}
