//! The server that everybody is measured on, the workload in it, and fresh copies of that.
//!
//! Invariants
//! - writes are durable, as in production: the log is flushed at each commit, pages are written twice;
//! - before a contestant begins, the server has cleaned up what the one before it deleted.

use crate::process;
use anyhow::{Result, ensure};
use std::cell::RefCell;
use std::process::Command;
use unseed_testkit::server::Mariadb;

/// The workload; nobody changes it, since it is copied.
const WORKLOAD: &str = "bench";
/// The one copy that exists at a time.
pub(super) const COPY: &str = "run";

const SETTINGS: [&str; 6] = [
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-doublewrite=1",
    "--innodb-buffer-pool-size=2G",
    "--innodb-log-file-size=1G",
    "--innodb-stats-persistent=1",
    "--aria-pagecache-buffer-size=128M",
];

/// What a copy is made of, statement by statement. Copies have the same pages as the original.
const FRESH: &str = "
    DROP DATABASE IF EXISTS run; CREATE DATABASE run; USE run;
    CREATE TABLE tenants LIKE bench.tenants; INSERT INTO tenants SELECT * FROM bench.tenants;
    CREATE TABLE messages LIKE bench.messages; INSERT INTO messages SELECT * FROM bench.messages ORDER BY id;
    ALTER TABLE messages ADD FOREIGN KEY (tenant_id) REFERENCES tenants (id), ALGORITHM = COPY;
    ANALYZE TABLE tenants, messages; SELECT count(*), sum(tenant_id) FROM messages;
    SET GLOBAL innodb_max_purge_lag_wait = 0;";

/// Rows of a table as a person could compare them: how many there are, and a digest over all of them.
const MESSAGES: &str = "SELECT count(*), COALESCE(sum(CAST(CONV(LEFT(MD5(CONCAT_WS('|', id, tenant_id, sender, body, \
    IFNULL(meta, '-'), created_at)), 15), 16, 10) AS UNSIGNED)), 0) FROM messages";
const TENANTS: &str = "SELECT count(*), COALESCE(sum(CAST(CONV(LEFT(MD5(CONCAT_WS('|', id, name, email, created_at)), 15), \
    16, 10) AS UNSIGNED)), 0) FROM tenants";

pub(super) struct Ground {
    server: Mariadb,
    original: String,
    /// What the first contestant left of the messages: the others must leave the same.
    survivors: RefCell<Option<String>>,
}

impl Ground {
    pub(super) fn prepare(rows: u64) -> Result<Self> {
        let server = Mariadb::start_own(&SETTINGS)?;
        let script = std::fs::read_to_string(process::root().join("workloads/child_mysql.sql"))?;
        server.sql("", &format!("CREATE DATABASE {WORKLOAD}"))?;
        server.sql(WORKLOAD, &format!("SET @children = {rows};\n{script}"))?;
        let original = server.sql(WORKLOAD, &format!("{MESSAGES}; {TENANTS}"))?;
        Ok(Self { server, original, survivors: RefCell::default() })
    }

    pub(super) fn version(&self) -> Result<String> {
        let version = self.server.sql("", "SELECT version()")?;
        Ok(version.trim().split('-').next().unwrap_or_default().to_owned())
    }

    /// A new copy of the workload under the name [`COPY`].
    pub(super) fn fresh(&self) -> Result<()> {
        self.server.sql("", FRESH).map(drop)?;
        Ok(())
    }

    /// Fails when the copy holds other messages than the first contestant left.
    pub(super) fn agree(&self, name: &str) -> Result<()> {
        let left = self.server.sql(COPY, MESSAGES)?;
        let mut survivors = self.survivors.borrow_mut();
        let expected = survivors.get_or_insert_with(|| left.clone());
        ensure!(*expected == left, "`{name}` left other messages: {left} instead of {expected}");
        Ok(())
    }

    /// Whether the copy holds exactly the rows of the workload.
    pub(super) fn is_as_loaded(&self) -> Result<bool> {
        Ok(self.server.sql(COPY, &format!("{MESSAGES}; {TENANTS}"))? == self.original)
    }

    pub(super) fn client(&self) -> Result<Command> {
        Ok(self.server.client("mariadb", COPY)?)
    }

    pub(super) fn url(&self) -> String {
        self.server.url(COPY)
    }

    pub(super) fn socket(&self) -> String {
        self.server.socket().display().to_string()
    }
}
