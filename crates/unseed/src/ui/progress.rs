//! Progress on standard error: a moving line on a terminal, otherwise a plain line every few seconds.
//!
//! Not here: what is reported (`engine`), results (`ui`).

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use unseed_core::port::progress::Progress;

/// Pause between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Quiet,
    /// A moving line on a terminal.
    Moving,
    /// Lines in a log.
    Lines,
}

/// Where long jobs report to.
pub(super) struct Reporter {
    way: Way,
    shown: Mutex<Shown>,
}

struct Shown {
    bar: Option<(String, ProgressBar)>,
    stage: String,
    last_line: Instant,
    /// The last line was a reason to wait.
    waits: bool,
}

impl Reporter {
    pub(super) fn new(way: Way) -> Self {
        let shown = Shown { bar: None, stage: String::new(), last_line: Instant::now(), waits: false };
        Self { way, shown: Mutex::new(shown) }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the moving line away.
    pub(super) fn clear(&self) {
        if let Some((_, bar)) = self.shown().bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Prints a line of its own.
    pub(super) fn line(&self, text: &str) {
        match &self.shown().bar {
            Some((_, bar)) => bar.suspend(|| print(text)),
            None => print(text),
        }
    }

    fn update_bar(&self, stage: &str, done: u64, total: Option<u64>) {
        let mut shown = self.shown();
        let same = shown.bar.as_ref().is_some_and(|(name, _)| name == stage);
        if !same {
            if let Some((_, old)) = shown.bar.take() {
                old.finish_and_clear();
            }
            shown.bar = Some((stage.to_owned(), bar(stage, total)));
        }
        if let Some((_, bar)) = &shown.bar {
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
        }
    }

    /// The reason stands where the name of the stage stood, until the stage moves on.
    fn wait_in_bar(&self, reason: &str) {
        let mut shown = self.shown();
        let (name, bar) = shown.bar.get_or_insert_with(|| (String::new(), bar(reason, None)));
        name.clear();
        bar.set_prefix(reason.to_owned());
        bar.tick();
    }

    /// A wait of a moment needs no line, a long one needs few.
    fn wait_in_lines(&self, reason: &str) {
        let mut shown = self.shown();
        let began = !std::mem::replace(&mut shown.waits, true);
        if began || shown.last_line.elapsed() >= LINE_EVERY {
            shown.last_line = Instant::now();
            print(reason);
        }
    }

    fn update_line(&self, stage: &str, done: u64, total: Option<u64>) {
        let mut shown = self.shown();
        shown.waits = false;
        if shown.stage == stage && shown.last_line.elapsed() < LINE_EVERY {
            return;
        }
        // A stage that is over within a moment needs no line.
        if shown.stage != stage {
            stage.clone_into(&mut shown.stage);
            if shown.last_line.elapsed() < LINE_EVERY {
                return;
            }
        }
        shown.last_line = Instant::now();
        let of = total.map_or_else(String::new, |total| format!(" of {}", super::count(total)));
        print(&format!("{stage}: {}{of}", super::count(done)));
    }
}

impl Progress for Reporter {
    fn update(&self, stage: &str, done: u64, total: Option<u64>) {
        match self.way {
            Way::Quiet => {}
            Way::Moving => self.update_bar(stage, done, total),
            Way::Lines => self.update_line(stage, done, total),
        }
    }

    fn waiting(&self, reason: &str) {
        match self.way {
            Way::Quiet => {}
            Way::Moving => self.wait_in_bar(reason),
            Way::Lines => self.wait_in_lines(reason),
        }
    }

    fn note(&self, text: &str) {
        if self.way != Way::Quiet {
            self.line(text);
        }
    }
}

fn bar(stage: &str, total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(8));
    let template = match total {
        Some(_) => "{prefix} [{bar:30}] {human_pos} of {human_len} ({eta})",
        None => "{prefix} {spinner} {human_pos} ({elapsed})",
    };
    let style = ProgressStyle::with_template(template).expect("the templates above are well-formed");
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(stage.to_owned());
    bar
}

fn print(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
