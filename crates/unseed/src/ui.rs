//! The only printer: results on standard output, everything else on standard error.
//!
//! Invariants
//! - with `--format json` standard output is exactly one document, a result or a fault;
//! - colour helps but is never needed, and stands only on a terminal unless it was asked for;
//! - a closed pipe ends the output, not the run.
//!
//! Not here: what a result looks like (`cli`, `report`).

mod progress;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;
use unseed_core::fault::Fault;
use unseed_core::port::progress::Progress;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: one versioned document; of `classify`, which prints as it reads, one line per record.
    #[value(alias = "ndjson")]
    Json,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

/// What a piece of text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Strong,
    Good,
    Bad,
    Warning,
    Faint,
}

/// The printer of one command.
#[derive(Clone)]
pub struct Ui {
    format: Format,
    color: Color,
    quiet: bool,
    progress: Arc<progress::Reporter>,
}

impl Ui {
    /// A printer for this process's standard streams.
    pub fn new(format: Format, color: Color, quiet: bool) -> Self {
        let way = match (quiet, io::stderr().is_terminal()) {
            (true, _) => progress::Way::Quiet,
            (false, true) => progress::Way::Moving,
            (false, false) => progress::Way::Lines,
        };
        Self { format, color, quiet, progress: Arc::new(progress::Reporter::new(way)) }
    }

    /// How results are printed.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether results go to a person's terminal.
    pub fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Prints a result for people, as it is.
    pub fn text(&self, text: &str) {
        self.progress.clear();
        let mut out = io::stdout().lock();
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        ignore_closed_pipe(write!(out, "{text}{newline}").and_then(|()| out.flush()));
    }

    /// Prints a result for programs.
    pub fn json<T: serde::Serialize>(&self, value: &T) {
        self.progress.clear();
        let mut out = io::BufWriter::new(io::stdout().lock());
        let written = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
        ignore_closed_pipe(written.and_then(|()| writeln!(out)).and_then(|()| out.flush()));
    }

    /// Standard output, for results that are printed as they come.
    pub fn stream(&self) -> io::StdoutLock<'static> {
        self.progress.clear();
        io::stdout().lock()
    }

    /// Prints a result that stands in a file already.
    pub fn copy(&self, from: &mut impl io::Read) {
        self.progress.clear();
        let mut out = io::stdout().lock();
        ignore_closed_pipe(io::copy(from, &mut out).and_then(|_| out.flush()));
    }

    /// Prints a line beside the result, unless the command is quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.progress.line(text);
        }
    }

    /// Prints a fault in its three parts.
    pub fn fault(&self, fault: &Fault) {
        self.progress.clear();
        match self.format {
            Format::Table => {
                let text = self.fault_text(fault);
                let mut out = io::stderr().lock();
                ignore_closed_pipe(writeln!(out, "{text}"));
            }
            Format::Json => self.json(&fault.to_json()),
        }
    }

    fn fault_text(&self, fault: &Fault) -> String {
        let red = self.painted_on("error:", Tone::Bad, io::stderr().is_terminal());
        let mut lines = vec![format!("{red} {}", fault.message)];
        lines.extend(fault.details.iter().map(|line| format!("    {line}")));
        lines.push(format!("  {}", fault.state));
        if !fault.hint.is_empty() {
            let hint = self.painted_on("hint:", Tone::Strong, io::stderr().is_terminal());
            lines.push(format!("  {hint} {}", fault.hint));
        }
        lines.join("\n")
    }

    /// The text in its colour, where standard output shows colours.
    pub fn painted(&self, text: &str, tone: Tone) -> String {
        self.painted_on(text, tone, io::stdout().is_terminal())
    }

    /// Whether standard output shows colours.
    pub fn colors(&self) -> bool {
        self.shows_color(io::stdout().is_terminal())
    }

    fn shows_color(&self, terminal: bool) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !crate::wire::no_color(),
        }
    }

    fn painted_on(&self, text: &str, tone: Tone, terminal: bool) -> String {
        if !self.shows_color(terminal) {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Strong => Style::new().bold(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Warning => AnsiColor::Yellow.on_default(),
            Tone::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }

    /// Where long jobs report to.
    pub fn progress(&self) -> &dyn Progress {
        self.progress.as_ref()
    }

    /// Asks a person at the terminal; `None` when there is none.
    pub fn ask(&self, question: &str) -> Option<String> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        self.progress.clear();
        let mut err = io::stderr().lock();
        ignore_closed_pipe(write!(err, "{question} ").and_then(|()| err.flush()));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer).ok()?;
        (read > 0).then(|| answer.trim().to_owned())
    }
}

/// A reader that went away wants no more output; that is no failure of the run.
fn ignore_closed_pipe(written: io::Result<()>) {
    drop(written);
}

/// A count with its thousands apart, e.g. `1,829`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds for people.
pub fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}

/// A number of things: `1 root`, `1,826 roots`.
pub fn counted(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// `1 row`, `2 rows`.
pub fn rows(number: u64) -> String {
    counted(number, "row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_three_parts_without_colour_in_a_file() {
        let ui = Ui::new(Format::Table, Color::Auto, false);
        let fault =
            Fault::refused("plan `7f3a` is stale").detail("table `a` is gone").hint("run `unseed plan`");
        let text = ui.fault_text(&fault);
        assert_eq!(
            text,
            "error: plan `7f3a` is stale\n    table `a` is gone\n  nothing was changed\n  hint: run `unseed plan`"
        );
    }

    #[test]
    fn colour_can_be_forced() {
        let ui = Ui::new(Format::Table, Color::Always, false);
        assert_eq!(ui.painted("x", Tone::Strong), "\u{1b}[1mx\u{1b}[0m");
        assert_eq!(Ui::new(Format::Table, Color::Never, false).painted("x", Tone::Strong), "x");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([count(0), count(999), count(1000), count(5_000_000)], ["0", "999", "1,000", "5,000,000"]);
        assert_eq!([duration(12), duration(1250), duration(61_000)], ["12 ms", "1.2 s", "1 min 1 s"]);
    }
}
