//! A scan in the terminal: tables, the most telling findings, what to do.

use super::{harmless, of, samples, share};
use crate::table::Table;
use crate::ui::{Tone, Ui, count};
use unseed_core::detect::{Verdict, time};
use unseed_core::scan::{Finding, Report, TableCount};

/// Findings shown per table and verdict.
const SAMPLES_MAX: usize = 6;
/// Characters of a name that are shown.
const LABEL_CHARS_MAX: usize = 36;

/// The whole report.
pub fn text(report: &Report, ui: &Ui) -> String {
    let mut out = counts(report, ui);
    if let Some(since) = report.since {
        let (first, last) = (time::day_text(since.first), time::day_text(since.last));
        out.push_str(&format!("\ntest rows were created from {first} to {last}\n"));
    }
    let known: u64 = report.tables.iter().map(|t| t.known).sum();
    if known > 0 {
        out.push_str(&format!("\n{} more rows stand in the baseline\n", count(known)));
    }
    for table in &report.tables {
        out.push_str(&findings(report, table, Verdict::Test, ui));
        out.push_str(&findings(report, table, Verdict::Suspect, ui));
    }
    out.push_str(&format!("\n{}\n", ui.painted("next", Tone::Strong)));
    for line in &report.recommendations {
        out.push_str(&format!("  - {line}\n"));
    }
    out
}

fn counts(report: &Report, ui: &Ui) -> String {
    let mut table = Table::new(&["table", "holds", "rows", "test", "suspect", "share"]).right(&[2, 3, 4, 5]);
    for t in &report.tables {
        let tone = if t.test > 0 { Tone::Bad } else { Tone::Good };
        table.row(&[
            t.table.clone(),
            super::plural(t.entity).to_owned(),
            count(t.rows),
            ui.painted(&count(t.test), tone),
            ui.painted(&count(t.suspect), if t.suspect > 0 { Tone::Warning } else { Tone::Plain }),
            share(t.test, t.rows),
        ]);
    }
    table.to_string()
}

/// A few findings of one table, chosen for their variety.
fn findings(report: &Report, table: &TableCount, verdict: Verdict, ui: &Ui) -> String {
    let all = match verdict {
        Verdict::Test => table.test,
        Verdict::Suspect => table.suspect,
        Verdict::Real => 0,
    };
    let shown = samples(of(report, &table.table, verdict), SAMPLES_MAX);
    // Tables that are counted by whom their rows belong to have none of their own.
    if shown.is_empty() {
        return String::new();
    }
    let what = match verdict {
        Verdict::Test => "test data",
        Verdict::Suspect => "suspect",
        Verdict::Real => "real",
    };
    let few = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    let more = if all > few { format!(", {} of {} shown", count(few), count(all)) } else { String::new() };
    let title = ui.painted(&format!("{} in {}", what, table.table), Tone::Strong);
    let mut lines = Table::new(&["score", "key", "name", "why"]);
    for finding in &shown {
        lines.row(&[
            format!("{:.3}", finding.score),
            shortened(&finding.key.describe()),
            shortened(&finding.label),
            reasons(finding),
        ]);
    }
    format!("\n{title}{more}\n{lines}")
}

/// The two strongest reasons, and the strongest against.
fn reasons(finding: &Finding) -> String {
    let mut reasons: Vec<&str> =
        finding.signals.iter().filter(|s| s.weight > 0.0).take(2).map(|s| s.says.as_ref()).collect();
    let against = finding.signals.iter().find(|s| s.weight < -0.5).map(|s| format!("but {}", s.says));
    reasons.extend(against.as_deref());
    reasons.join("; ")
}

/// Without what a terminal would obey, and not too long.
fn shortened(text: &str) -> String {
    harmless(text, LABEL_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;
    use crate::ui::{Color, Format};

    #[test]
    fn the_table_shows_counts_reasons_and_what_to_do() {
        let ui = Ui::new(Format::Table, Color::Never, true);
        let text = text(&report(), &ui);
        assert!(text.contains("public.tenants  tenants  1,839  1,826        1  99.2 %"), "{text}");
        assert!(text.contains("name is nothing but test words (`test`); mail domain is reserved"), "{text}");
        assert!(text.contains("but paid with real money"), "{text}");
        assert!(text.contains("test rows were created from 2025-03-10 to 2026-08-15"), "{text}");
        assert!(text.contains("unseed plan --findings"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colour was asked for");
    }

    #[test]
    fn text_that_commands_a_terminal_is_made_harmless() {
        assert_eq!(shortened("a\u{1b}[2Jb\u{202e}c"), "a[2Jbc");
    }
}
