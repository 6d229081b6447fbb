//! Tables of a scan and rows of them, as parts of the page.
//!
//! Invariants
//! - every table has headers; every value of a database is short, harmless and set apart.

use super::html::meter;
use super::{harmless, of, plural, samples, share};
use crate::ui::count;
use maud::{Markup, html};
use unseed_core::detect::Verdict;
use unseed_core::scan::{Finding, Report, TableCount};

/// Findings shown per table and verdict.
const SAMPLES_MAX: usize = 8;
/// Reasons shown per finding.
const REASONS_MAX: usize = 4;
/// Characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 80;

/// A value of the database.
fn value(text: &str) -> Markup {
    html! { bdi { (harmless(text, VALUE_CHARS_MAX)) } }
}

/// All tables that were read or counted.
pub(super) fn tables(report: &Report) -> Markup {
    let known = report.tables.iter().any(|t| t.known > 0);
    html! {
        section {
            h2 { "Tables" }
            p { "What was read, and how much of it is test data." }
            div.panel { div.scroll {
                table.counts {
                    thead { tr {
                        th scope="col" { "table" } th scope="col" { "holds" } th.n scope="col" { "rows" }
                        th.n scope="col" { "test" } th.n scope="col" { "suspect" }
                        @if known { th.n scope="col" { "left out" } }
                        th.share scope="col" { "share" }
                    } }
                    tbody { @for t in &report.tables { (table(t, known)) } }
                }
                @for orphan in &report.orphans {
                    p.key { (count(orphan.rows)) " rows of " (orphan.table) " point by " (orphan.column) " at tenants that no longer exist" }
                }
            } }
        }
    }
}

fn table(t: &TableCount, known: bool) -> Markup {
    html! {
        tr {
            th.name scope="row" { (value(&t.table)) }
            td { (plural(t.entity)) }
            td.n { (count(t.rows)) }
            td.n.bad[t.test > 0] { (count(t.test)) }
            td.n.warn[t.suspect > 0] { (count(t.suspect)) }
            @if known { td.n { (count(t.known)) } }
            td.share { (share(t.test, t.rows)) (meter(t.test, t.rows)) }
        }
    }
}

/// A few findings of each table, chosen for their variety.
pub(super) fn findings(report: &Report, verdict: Verdict) -> Markup {
    let (title, explains) = match verdict {
        Verdict::Test => {
            ("Samples of test data", "Chosen to show different reasons; the full list is in the JSON form.")
        }
        Verdict::Suspect => (
            "Suspects",
            "Signs of test data, but not enough of them. A person decides; no plan takes them on its own.",
        ),
        Verdict::Real => return html! {},
    };
    let found: Vec<(&TableCount, Vec<&Finding>)> = report
        .tables
        .iter()
        .map(|t| (t, samples(of(report, &t.table, verdict), SAMPLES_MAX)))
        .filter(|(_, shown)| !shown.is_empty())
        .collect();
    if found.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { (title) }
            p { (explains) }
            div.panel {
                @for (table, shown) in &found {
                    @let all = if verdict == Verdict::Test { table.test } else { table.suspect };
                    h3 { (value(&table.table)) " " small { (shown.len()) " of " (count(all)) } }
                    div.scroll { table.rows {
                        thead { tr { th scope="col" { "row" } th scope="col" { "because" } th.n scope="col" { "sure" } } }
                        tbody { @for finding in shown { (row(finding)) } }
                    } }
                }
            }
        }
    }
}

fn row(finding: &Finding) -> Markup {
    html! {
        tr {
            th scope="row" { div.name { (value(&finding.label)) } div.key { (value(&finding.key.describe())) } }
            td { ul.why {
                @for signal in finding.signals.iter().take(REASONS_MAX) {
                    @let against = signal.weight < 0.0;
                    li.against[against] title=(format!("{} {:+.1}", signal.id, signal.weight)) {
                        @if against { "but " }
                        (harmless(&signal.says.replace('`', ""), VALUE_CHARS_MAX * 2))
                    }
                }
            } }
            td.n { span class=(format!("score {}", finding.verdict.word())) { (format!("{:.1} %", finding.score * 100.0)) } }
        }
    }
}
