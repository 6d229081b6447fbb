//! Records of which it is known whether they are test data, and how well a classification of them does.
//!
//! | module | holds |
//! |---|---|
//! | `cases` | hard cases written by hand, in `cases.tsv` |
//! | `generate` | records as seed libraries, test tools and people make them |
//! | `measure` | precision, recall and calibration |
//!
//! Every source is in two parts that share no words and no cases: `Part::Train` is for looking at while a signal
//! is made, `Part::HeldOut` only says how well it does on what nobody looked at.
//!
//! Invariants
//! - the same part always holds the same records, in the same order.
//!
//! Not here: what a record is worth; it is classified by the binary.

mod cases;
mod generate;
pub mod measure;

use serde_json::{Map, Value};

/// Half of every source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Train,
    HeldOut,
}

/// A record with its truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub is_test: bool,
    /// `tenant` or `user`.
    pub kind: &'static str,
    /// Where records of its sort come from.
    pub source: String,
    pub name: String,
    pub slug: String,
    pub email: String,
    pub phone: String,
}

impl Record {
    /// One line of what `unseed classify` reads.
    pub fn line(&self) -> String {
        let fields =
            [("name", &self.name), ("slug", &self.slug), ("email", &self.email), ("phone", &self.phone)];
        let mut object = Map::new();
        object.insert("kind".to_owned(), Value::from(self.kind));
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            object.insert(name.to_owned(), Value::from(value.as_str()));
        }
        Value::Object(object).to_string()
    }
}

/// All records of a part.
pub fn records(part: Part) -> Vec<Record> {
    let mut all = cases::records(part);
    all.extend(generate::records(part));
    all
}

/// The records as `unseed classify` reads them.
pub fn lines(records: &[Record]) -> String {
    records.iter().map(|record| record.line() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_parts_are_large_and_share_no_record() {
        let names = |part| -> BTreeSet<String> { records(part).iter().map(Record::line).collect() };
        let (train, held_out) = (names(Part::Train), names(Part::HeldOut));
        assert!(train.len() > 3_000 && held_out.len() > 3_000, "{} {}", train.len(), held_out.len());
        let shared: Vec<&String> = train.intersection(&held_out).collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
}
