//! Loads the contaminated databases of the folder `workloads/`; its README tells what must go and what must stay.

pub mod keys;

use crate::server::{Database, ServerError, SqliteFile};
use std::path::PathBuf;

/// How many rows the `atom` database gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// 1,826 test tenants, 34 thousand rows, about a second.
    S,
    /// 20,000 test tenants, two million rows, up to a minute.
    M,
    /// 100,000 test tenants, ten million rows, a few minutes.
    L,
    /// Any other population: test tenants and the activity multiplier.
    Of { tenant_count: u32, multiplier: u32 },
}

/// What `atom` is filled with; `Atom::at(Scale::S)` is the plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Atom {
    pub scale: Scale,
    /// Ten real tenants whose names look like tests.
    pub near_misses: bool,
    /// A protected tenant's rows point at test rows.
    pub conflicts: bool,
}

impl Atom {
    pub fn at(scale: Scale) -> Self {
        Self { scale, near_misses: false, conflicts: false }
    }

    #[must_use]
    pub fn with_near_misses(self) -> Self {
        Self { near_misses: true, ..self }
    }

    #[must_use]
    pub fn with_conflicts(self) -> Self {
        Self { conflicts: true, ..self }
    }

    /// Fills an empty database.
    pub fn load(self, database: &Database<'_>) -> Result<(), ServerError> {
        let (tenant_count, multiplier) = match self.scale {
            Scale::S => (1_826, 1),
            Scale::M => (20_000, 16),
            Scale::L => (100_000, 16),
            Scale::Of { tenant_count, multiplier } => (tenant_count, multiplier),
        };
        let variables = [
            ("tenants", tenant_count.to_string()),
            ("mult", multiplier.to_string()),
            ("near_miss", u8::from(self.near_misses).to_string()),
            ("conflicts", u8::from(self.conflicts).to_string()),
        ];
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        database.psql_file(&script("atom.sql"), &variables).map(drop)
    }
}

/// Fills an empty PostgreSQL database with the dashboard: 100 demo users among 42 real ones.
pub fn load_dashboard(database: &Database<'_>) -> Result<(), ServerError> {
    database.psql_file(&script("dashboard.sql"), &[]).map(drop)
}

/// Fills a new SQLite file with the same dashboard.
pub fn load_dashboard_sqlite(file: &SqliteFile) -> Result<(), ServerError> {
    file.load(&script("dashboard_sqlite.sql")).map(drop)
}

/// The path of a file in `workloads/`.
pub fn script(name: &str) -> PathBuf {
    crate::workspace_root().join("workloads").join(name)
}
