//! A scan as one JSON document, whose findings are written as they are told, so that millions of them need no
//! memory.
//!
//! Invariants
//! - the document is that of the report with all its findings in it, field by field.
//!
//! Not here: where it goes (`ui`, `wire`).

use serde::ser::{Error as _, SerializeSeq as _, SerializeStruct as _};
use serde::{Serialize, Serializer};
use std::cell::RefCell;
use unseed_core::fault::Fault;
use unseed_core::scan::Report;
use unseed_engine::scan::{Findings, Scanned};

/// A scan that is serialised once.
pub struct Document<'a> {
    report: &'a Report,
    findings: Once<'a>,
}

/// What ended the findings early, if anything did.
pub type Failure = RefCell<Option<Fault>>;

struct Once<'a> {
    findings: RefCell<&'a mut Findings>,
    failure: &'a Failure,
}

impl<'a> Document<'a> {
    /// The document of a scan; `failure` says afterwards whether it is whole.
    pub fn new(scanned: &'a mut Scanned, failure: &'a Failure) -> Self {
        let findings = Once { findings: RefCell::new(&mut scanned.findings), failure };
        Self { report: &scanned.report, findings }
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.report;
        let fields = if report.since.is_some() { 10 } else { 9 };
        let mut document = serializer.serialize_struct("Report", fields)?;
        document.serialize_field("format", report.format)?;
        document.serialize_field("store", &report.store)?;
        document.serialize_field("complete", &report.complete)?;
        document.serialize_field("tables", &report.tables)?;
        document.serialize_field("findings", &self.findings)?;
        document.serialize_field("recommendations", &report.recommendations)?;
        if let Some(since) = &report.since {
            document.serialize_field("since", since)?;
        }
        document.serialize_field("timeline", &report.timeline)?;
        document.serialize_field("signals", &report.signals)?;
        document.serialize_field("orphans", &report.orphans)?;
        document.end()
    }
}

impl Serialize for Once<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut findings = self.findings.borrow_mut();
        let mut list = serializer.serialize_seq(None)?;
        loop {
            match findings.next() {
                Ok(Some(finding)) => list.serialize_element(&finding)?,
                Ok(None) => return list.end(),
                Err(fault) => {
                    let message = fault.message.clone();
                    self.failure.replace(Some(fault));
                    return Err(S::Error::custom(message));
                }
            }
        }
    }
}
