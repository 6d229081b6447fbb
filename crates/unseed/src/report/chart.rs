//! Rows created per month, test and real, as a picture (SVG inside the page).
//!
//! Bars are drawn in percent of the fullest month. Long histories are folded into quarters or years, so that a
//! bar stays wide enough to point at.
//!
//! Not here: colours (`style`), they come from the page's classes.

use crate::ui::count;
use maud::{Markup, html};
use unseed_core::scan::Month;

/// Bars that fit side by side.
const BARS_MAX: usize = 48;
const WIDTH: f64 = 960.0;
/// Room for half a label behind the last bar.
const RIGHT: f64 = 14.0;
const HEIGHT: f64 = 220.0;
/// Room for the axis on the left and the months below.
const LEFT: f64 = 56.0;
const BELOW: f64 = 26.0;
const ABOVE: f64 = 10.0;

/// One bar.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bar {
    label: String,
    test: u64,
    real: u64,
}

/// The picture; nothing when there are no dates.
pub(super) fn timeline(months: &[Month]) -> Markup {
    let bars = fold(months);
    let Some(most) = bars.iter().map(|b| b.test + b.real).max().filter(|m| *m > 0) else {
        return html! {};
    };
    let top = round_up(most);
    let plot_width = WIDTH - LEFT - RIGHT;
    let plot_height = HEIGHT - BELOW - ABOVE;
    let step = plot_width / number(bars.len());
    let width = (step * 0.72).clamp(3.0, 46.0);
    let height = |rows: u64| plot_height * float(rows) / float(top);
    let every = (number(bars.len()) * 62.0 / plot_width).ceil().max(1.0);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(spoken(&bars)) {
            @for part in [0.0, 0.5, 1.0] {
                @let y = ABOVE + plot_height * (1.0 - part);
                line class="grid" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(fixed(y)) y2=(fixed(y)) {}
                text class="axis" x=(LEFT - 10.0) y=(fixed(y + 4.0)) text-anchor="end" { (axis(top, part)) }
            }
            @for (index, bar) in bars.iter().enumerate() {
                @let x = LEFT + step * number(index) + (step - width) / 2.0;
                @let (test, real) = (visible(height(bar.test), bar.test), visible(height(bar.real), bar.real));
                @let base = ABOVE + plot_height;
                g class="bar" {
                    title { (bar.label) ": " (count(bar.test)) " test, " (count(bar.real)) " real" }
                    rect class="hover" x=(fixed(x - (step - width) / 2.0)) y=(fixed(ABOVE)) width=(fixed(step)) height=(fixed(plot_height)) {}
                    rect class="real" x=(fixed(x)) y=(fixed(base - real)) width=(fixed(width)) height=(fixed(real)) rx="2" {}
                    rect class="test" x=(fixed(x)) y=(fixed(base - real - test - gap(real, test))) width=(fixed(width)) height=(fixed(test)) rx="2" {}
                }
                @if (number(index) % every) < 0.5 {
                    text class="axis" x=(fixed(x + width / 2.0)) y=(fixed(HEIGHT - 7.0)) text-anchor="middle" { (bar.label) }
                }
            }
        }
    }
}

/// What the picture shows, in a sentence.
fn spoken(bars: &[Bar]) -> String {
    let sum = |rows: fn(&Bar) -> u64| count(bars.iter().map(rows).sum());
    let (first, last) = (bars.first().map_or("", |b| &b.label), bars.last().map_or("", |b| &b.label));
    let fullest = bars.iter().max_by_key(|b| b.test);
    let fullest = fullest.filter(|b| b.test > 0).map(|b| format!(", most test rows in {}", b.label));
    format!(
        "Rows created per month from {first} to {last}: {} test, {} real{}",
        sum(|b| b.test),
        sum(|b| b.real),
        fullest.unwrap_or_default()
    )
}

/// The same as a table.
pub(super) fn figures(months: &[Month]) -> Markup {
    let bars = fold(months);
    html! {
        details {
            summary { "The same in figures" }
            table.figures {
                thead { tr { th scope="col" { "created" } th.n scope="col" { "test" } th.n scope="col" { "real" } } }
                tbody {
                    @for bar in bars.iter().filter(|b| b.test + b.real > 0) {
                        tr { th scope="row" { (bar.label) } td.n { (count(bar.test)) } td.n { (count(bar.real)) } }
                    }
                }
            }
        }
    }
}

/// A month with any row shows at least a line.
fn visible(height: f64, rows: u64) -> f64 {
    if rows == 0 { 0.0 } else { height.max(2.0) }
}

fn gap(real: f64, test: f64) -> f64 {
    if real > 0.0 && test > 0.0 { 1.5 } else { 0.0 }
}

fn fixed(value: f64) -> String {
    format!("{value:.1}")
}

fn number(of: usize) -> f64 {
    f64::from(u32::try_from(of).unwrap_or(u32::MAX))
}

fn float(rows: u64) -> f64 {
    f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
}

/// The label of the axis at a part of its height.
fn axis(top: u64, part: f64) -> String {
    if part < 0.25 {
        "0".to_owned()
    } else if part < 0.75 {
        count(top / 2)
    } else {
        count(top)
    }
}

/// The next even number of the form 2, 4, 6, 8, 10, 12, 16, 20, 40 … that the fullest bar fits under.
fn round_up(most: u64) -> u64 {
    let mut unit = 1;
    loop {
        for factor in [2, 4, 6, 8, 10, 12, 16] {
            if most <= unit * factor {
                return unit * factor;
            }
        }
        unit *= 10;
    }
}

/// Months, or quarters or years where there are too many.
fn fold(months: &[Month]) -> Vec<Bar> {
    let label: fn(&str) -> String = match months.len() {
        0..=BARS_MAX => str::to_owned,
        _ if months.len() <= BARS_MAX * 3 => quarter,
        _ => |month| month.get(..4).unwrap_or(month).to_owned(),
    };
    let mut bars: Vec<Bar> = Vec::new();
    for month in months {
        let label = label(&month.month);
        match bars.last_mut() {
            Some(bar) if bar.label == label => {
                bar.test += month.test;
                bar.real += month.real;
            }
            Some(_) | None => bars.push(Bar { label, test: month.test, real: month.real }),
        }
    }
    bars
}

fn quarter(month: &str) -> String {
    let (year, number) = month.split_once('-').unwrap_or((month, "1"));
    let number: u32 = number.parse().unwrap_or(1);
    format!("{year} Q{}", (number.max(1) - 1) / 3 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn months(count: u64) -> Vec<Month> {
        let month =
            |n: u64| Month { month: format!("{}-{:02}", 2000 + n / 12, n % 12 + 1), test: 1, real: 2 };
        (0..count).map(month).collect()
    }

    #[test]
    fn long_histories_fold_and_lose_nothing() {
        for (count, bars) in [(12, 12), (48, 48), (60, 20), (240, 20)] {
            let folded = fold(&months(count));
            assert_eq!(folded.len(), bars, "{count} months");
            assert_eq!(folded.iter().map(|b| b.test).sum::<u64>(), count);
        }
    }

    #[test]
    fn a_history_without_rows_draws_nothing() {
        assert_eq!(timeline(&[]).into_string(), "");
        assert!(timeline(&months(3)).into_string().contains("2000-01: 1 test, 2 real"));
    }
}
