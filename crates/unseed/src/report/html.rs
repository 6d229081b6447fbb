//! A scan as one page for people who decide: what, how much, since when, why, what next.
//!
//! Invariants
//! - self-contained: no script, no font, no image, no link to anywhere;
//! - values from the database are escaped by the template and never trusted;
//! - says the same figures as the JSON form.
//!
//! Not here: the look (`style`), the picture (`chart`).

use super::{chart, of, plural, samples, share, style};
use crate::ui::count;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use unseed_core::detect::{Verdict, time};
use unseed_core::entity::Entity;
use unseed_core::scan::{Finding, Report, TableCount};

/// Findings shown per table and verdict.
const SAMPLES_MAX: usize = 8;
/// Signals shown, most frequent first.
const SIGNALS_MAX: usize = 10;
/// Reasons shown per finding.
const REASONS_MAX: usize = 4;

/// The page.
pub fn page(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Test data in " (report.store) }
                style { (PreEscaped(style::CSS)) }
            }
            body {
                main {
                    (head(report))
                    (cards(report))
                    (recommendations(report))
                    (history(report))
                    (signals(report))
                    (tables(report))
                    (findings(report, Verdict::Test))
                    (findings(report, Verdict::Suspect))
                    (foot())
                }
            }
        }
    };
    page.into_string()
}

/// Tables of tenants, else of users: what the headline speaks of.
fn main_tables(report: &Report) -> Vec<&TableCount> {
    let of = |entity: Entity| report.tables.iter().filter(move |t| t.entity == entity);
    let tenants: Vec<&TableCount> = of(Entity::Tenant).collect();
    if tenants.is_empty() { of(Entity::User).collect() } else { tenants }
}

fn head(report: &Report) -> Markup {
    let main = main_tables(report);
    let (test, rows) = (main.iter().map(|t| t.test).sum(), main.iter().map(|t| t.rows).sum());
    let suspects: u64 = report.tables.iter().map(|t| t.suspect).sum();
    let what = main.first().map_or("rows", |t| plural(t.entity));
    html! {
        header {
            p { "unseed · scan of store " strong { (report.store) } }
            @if test > 0 {
                h1 { em { (count(test)) " of " (count(rows)) " " (what) } " are test data" }
            } @else if suspects > 0 {
                h1 { "No test data for certain, " em { (count(suspects)) " rows to look at" } }
            } @else {
                h1.clean { em { "No test data" } " among " (count(rows)) " " (what) }
            }
            p.lead { (lead(report)) }
        }
    }
}

fn lead(report: &Report) -> String {
    let seen = "Every row of the tables below was read.";
    match report.since {
        Some(since) if since.first != since.last => format!(
            "The first of them was created on {}, the last on {}. {seen}",
            time::day_text(since.first),
            time::day_text(since.last)
        ),
        Some(since) => format!("All of them were created on {}. {seen}", time::day_text(since.first)),
        None => seen.to_owned(),
    }
}

/// A meter filled by a share.
fn meter(part: u64, whole: u64) -> Markup {
    let per_mille = part.saturating_mul(1_000).checked_div(whole).unwrap_or(0);
    let width = format!("width:{}.{}%", per_mille / 10, per_mille % 10);
    html! { div.meter { i style=(width) {} } }
}

fn cards(report: &Report) -> Markup {
    html! {
        div.cards {
            @for table in report.tables.iter().filter(|t| t.test > 0).take(6) {
                div.card {
                    b { (count(table.test)) }
                    span { "test " (plural(table.entity)) ", " (share(table.test, table.rows)) " of " (count(table.rows)) }
                    (meter(table.test, table.rows))
                }
            }
        }
    }
}

fn recommendations(report: &Report) -> Markup {
    html! {
        section {
            h2 { "What to do" }
            p { "In this order." }
            div.panel { ol { @for line in &report.recommendations { li { (with_code(line)) } } } }
        }
    }
}

