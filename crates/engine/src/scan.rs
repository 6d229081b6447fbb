//! A scan: reads tenants and users once, weighs each row, and combines them along the graph into a report.
//!
//! Order: infer the entities → refuse a partial view → ask the store for tallies of payments and sessions → stream
//! tenants, then users → add what only the whole store can tell (bursts, series, orphans, a tenant by its users, a
//! user by its tenant) → report.
//!
//! | module | does |
//! |---|---|
//! | `layout`, `evidence`, `inbound`, `memberships` | which columns are read, what other tables say |
//! | `pipeline`, `weigher` | rows on several threads, each weighed by itself |
//! | `gather`, `graph`, `series`, `seconds`, `clones`, `months`, `verdicts` | what rows say together |
//! | `kept`, `tape`, `sorter` | rows that may be findings, outside of memory |
//! | `finish`, `samples`, `findings` | verdicts, the report, findings one by one |
//!
//! Memory: of every tenant that users point at a few numbers, and of every tenant and user that has payments or
//! sessions as many more; all else is bounded. Rows that may still become findings wait in temporary files.
//!
//! Invariants
//! - every tenant and user row is read once; the other tables are grouped by the store;
//! - a table that cannot be seen in full ends the scan, and no report is made;
//! - nothing is written to the store, so a scan may be dropped at any point.
//!
//! Not here: what a signal is worth (`core::detect`), how a report looks (the command line).

mod clones;
mod evidence;
mod findings;
mod finish;
mod gather;
mod graph;
mod inbound;
mod kept;
mod layout;
mod memberships;
mod months;
mod pipeline;
mod samples;
mod seconds;
mod series;
mod sorter;
mod tape;
mod verdicts;
mod weigher;

pub use findings::Findings;

use gather::Scan;
use inbound::{Inbound, Way};
use memberships::Memberships;
use std::sync::Arc;
use unseed_core::detect::{Rules, Thresholds, Verdict};
use unseed_core::entity::{self, Entity, Map, Overrides};
use unseed_core::fault::Fault;
use unseed_core::policy::ConfiguredProtection;
use unseed_core::port::progress::Progress;
use unseed_core::port::scan::{ScanSource, Scratch};
use unseed_core::scan::{Baseline, Finding, Report};
use unseed_core::schema::{Schema, TableId, TableName, Visibility};

/// How to scan.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Name of the store in the report.
    pub store: String,
    pub overrides: Overrides,
    pub thresholds: Thresholds,
    pub rules: Arc<Rules>,
    /// What is configured as protected; rows that such tenants refer to are hardly test data.
    pub protected: Vec<ConfiguredProtection>,
    pub wanted: Wanted,
    /// The row whose whole sum is asked for.
    pub explain: Option<Explain>,
    /// Rows that an earlier report lists are counted apart.
    pub baseline: Option<Arc<Baseline>>,
}

/// A row by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explain {
    /// Name of its table, with or without the namespace; any table of tenants or users where it is not given.
    pub table: Option<String>,
    /// Values of its key columns, in their order.
    pub key: Vec<String>,
}

impl Explain {
    fn is_of(&self, table: &TableName) -> bool {
        self.table.as_ref().is_none_or(|asked| *asked == table.name || *asked == table.to_string())
    }

    fn is(&self, key: &[Box<str>]) -> bool {
        key.iter().map(AsRef::as_ref).eq(self.key.iter().map(String::as_str))
    }
}

/// What is wanted beside the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// A few findings that show the variety.
    Samples,
    /// Those, and every finding.
    #[default]
    Findings,
}

/// A finished scan.
pub struct Scanned {
    /// Everything but the findings.
    pub report: Report,
    /// All findings, where they were wanted.
    pub findings: Findings,
    /// The rows whose whole sum was asked for, whatever their verdict; one, or one of each table.
    pub explained: Vec<Finding>,
}

impl Scanned {
    /// The report with its findings in memory.
    ///
    /// # Errors
    /// A fault when a temporary file cannot be read.
    pub fn whole(mut self) -> Result<Report, Fault> {
        while let Some(finding) = self.findings.next()? {
            self.report.findings.push(finding);
        }
        Ok(self.report)
    }
}

/// Scans a store.
///
/// # Errors
/// `Refused` when a table that matters is not fully visible; `Store` when the store fails; `Usage` when an
/// override names something that does not exist; `Archive` when there is no room for temporary files.
pub async fn scan(
    source: &mut dyn ScanSource,
    schema: &Schema,
    options: &Options,
    scratch: Arc<dyn Scratch>,
    progress: &dyn Progress,
) -> Result<Scanned, Fault> {
    let map = entity::infer(schema, &options.overrides)?;
    let ways = inbound::ways(schema, &map, &options.protected)?;
    refuse_partial_view(schema, &map, &ways)?;
    let mut evidence = evidence::collect(source, schema, &map, progress).await?;
    evidence.inbound = Inbound::collect(source, schema, &ways, progress).await?;
    let memberships = Memberships::read(source, schema, &map).await?;
    let mut scan = Scan::new(schema, (evidence, memberships), options, &scratch);
    for entity in [Entity::Tenant, Entity::User] {
        for member in map.of(entity) {
            scan.open(schema, member, &map);
            scan = pipeline::run(source, schema, member.table, scan, progress).await?;
        }
    }
    progress.update("weighing findings", 0, None);
    finish::finish(scan, schema, &map, options, &scratch)
}

/// Whether users point at a table of tenants.
fn links_to_tenants(map: &Map, table: TableId) -> bool {
    let by_members = map.memberships.iter().any(|m| m.tenant.parent == table);
    by_members || map.of(Entity::User).any(|user| user.links.iter().any(|link| link.parent == table))
}

/// Rows that nobody can see would count as none; that must not pass for clean.
fn refuse_partial_view(schema: &Schema, map: &Map, ways: &[Way]) -> Result<(), Fault> {
    let mut hidden = Vec::new();
    let joining = map.memberships.iter().map(|m| m.table);
    let mut tables: Vec<TableId> = map.members.iter().map(|m| m.table).chain(joining).collect();
    tables.extend(ways.iter().map(|way| way.table).filter(|table| map.member(*table).is_none()));
    for table in tables {
        let table = schema.table(table);
        match &table.visibility {
            Visibility::Full => {}
            Visibility::RowSecurity => {
                hidden.push(format!("{}: row-level security may hide rows", table.name));
            }
            Visibility::Denied(privileges) if privileges.iter().any(|p| p.eq_ignore_ascii_case("select")) => {
                hidden.push(format!("{}: the role may not SELECT", table.name));
            }
            Visibility::Denied(_) => {}
        }
    }
    if hidden.is_empty() {
        return Ok(());
    }
    let fault = Fault::refused(format!(
        "the role sees only part of {} tables that the scan needs",
        hidden.len()
    ))
    .state("nothing was read")
    .hint("connect as a role that sees every row: a member of the owner with BYPASSRLS, and SELECT granted");
    Err(hidden.into_iter().fold(fault, Fault::detail))
}

/// A verdict that is listed.
fn is_listed(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Test | Verdict::Suspect => true,
        Verdict::Real => false,
    }
}

#[cfg(test)]
mod tests;
