//! How well a classification does: precision and recall at verdict `test`, by source and kind, and calibration.
//!
//! Invariants
//! - a share of nothing is 1: no finding is no wrong finding.

use super::Record;
use serde_json::Value;
use std::collections::BTreeMap;

/// Records by truth and verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Test data that was called so.
    pub found: u32,
    /// Test data that was not.
    pub missed: u32,
    /// Real rows that were called test data.
    pub wrong: u32,
    /// Real rows that were not.
    pub spared: u32,
}

/// One step of the reliability curve.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Step {
    pub records: u32,
    pub test: u32,
    /// Sum of the scores.
    pub scores: f64,
}

/// A measured classification.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    pub by_kind: BTreeMap<&'static str, Counts>,
    pub by_source: BTreeMap<String, Counts>,
    /// Tenths of the score.
    pub steps: [Step; 10],
    /// Real records that were called test data, and test data that was missed.
    pub mistakes: Vec<String>,
}

fn share(part: u32, of: u32) -> f64 {
    if of == 0 { 1.0 } else { f64::from(part) / f64::from(of) }
}

impl Counts {
    /// The share of findings that are test data.
    pub fn precision(&self) -> f64 {
        share(self.found, self.found + self.wrong)
    }

    /// The share of test data that was found.
    pub fn recall(&self) -> f64 {
        share(self.found, self.found + self.missed)
    }

    fn add(&mut self, record: &Record, verdict: &Value) {
        let slot = match (record.is_test, verdict == "test") {
            (true, true) => &mut self.found,
            (true, false) => &mut self.missed,
            (false, true) => &mut self.wrong,
            (false, false) => &mut self.spared,
        };
        *slot += 1;
    }
}

/// Compares what `unseed classify --format ndjson` said with the truth.
///
/// # Panics
/// When there is not one line of JSON per record, in order.
pub fn measure(records: &[Record], said: &str) -> Summary {
    let mut summary = Summary::default();
    let mut lines = said.lines();
    for record in records {
        let line = lines.next().expect("one line per record");
        let value: Value = serde_json::from_str(line).expect("lines are JSON");
        let score = value["score"].as_f64().expect("a score");
        let is_called_test = value["verdict"] == "test";
        summary.by_kind.entry(record.kind).or_default().add(record, &value["verdict"]);
        summary.by_source.entry(record.source.clone()).or_default().add(record, &value["verdict"]);
        let tenth = (1..10).filter(|n| score >= f64::from(*n) / 10.0).count();
        let step = &mut summary.steps[tenth];
        step.records += 1;
        step.test += u32::from(record.is_test);
        step.scores += score;
        if is_called_test != record.is_test {
            let truth = if record.is_test { "missed" } else { "wrong" };
            summary.mistakes.push(format!("{truth} {score:.3} {}", record.line()));
        }
    }
    assert!(lines.next().is_none(), "there are more lines than records");
    summary
}

impl Summary {
    /// The tables of the documentation.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| kind | test | real | precision | recall |\n|---|---|---|---|---|\n");
        for (kind, counts) in &self.by_kind {
            text.push_str(&row(kind, counts));
        }
        text.push_str("\n| source | test | real | precision | recall |\n|---|---|---|---|---|\n");
        for (source, counts) in &self.by_source {
            text.push_str(&row(source, counts));
        }
        text.push_str("\n| score | records | mean score | of them test |\n|---|---|---|---|\n");
        for (n, step) in (0_u32..).zip(&self.steps).filter(|(_, step)| step.records > 0) {
            let mean = step.scores / f64::from(step.records);
            let test = share(step.test, step.records) * 100.0;
            let from = f64::from(n) / 10.0;
            text.push_str(&format!(
                "| {from:.1} to {:.1} | {} | {mean:.3} | {test:.1} % |\n",
                from + 0.1,
                step.records
            ));
        }
        text.push_str(&format!(
            "\nScores are {:.1} points from the share of test data at them, in the mean over all records.\n",
            self.calibration_error() * 100.0
        ));
        text
    }

    /// The mean distance between a score and the share of test data among the records of its step.
    pub fn calibration_error(&self) -> f64 {
        let records: u32 = self.steps.iter().map(|step| step.records).sum();
        let distance = |step: &Step| (f64::from(step.test) - step.scores).abs();
        self.steps.iter().map(distance).sum::<f64>() / f64::from(records.max(1))
    }
}

fn row(name: &str, counts: &Counts) -> String {
    let (test, real) = (counts.found + counts.missed, counts.wrong + counts.spared);
    let precision = if counts.found + counts.wrong == 0 {
        "–".to_owned()
    } else {
        format!("{:.2} %", counts.precision() * 100.0)
    };
    let recall = if test == 0 { "–".to_owned() } else { format!("{:.1} %", counts.recall() * 100.0) };
    format!("| {name} | {test} | {real} | {precision} | {recall} |\n")
}
