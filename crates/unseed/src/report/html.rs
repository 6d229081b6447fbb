//! A scan as one page for people who decide: what, how much, since when, why, what next.
//!
//! Invariants
//! - self-contained: no script, no font, no image, no link to anywhere;
//! - values from the database are escaped by the template, shortened, freed of what steers a text's direction, and
//!   set apart so that they cannot turn the text around them;
//! - says the same figures as the JSON form; what a picture shows stands in a table too.
//!
//! Not here: the look (`style`), the picture (`chart`), rows and tables (`listing`).

use super::{chart, harmless, listing, plural, style};
use crate::ui::count;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use unseed_core::detect::{Thresholds, Verdict, time};
use unseed_core::entity::Entity;
use unseed_core::scan::{Report, TableCount};

/// Signals shown, most frequent first.
const SIGNALS_MAX: usize = 10;
/// Characters of the store's name, its address and the baseline's.
const NAME_CHARS_MAX: usize = 120;

/// When, where and how the scan was made.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Point in time as `2026-03-14T09:26:53Z`.
    pub at: &'a str,
    /// The store's address without any secret.
    pub address: &'a str,
    pub thresholds: Thresholds,
    /// The earlier report whose rows are left out.
    pub baseline: Option<&'a str>,
}

/// The page.
pub fn page(report: &Report, made: &Circumstances<'_>) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Test data in " (harmless(&report.store, NAME_CHARS_MAX)) ", " (day(made.at)) }
                style { (PreEscaped(style::CSS)) }
            }
            body {
                main {
                    (head(report, made))
                    (cards(report))
                    (recommendations(report))
                    (history(report))
                    (signals(report))
                    (listing::tables(report))
                    (listing::findings(report, Verdict::Test))
                    (listing::findings(report, Verdict::Suspect))
                    (foot(made))
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

fn head(report: &Report, made: &Circumstances<'_>) -> Markup {
    let main = main_tables(report);
    let (test, rows): (u64, u64) = (main.iter().map(|t| t.test).sum(), main.iter().map(|t| t.rows).sum());
    let suspects: u64 = report.tables.iter().map(|t| t.suspect).sum();
    let what = main.first().map_or("rows", |t| plural(t.entity));
    let new = if made.baseline.is_some() { " new" } else { "" };
    html! {
        header {
            p { "unseed · report of a scan" }
            @if test > 0 {
                h1 { em { (count(test)) " of " (count(rows)) " " (what) } " are" (new) " test data" }
            } @else if suspects > 0 {
                h1 { "No" (new) " test data for certain, " em { (count(suspects)) " rows to look at" } }
            } @else {
                h1.clean { em { "No" (new) " test data" } " among " (count(rows)) " " (what) }
            }
            p.lead { (lead(report)) @if test > 0 { " Without them " (left(rows - test, main.first())) " left." } }
            (facts(report, made))
        }
    }
}

fn lead(report: &Report) -> String {
    let seen = "Every row was read, and nothing was changed.";
    match report.since {
        Some(since) if since.first != since.last => format!(
            "The first of the test rows was created on {}, the last on {}. {seen}",
            time::day_text(since.first),
            time::day_text(since.last)
        ),
        Some(since) => format!("All test rows were created on {}. {seen}", time::day_text(since.first)),
        None => seen.to_owned(),
    }
}

/// `13 tenants are`.
fn left(rows: u64, table: Option<&&TableCount>) -> String {
    match (rows, table) {
        (1, Some(table)) => format!("1 {} is", plural(table.entity).trim_end_matches('s')),
        (_, table) => format!("{} {} are", count(rows), table.map_or("rows", |t| plural(t.entity))),
    }
}

/// What a reader needs to know to place the report.
fn facts(report: &Report, made: &Circumstances<'_>) -> Markup {
    let known: u64 = report.tables.iter().map(|t| t.known).sum();
    html! {
        dl {
            div { dt { "Store" } dd {
                bdi { (harmless(&report.store, NAME_CHARS_MAX)) }
                @if made.address != report.store { " · " bdi.address { (harmless(made.address, NAME_CHARS_MAX)) } }
            } }
            div { dt { "Read on" } dd { (moment(made.at)) } }
            div { dt { "Called test, suspect" } dd { "from " (percent(made.thresholds.test)) ", from " (percent(made.thresholds.suspect)) } }
            @if let Some(baseline) = made.baseline {
                div { dt { "Left out" } dd { (count(known)) " rows that " bdi { (harmless(baseline, NAME_CHARS_MAX)) } " lists already" } }
            }
        }
    }
}

/// `2026-03-14 09:26 UTC`.
fn moment(at: &str) -> String {
    let minute: String = at.chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect();
    if at.ends_with('Z') { format!("{minute} UTC") } else { minute }
}

fn day(at: &str) -> &str {
    at.get(..10).unwrap_or(at)
}

/// `95 %`, `99.5 %`.
fn percent(share: f64) -> String {
    let digits = format!("{:.1}", share * 100.0);
    format!("{} %", digits.strip_suffix(".0").unwrap_or(&digits))
}

/// A meter filled by a share; the figure stands beside it, so it says nothing to those who cannot see it.
pub(super) fn meter(part: u64, whole: u64) -> Markup {
    let per_mille = part.saturating_mul(1_000).checked_div(whole).unwrap_or(0).min(1_000);
    let width = format!("width:{}.{}%", per_mille / 10, per_mille % 10);
    html! { div.meter aria-hidden="true" { i style=(width) {} } }
}

fn cards(report: &Report) -> Markup {
    html! {
        div.cards {
            @for table in report.tables.iter().filter(|t| t.test > 0).take(6) {
                div.card {
                    b { (count(table.test)) }
                    span { "test " (plural(table.entity)) ", " (super::share(table.test, table.rows)) " of " (count(table.rows)) }
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
    let suspects = report.tables.iter().any(|t| t.suspect > 0);
    html! {
        section {
            h2 { "Since when" }
            p { "Tenants and users by the time they were created." @if suspects { " Suspects are drawn among the real ones." } }
            div.panel {
                div.legend aria-hidden="true" { span { i.t {} "test data" } span { i.r {} "real" } }
                (chart::timeline(&report.timeline))
                (chart::figures(&report.timeline))
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
                table.signs {
                    thead { tr { th scope="col" { "sign" } th.bar aria-hidden="true" {} th.n scope="col" { "test rows" } } }
                    tbody {
                        @for signal in report.signals.iter().take(SIGNALS_MAX) {
                            tr {
                                th scope="row" { (signal.title) }
                                td.bar aria-hidden="true" { (meter(signal.rows, most)) }
                                td.n { (count(signal.rows)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn foot(made: &Circumstances<'_>) -> Markup {
    html! {
        footer {
            p { "The percentage is how sure the scan is that a row is test data, from all signs for and against together. "
                "From " (percent(made.thresholds.test)) " on a row counts as test, from " (percent(made.thresholds.suspect))
                " on as suspect. A plan takes test rows only, and nothing is removed without a plan that somebody approved." }
            p { "Payments, sessions and the like count as test when they belong to a test tenant or user." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{finding, report};

    fn made() -> Circumstances<'static> {
        Circumstances {
            at: "2026-09-01T06:30:12Z",
            address: "postgres://db.example/app",
            thresholds: Thresholds { test: 0.975, suspect: 0.5 },
            baseline: None,
        }
    }

    fn page(report: &Report) -> String {
        super::page(report, &made())
    }

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
            "Without them 13 tenants are left.",
            "2025-03-10",
            "99.2 %",
            "name made of test words",
            "Suspects",
            "paid with real money",
            "at tenants that no longer exist",
            "2026-09-01 06:30 UTC",
            "postgres://db.example/app",
            "from 97.5 %, from 50 %",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("Left out"));
    }

    #[test]
    fn the_page_says_what_a_baseline_left_out() {
        let mut report = report();
        report.tables[0].known = 1_200;
        let page = super::page(&report, &Circumstances { baseline: Some("last.json"), ..made() });
        for part in ["are new test data", "1,200 rows that <bdi>last.json</bdi> lists already", ">1,200<"] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn tables_have_headers_and_pictures_have_words() {
        let page = page(&report());
        assert_eq!(page.matches("<table").count(), page.matches("<thead>").count());
        let cells = page.matches("<th ").count() + page.matches("<th>").count();
        assert_eq!(cells, page.matches("scope=").count() + page.matches("<th class=\"bar\"").count());
        assert!(page.contains("role=\"img\" aria-label=\"Rows created per month"));
        assert!(page.contains("<html lang=\"en\">") && page.contains("name=\"viewport\""));
    }

    #[test]
    fn hostile_values_are_short_harmless_and_set_apart() {
        let mut report = report();
        let evil = format!("</td><script>alert(1)</script>\u{202e}\u{2066}\0{}", "a\u{301}".repeat(500_000));
        report.samples = vec![finding(&evil, 0.999, Verdict::Test, Vec::new())];
        report.samples[0].key.values = [Box::from(evil.as_str())].into();
        report.store = evil.clone();
        let page = page(&report);
        assert!(page.len() < 100_000, "{} bytes", page.len());
        for bad in ["<script", "\u{202e}", "\u{2066}", "\0"] {
            assert!(!page.contains(bad), "{bad:?}");
        }
        assert!(page.contains("<bdi>&lt;/td&gt;&lt;script&gt;"));
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