/// Sets what stands between backticks as code.
fn with_code(line: &str) -> Markup {
    html! {
        @for (index, part) in line.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn history(report: &Report) -> Markup {
    if report.timeline.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Since when" }
            p { "Tenants and users by the time they were created." }
            div.panel {
                div.legend { span { i.t {} "test data" } span { i.r {} "real" } }
                (chart::timeline(&report.timeline))
            }
        }
    }
}

fn signals(report: &Report) -> Markup {
    let Some(most) = report.signals.first().map(|s| s.rows) else { return html! {} };
    html! {
        section {
            h2 { "What gives them away" }
            p { "How many test rows show each sign. Most show several." }
            div.panel {
                div.bars {
                    @for signal in report.signals.iter().take(SIGNALS_MAX) {
                        span { (signal.title) }
                        (meter(signal.rows, most))
                        span.n { (count(signal.rows)) }
                    }
                }
            }
        }
    }
}

fn tables(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Tables" }
            p { "Payments, sessions and the like count as test when they belong to a test tenant or user." }
            div.panel { div.scroll {
                table {
                    thead { tr { th { "table" } th { "holds" } th.n { "rows" } th.n { "test" } th.n { "suspect" } th.share { "share" } } }
                    tbody {
                        @for t in &report.tables {
                            tr {
                                td.name { (t.table) }
                                td { (plural(t.entity)) }
                                td.n { (count(t.rows)) }
                                td.n.bad[t.test > 0] { (count(t.test)) }
                                td.n.warn[t.suspect > 0] { (count(t.suspect)) }
                                td.share { (share(t.test, t.rows)) (meter(t.test, t.rows)) }
                            }
                        }
                    }
                }
                @for orphan in &report.orphans {
                    p.key { (count(orphan.rows)) " rows of " (orphan.table) " point by " (orphan.column) " at tenants that no longer exist" }
                }
            } }
        }
    }
}

fn findings(report: &Report, verdict: Verdict) -> Markup {
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
                    h3 { (table.table) " " small { (shown.len()) " of " (count(if verdict == Verdict::Test { table.test } else { table.suspect })) } }
                    div.scroll { table { tbody { @for finding in shown { (row(finding)) } } } }
                }
            }
        }
    }
}

fn row(finding: &Finding) -> Markup {
    html! {
        tr {
            td style="width:34%" { div.name { (finding.label) } div.key { (finding.key.describe()) } }
            td { div.why {
                @for signal in finding.signals.iter().take(REASONS_MAX) {
                    span.against[signal.weight < 0.0] title=(format!("{} {:+.1}", signal.id, signal.weight)) { (signal.says.replace('`', "")) }
                }
            } }
            td.n { span class=(format!("score {}", finding.verdict.word())) { (format!("{:.1} %", finding.score * 100.0)) } }
        }
    }
}

fn foot() -> Markup {
    html! {
        footer {
            p { "The percentage is how sure the scan is that a row is test data, from all signs for and against together. "
                "From 95 % on a row counts as test, from 50 % on as suspect." }
            p { "Nothing was changed by this scan." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_page_is_self_contained_and_escapes_values() {
        let page = page(&report());
        for foreign in ["http://", "https://", "<script", "<link", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("Test Tenant &lt;b&gt;1712345678"));
        assert!(!page.contains("<b>1712345678"));
    }

    #[test]
    fn the_page_tells_what_how_much_and_since_when() {
        let page = page(&report());
        for part in [
            "1,826 of 1,839 tenants",
            "2025-03-10",
            "99.2 %",
            "name made of test words",
            "Suspects",
            "paid with real money",
            "at tenants that no longer exist",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_clean_store_says_so() {
        let mut clean = report();
        clean.tables[0].test = 0;
        clean.tables[0].suspect = 0;
        clean.findings.clear();
        assert!(page(&clean).contains("No test data"));
    }
}
