//! Reads the rows of an earlier report, keeping nothing of them but hashes.
//!
//! Invariants
//! - memory is a few bytes per row, however large the report;
//! - a file that is no report of a scan is refused.

use crate::wire;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;
use unseed_core::detect::Verdict;
use unseed_core::fault::Fault;
use unseed_core::scan::{Baseline, FORMAT};

#[derive(Deserialize)]
struct File {
    format: String,
    findings: Rows,
}

#[derive(Deserialize)]
struct Row {
    table: String,
    key: BTreeMap<String, String>,
    verdict: Verdict,
}

struct Rows(Baseline);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of findings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows, A::Error> {
        let mut baseline = Baseline::default();
        while let Some(row) = list.next_element::<Row>()? {
            let key = row.key.iter().map(|(column, value)| (column.as_str(), value.as_str()));
            baseline.add(&row.table, key, row.verdict);
        }
        Ok(Rows(baseline))
    }
}

/// The rows that a report lists.
pub(super) fn read(path: &Path) -> Result<Baseline, Fault> {
    let wrong = |why: String| {
        Fault::usage(format!("baseline `{}` cannot be used: {why}", path.display()))
            .hint("write one with `unseed scan URL --output FILE`")
    };
    read_from(BufReader::new(wire::open_file(path)?)).map_err(wrong)
}

/// The same from the report itself; in words what is wrong with it.
pub(crate) fn read_from(report: impl Read) -> Result<Baseline, String> {
    let file: File = serde_json::from_reader(report).map_err(|error| error.to_string())?;
    if file.format != FORMAT {
        return Err(format!("its format is `{}`", file.format));
    }
    Ok(file.findings.0)
}
