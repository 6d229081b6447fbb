//! Scores records without a database: from CSV or NDJSON, one after the other, through the same detectors as a scan.
//!
//! | module | does |
//! |---|---|
//! | `input` | cuts a stream into records, whole ones only |
//! | `csv`, `ndjson` | a record's values |
//! | `columns` | which value is the name, the mail address and so on |
//! | `output` | one line of JSON, or of text, per record |
//!
//! Invariants
//! - memory is that of one record and of buffers of fixed size, however long the stream;
//! - records are told in their order, each once; a record that cannot be read ends the run and is named.
//!
//! Not here: what a record is worth (`core::detect`); what records say together, which only a scan knows.

mod columns;
mod csv;
mod input;
mod ndjson;
pub mod output;

use columns::{Columns, Values};
use input::Input;
use output::Output;
use std::borrow::Cow;
use std::io::{Read, Write};
use std::sync::Arc;
use unseed_core::detect::{Context, Examiner, Rules, Signal, Thresholds};
use unseed_core::entity::Entity;
use unseed_core::fault::Fault;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Csv,
    Ndjson,
}

/// How to classify.
#[derive(Debug, Clone)]
pub struct Options {
    /// None: as the first character says.
    pub form: Option<Form>,
    /// What a record is that does not say it.
    pub kind: Entity,
    pub thresholds: Thresholds,
    pub rules: Arc<Rules>,
}

/// Scores every record of a stream.
///
/// # Errors
/// A usage fault that names the record which cannot be read, or the column that is missing; one when no record
/// held anything that can be judged, since all of them would pass for real.
pub fn run<W: Write>(from: impl Read, options: &Options, output: &mut Output<W>) -> Result<Seen, Fault> {
    let mut input = Input::new(from);
    input.begin()?;
    let form = match options.form {
        Some(form) => form,
        None => match input.first_letter()? {
            Some(b'{') => Form::Ndjson,
            Some(_) | None => Form::Csv,
        },
    };
    let examiner = Examiner::new(Arc::clone(&options.rules));
    let mut judge = Judge { examiner, signals: Vec::new(), options, record: 0, is_judged: false };
    let ignored = match form {
        Form::Csv => judge.csv(&mut input, output)?,
        Form::Ndjson => judge.ndjson(&mut input, output)?,
    };
    if judge.record > 0 && !judge.is_judged {
        return Err(Fault::usage("no record holds a value that can be judged")
            .hint("call the values for example `kind`, `name`, `slug`, `email`"));
    }
    Ok(Seen { records: judge.record, ignored })
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub records: u64,
    /// Columns that play no part, for people; empty when all do.
    pub ignored: String,
}

struct Judge<'a> {
    examiner: Examiner,
    signals: Vec<Signal>,
    options: &'a Options,
    record: u64,
    /// Some record held anything that can be judged.
    is_judged: bool,
}

impl Judge<'_> {
    fn csv<R: Read, W: Write>(
        &mut self,
        input: &mut Input<R>,
        output: &mut Output<W>,
    ) -> Result<String, Fault> {
        let Some(head) = input.csv_record()? else { return Ok(String::new()) };
        let mut row = csv::Row::of_head(&text(head));
        let columns = Columns::named(&row.values())?;
        let ignored: Vec<&str> =
            row.values().into_iter().filter(|name| columns::part(name).is_none()).collect();
        let ignored = columns::listed(&ignored);
        while let Some(bytes) = input.csv_record()? {
            if bytes.is_empty() {
                continue;
            }
            row.read(&text(bytes));
            self.judge(&columns.values(&row), output);
        }
        Ok(ignored)
    }

    fn ndjson<R: Read, W: Write>(
        &mut self,
        input: &mut Input<R>,
        output: &mut Output<W>,
    ) -> Result<String, Fault> {
        let mut names = ndjson::Names::default();
        while let Some(bytes) = input.line()? {
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let text = text(bytes);
            let read = ndjson::read(&text, &mut names, |values| self.judge(values, output));
            read.map_err(|error| {
                Fault::usage(format!("record {} is no JSON object: {error}", self.record + 1))
                    .hint("write one object per line, or CSV with a line of column names")
            })?;
        }
        Ok(columns::listed(&names.ignored()))
    }

    fn judge<W: Write>(&mut self, values: &Values<'_>, output: &mut Output<W>) {
        self.record += 1;
        self.is_judged = self.is_judged || values.can_be_judged();
        let (flags, count) = values.flags();
        let record = values.record(self.options.kind, &flags[..count]);
        let score = self.examiner.tell_into(&record, &Context::default(), &mut self.signals);
        let verdict = self.options.thresholds.verdict(score);
        output.record(self.record, &record, (score, verdict), &self.signals);
    }
}

/// The bytes as text; what is none is replaced.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod tests;
