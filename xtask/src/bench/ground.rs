//! The server that everybody is measured on, the workload in it, and fresh copies of that.
//!
//! Invariants
//! - writes are durable, as in production: `fsync`, `full_page_writes` and `synchronous_commit` are on;
//! - a copy is checkpointed and read once before anybody gets it, so no contestant pays for the copying.

use super::Size;
use crate::process;
use anyhow::{Context as _, Result, ensure};
use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Command;
use unseed_testkit::server::{Postgres, Settings};
use unseed_testkit::workloads::Atom;

/// The workload; nobody connects to it, since it is copied.
const ATOM: &str = "bench_atom";
/// Accounts of which nearly all look like test data, and those of which one in a hundred does.
pub(super) const CROWDED: &str = "bench_crowded";
pub(super) const SPARSE: &str = "bench_sparse";
/// The one copy that exists at a time.
pub(super) const COPY: &str = "bench_run";

const SETTINGS: [(&str, &str); 10] = [
    ("shared_buffers", "2GB"),
    ("effective_cache_size", "8GB"),
    ("work_mem", "64MB"),
    ("maintenance_work_mem", "512MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "15min"),
    ("autovacuum", "on"),
    ("jit", "off"),
    ("max_parallel_maintenance_workers", "1"),
    // Milliseconds, process, database: what `statements` reads.
    ("log_line_prefix", "%n %p %d "),
];

/// Rows of every table as a person could compare them: how many there are, and a digest over all of them.
const DIGESTS: &str = "SELECT format('SELECT %L, count(*), coalesce(sum(hashtextextended(x::text, 0)), 0) FROM %I x', \
    relname, relname) FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition \
    AND relnamespace = 'public'::regnamespace ORDER BY 1 \\gexec\n";

/// As above, without reading the columns.
const COUNTS: &str = "SELECT format('SELECT %L, count(*) FROM %I', relname, relname) FROM pg_class \
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace ORDER BY 1 \\gexec\n";

pub(super) struct Ground {
    server: Postgres,
    /// What the workload looks like before anybody touched it.
    original: String,
    /// What the first contestant left in each table: the others must leave the same.
    survivors: RefCell<Option<String>>,
    copying: &'static str,
}

impl Ground {
    pub(super) fn prepare(size: Size) -> Result<Self> {
        let settings =
            SETTINGS.iter().fold(Settings::default().durable(), |all, (name, value)| all.set(name, value));
        let server = Postgres::start_own(&settings)?;
        load(&server, size)?;
        let version: u32 = server.psql("postgres", "SHOW server_version_num")?.trim().parse()?;
        // Older servers copy files without being told.
        let copying = if version >= 150_000 { "STRATEGY file_copy" } else { "" };
        let original = server.psql(ATOM, DIGESTS)?;
        Ok(Self { server, original, survivors: RefCell::default(), copying })
    }

    /// A new copy of the workload under the name [`COPY`].
    pub(super) fn fresh(&self) -> Result<()> {
        self.drop_copy()?;
        let copying = self.copying;
        self.sql("postgres", &format!("CREATE DATABASE {COPY} TEMPLATE {ATOM} {copying};\nCHECKPOINT;"))?;
        self.sql(COPY, COUNTS).map(drop)
    }

    pub(super) fn drop_copy(&self) -> Result<()> {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")).map(drop)
    }

    /// Rows as `a|b` lines.
    pub(super) fn sql(&self, database: &str, sql: &str) -> Result<String> {
        Ok(self.server.psql(database, sql)?)
    }

    /// Fails when the copy holds other rows than the first contestant left.
    pub(super) fn agree(&self, name: &str) -> Result<()> {
        let counts = self.sql(COPY, COUNTS)?;
        let mut survivors = self.survivors.borrow_mut();
        let expected = survivors.get_or_insert_with(|| counts.clone());
        ensure!(*expected == counts, "`{name}` left other rows:\n{counts}\ninstead of\n{expected}");
        Ok(())
    }

    /// Whether the copy holds exactly the rows of the workload.
    pub(super) fn is_as_loaded(&self) -> Result<bool> {
        Ok(self.sql(COPY, DIGESTS)? == self.original)
    }

    /// A client that runs a script; what it prints are rows as `a|b` lines.
    pub(super) fn psql(&self, database: &str) -> Command {
        let mut client = self.server.client("psql", database);
        client.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        client
    }

    pub(super) fn client(&self, program: &str, database: &str) -> Command {
        self.server.client(program, database)
    }

    pub(super) fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    /// Name and version of the server.
    pub(super) fn version(&self) -> Result<String> {
        let version = self.read_template("SHOW server_version")?;
        Ok(format!("PostgreSQL {}", version.split_whitespace().next().unwrap_or_default()))
    }

    pub(super) fn log(&self) -> String {
        self.server.log()
    }

    pub(super) fn read_template(&self, sql: &str) -> Result<String> {
        self.sql(ATOM, sql)
    }
}

/// A file of the folder `bench/`.
pub(super) fn script(name: &str) -> PathBuf {
    process::root().join("bench").join(name)
}

fn load(server: &Postgres, size: Size) -> Result<()> {
    let loaded = server.database("loaded")?;
    Atom::at(size.scale()).load(&loaded)?;
    loaded.psql("VACUUM ANALYZE").context("the workload cannot be vacuumed")?;
    server.psql("postgres", &format!("CREATE DATABASE {ATOM} TEMPLATE {}", loaded.name()))?;
    for (name, one_in) in [(CROWDED, "1"), (SPARSE, "100")] {
        server.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {ATOM}"))?;
        let copies = size.account_copies().to_string();
        server.psql_file(name, &script("accounts.sql"), &[("copies", &copies), ("one_in", one_in)])?;
    }
    server.psql("postgres", "CHECKPOINT").map(drop)?;
    Ok(())
}
