//! What is said of each record: a line of JSON, or a line for people where the record looks like test data.
//!
//! Invariants
//! - JSON lines have the shape `{"line", "score", "verdict", "signals"}`, one per record, in order;
//! - a reader that goes away ends the output, not the run.

mod memory;

use crate::report::is_steering;
use memory::{Numbers, Told};
use std::borrow::Cow;
use std::io::Write;
use unseed_core::detect::{Record, Score, Signal, Verdict};

/// Bytes that wait to be written.
const WAITING_BYTES: usize = 64 << 10;
/// Characters of a label.
const LABEL_CHARS_MAX: usize = 40;
/// Room for a line's number, and for a verdict.
const LINE_CHARS: usize = 8;
const VERDICT_CHARS: usize = 7;

/// Who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Programs,
    People,
}

/// Writes lines.
pub struct Output<W> {
    to: W,
    style: Style,
    waiting: Vec<u8>,
    /// What was written before: weights, scores and most sentences are few.
    numbers: Numbers,
    probabilities: Numbers,
    told: Told,
    pub counts: Counts,
}

/// Records by verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub test: u64,
    pub suspect: u64,
    pub real: u64,
}

impl<W: Write> Output<W> {
    pub fn new(to: W, style: Style) -> Self {
        Self {
            to,
            style,
            waiting: Vec::new(),
            numbers: Numbers::new(|number| format!("{}", (number * 1e3).round() / 1e3)),
            probabilities: Numbers::new(|number| format!("{number:.3}")),
            told: Told::new(),
            counts: Counts::default(),
        }
    }

    /// Tells one record.
    pub(super) fn record(
        &mut self,
        line: u64,
        record: &Record<'_>,
        (score, verdict): (Score, Verdict),
        signals: &[Signal],
    ) {
        match verdict {
            Verdict::Test => self.counts.test += 1,
            Verdict::Suspect => self.counts.suspect += 1,
            Verdict::Real => self.counts.real += 1,
        }
        let probability = rounded(score);
        match self.style {
            Style::Programs => self.json(line, probability, verdict, signals),
            Style::People if verdict == Verdict::Real => {}
            Style::People => self.text(line, record, (probability, verdict), signals),
        }
        if self.waiting.len() >= WAITING_BYTES {
            self.flush();
        }
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        // A reader that went away wants no more output.
        drop(self.to.write_all(&self.waiting).and_then(|()| self.to.flush()));
        self.waiting.clear();
    }

    fn json(&mut self, line: u64, probability: f64, verdict: Verdict, signals: &[Signal]) {
        self.waiting.extend_from_slice(b"{\"line\":");
        self.count(line, 0);
        self.waiting.extend_from_slice(b",\"score\":");
        self.waiting.extend_from_slice(self.numbers.text(probability));
        self.waiting.extend_from_slice(b",\"verdict\":\"");
        self.waiting.extend_from_slice(verdict.word().as_bytes());
        self.waiting.extend_from_slice(b"\",\"signals\":[");
        for (n, signal) in signals.iter().enumerate() {
            if n > 0 {
                self.waiting.push(b',');
            }
            match &signal.says {
                Cow::Borrowed(says) => {
                    let weight = self.numbers.text(signal.weight);
                    let known = self.told.signal(signal, says, |into| as_json(signal, weight, into));
                    self.waiting.extend_from_slice(known);
                }
                Cow::Owned(_) => as_json(signal, self.numbers.text(signal.weight), &mut self.waiting),
            }
        }
        self.waiting.extend_from_slice(b"]}\n");
    }

    fn text(&mut self, line: u64, record: &Record<'_>, score: (f64, Verdict), signals: &[Signal]) {
        let (probability, verdict) = score;
        self.count(line, LINE_CHARS);
        self.waiting.extend_from_slice(b"  ");
        self.waiting.extend_from_slice(self.probabilities.text(probability));
        self.waiting.extend_from_slice(b"  ");
        self.waiting.extend_from_slice(verdict.word().as_bytes());
        self.spaces(VERDICT_CHARS.saturating_sub(verdict.word().len()) + 2);
        self.label(record);
        self.waiting.extend_from_slice(b"  ");
        let [strongest, second] = strongest(signals);
        self.waiting.extend_from_slice(strongest.map_or("", |s| s.says.as_ref()).as_bytes());
        if let Some(second) = second {
            self.waiting.extend_from_slice(b"; ");
            self.waiting.extend_from_slice(second.says.as_bytes());
        }
        self.waiting.push(b'\n');
    }

    /// What people know the record by, in a column of its own.
    fn label(&mut self, record: &Record<'_>) {
        let known = [record.name, record.email, record.username, record.slug];
        let label = known.into_iter().find(|text| !text.is_empty()).unwrap_or("");
        let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let mut length = label.len();
        if length <= LABEL_CHARS_MAX && label.bytes().all(is_plain) {
            self.waiting.extend_from_slice(label.as_bytes());
        } else {
            length = 0;
            for letter in label.chars().filter(|c| !is_steering(*c)).take(LABEL_CHARS_MAX) {
                self.waiting.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                length += 1;
            }
        }
        self.spaces(LABEL_CHARS_MAX - length);
    }

    fn spaces(&mut self, count: usize) {
        self.waiting.resize(self.waiting.len() + count, b' ');
    }

    /// A number, on the right of so many characters.
    fn count(&mut self, number: u64, width: usize) {
        let mut digits = [b' '; 20];
        let (mut left, mut at) = (number, digits.len());
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(left % 10).expect("one digit");
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.waiting.extend_from_slice(&digits[at.min(digits.len() - width)..]);
    }
}

/// The two signals that speak loudest for test data; of equals the earlier.
fn strongest(signals: &[Signal]) -> [Option<&Signal>; 2] {
    let mut best: [Option<&Signal>; 2] = [None, None];
    let outweighs = |one: &Signal, other: Option<&Signal>| other.is_none_or(|o| one.weight > o.weight);
    for signal in signals.iter().filter(|s| s.weight > 0.0) {
        if outweighs(signal, best[0]) {
            best = [Some(signal), best[0]];
        } else if outweighs(signal, best[1]) {
            best[1] = Some(signal);
        }
    }
    best
}

fn as_json(signal: &Signal, weight: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(b"{\"id\":\"");
    into.extend_from_slice(signal.id.as_bytes());
    into.extend_from_slice(b"\",\"weight\":");
    into.extend_from_slice(weight);
    into.extend_from_slice(b",\"says\":\"");
    escape(&signal.says, into);
    into.extend_from_slice(b"\"}");
}

/// Three digits; never quite 1.
fn rounded(score: Score) -> f64 {
    ((score.probability() * 1_000.0).round() / 1_000.0).min(0.999)
}

/// A text as JSON writes it.
fn escape(text: &str, into: &mut Vec<u8>) {
    // Without a way out in the middle, many bytes are looked at together.
    let special = text.bytes().fold(false, |found, b| found | (b == b'"') | (b == b'\\') | (b < 0x20));
    if !special {
        return into.extend_from_slice(text.as_bytes());
    }
    for letter in text.chars() {
        match letter {
            '"' => into.extend_from_slice(b"\\\""),
            '\\' => into.extend_from_slice(b"\\\\"),
            control if control < ' ' => {
                into.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
            }
            other => into.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}
