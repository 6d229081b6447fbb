//! A scan for people: a table for the terminal, a page for everybody else.
//!
//! Both draw the same [`Report`] that `--format json` prints; nothing is computed here but shares and labels.
//!
//! Not here: printing and writing files (`ui`, `wire`).

mod chart;
pub mod html;
pub mod json;
mod listing;
mod style;
pub mod table;

use unseed_core::detect::Verdict;
use unseed_core::entity::Entity;
use unseed_core::scan::{Finding, Report};

/// The plural by which people know an entity.
fn plural(entity: Entity) -> &'static str {
    match entity {
        Entity::Tenant => "tenants",
        Entity::User => "users",
        Entity::Session => "sessions",
        Entity::Payment => "payments",
        Entity::Invoice => "invoices",
        Entity::Subscription => "subscriptions",
        Entity::Other => "other rows",
    }
}

/// Per cent of a whole, with one digit where that says something; never 100 or 0 for nearly so.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let per_mille = part.saturating_mul(1_000) / whole;
    match (part, per_mille) {
        (0, _) => "0 %".to_owned(),
        (_, 0) => "<0.1 %".to_owned(),
        (_, 1_000) => "100 %".to_owned(),
        (_, _) => format!("{}.{} %", per_mille / 10, per_mille % 10),
    }
}

/// A value of a database in so many characters, without those that steer a terminal or a text's direction.
pub(crate) fn harmless(text: &str, chars_max: usize) -> String {
    // One more than fits says whether it was all.
    let plain: String = text.chars().filter(|c| !is_steering(*c)).take(chars_max + 1).collect();
    if plain.chars().count() <= chars_max {
        return plain;
    }
    let cut: String = plain.chars().take(chars_max - 1).collect();
    format!("{}…", cut.trim_end())
}

/// Control characters, and those that turn the direction of the text around them.
pub(crate) fn is_steering(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// Samples of one verdict in one table, as they stand in the report.
fn of<'a>(report: &'a Report, table: &'a str, verdict: Verdict) -> impl Iterator<Item = &'a Finding> {
    report.samples.iter().filter(move |f| f.verdict == verdict && &*f.table == table)
}

/// Findings that show the variety: those whose strongest reasons differ, before more of the same.
fn samples<'a>(findings: impl Iterator<Item = &'a Finding>, count_max: usize) -> Vec<&'a Finding> {
    let mut chosen: Vec<&Finding> = Vec::new();
    let mut more: Vec<&Finding> = Vec::new();
    let reasons = |f: &Finding| -> Vec<&'static str> { f.signals.iter().take(2).map(|s| s.id).collect() };
    for finding in findings {
        if chosen.len() >= count_max {
            break;
        }
        if chosen.iter().any(|c| reasons(c) == reasons(finding)) {
            if more.len() < count_max {
                more.push(finding);
            }
        } else {
            chosen.push(finding);
        }
    }
    let missing = count_max - chosen.len();
    chosen.extend(more.into_iter().take(missing));
    chosen
}

#[cfg(test)]
pub(crate) mod tests;
