//! What is said of each record: a line of JSON, or a line for people where the record looks like test data.
//!
//! Invariants
//! - JSON lines have the shape `{"line", "score", "verdict", "signals"}`, one per record, in order;
//! - a reader that goes away ends the output, not the run.

use std::io::Write;
use unseed_core::detect::{Record, Score, Signal, Verdict};

/// Bytes that wait to be written.
const WAITING_BYTES: usize = 64 << 10;
/// Numbers whose text is kept; nine bits of places.
const NUMBERS: usize = 512;

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
    /// Numbers that were written before, by their bits: weights and scores are few.
    numbers: Vec<(u64, String)>,
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
            numbers: vec![(u64::MAX, String::new()); NUMBERS],
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
        self.count(line);
        self.waiting.extend_from_slice(b",\"score\":");
        self.number(probability);
        self.waiting.extend_from_slice(b",\"verdict\":\"");
        self.waiting.extend_from_slice(verdict.word().as_bytes());
        self.waiting.extend_from_slice(b"\",\"signals\":[");
        for (n, signal) in signals.iter().enumerate() {
            self.waiting.extend_from_slice(if n == 0 { b"{\"id\":\"" } else { b",{\"id\":\"" });
            self.waiting.extend_from_slice(signal.id.as_bytes());
            self.waiting.extend_from_slice(b"\",\"weight\":");
            self.number(signal.weight);
            self.waiting.extend_from_slice(b",\"says\":\"");
            escape(&signal.says, &mut self.waiting);
            self.waiting.extend_from_slice(b"\"}");
        }
        self.waiting.extend_from_slice(b"]}\n");
    }

    fn text(&mut self, line: u64, record: &Record<'_>, score: (f64, Verdict), signals: &[Signal]) {
        let known = [record.name, record.email, record.username, record.slug];
        let label = known.into_iter().find(|text| !text.is_empty()).unwrap_or("");
        let label: String = label.chars().filter(|c| !c.is_control()).take(40).collect();
        let mut reasons: Vec<&Signal> = signals.iter().filter(|s| s.weight > 0.0).collect();
        reasons.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let reasons: Vec<&str> = reasons.into_iter().take(2).map(|s| s.says.as_ref()).collect();
        let (probability, verdict) = score;
        let text = format!(
            "{line:>8}  {probability:.3}  {:<7}  {label:<40}  {}\n",
            verdict.word(),
            reasons.join("; ")
        );
        self.waiting.extend_from_slice(text.as_bytes());
    }

    fn count(&mut self, number: u64) {
        let mut digits = [0_u8; 20];
        let (mut left, mut at) = (number, digits.len());
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(left % 10).expect("one digit");
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.waiting.extend_from_slice(&digits[at..]);
    }

    fn number(&mut self, number: f64) {
        let bits = number.to_bits();
        let place = (bits ^ bits >> 19 ^ bits >> 41).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55;
        let (known, text) = &mut self.numbers[usize::try_from(place).expect("nine bits fit in a usize")];
        if *known != bits {
            *known = bits;
            *text = format!("{}", (number * 1e3).round() / 1e3);
        }
        self.waiting.extend_from_slice(text.as_bytes());
    }
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
