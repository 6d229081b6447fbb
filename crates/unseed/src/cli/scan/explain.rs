//! `--explain KEY`: every signal of one row, and how they add up to its score.

use super::super::{Done, Env};
use crate::table::Table;
use crate::ui::{Tone, Ui};
use serde_json::{Value, json};
use unseed_core::detect::score::{PRIOR, counted};
use unseed_core::fault::Fault;
use unseed_core::scan::Finding;
use unseed_engine::scan::{Explain, Scanned};

/// The row that `TABLE:KEY` or `KEY` means.
pub(crate) fn asked(text: &str) -> Explain {
    let (table, key) = match text.split_once(':') {
        Some((table, key)) => (Some(table.trim().to_owned()), key),
        None => (None, text),
    };
    Explain { table, key: key.split(',').map(|value| value.trim().to_owned()).collect() }
}

/// Prints the sums of the rows that were found.
pub(super) fn show(env: &Env<'_>, scanned: &Scanned, key: &str) -> Result<Done, Fault> {
    if scanned.explained.is_empty() {
        let tables: Vec<&str> = scanned.report.tables.iter().map(|t| t.table.as_str()).collect();
        return Err(Fault::usage(format!("no tenant or user has the key `{key}`"))
            .hint(format!("give it as `TABLE:KEY`, with one of the tables {}", tables.join(", "))));
    }
    if env.ui.is_table() {
        scanned.explained.iter().for_each(|row| env.ui.text(&text(row, env.ui)));
    } else {
        let rows: Vec<Value> = scanned.explained.iter().map(row).collect();
        env.ui.json(&json!({ "format": "unseed.explain/1", "store": scanned.report.store, "rows": rows }));
    }
    Ok(Done::Success)
}

fn text(row: &Finding, ui: &Ui) -> String {
    let mut table = Table::new(&["counts", "of", "signal", "because"]).right(&[0, 1]);
    table.row(&[
        signed(PRIOR),
        String::new(),
        "prior".to_owned(),
        "one row in twenty is test data".to_owned(),
    ]);
    let counts = counted(&row.signals);
    for (signal, counts) in row.signals.iter().zip(&counts) {
        let whole = (counts - signal.weight).abs() < 1e-9;
        let of = if whole { String::new() } else { signed(signal.weight) };
        table.row(&[signed(*counts), of, signal.id.to_string(), signal.says.to_string()]);
    }
    let sum = PRIOR + counts.iter().sum::<f64>();
    table.row(&[
        signed(sum),
        String::new(),
        String::new(),
        format!("log-odds: probability {:.3}", row.score),
    ]);
    let verdict = ui.painted(row.verdict.word(), Tone::Strong);
    format!("{} {}: {} is {verdict}\n\n{table}", row.table, row.key.describe(), row.label)
}

fn signed(number: f64) -> String {
    format!("{number:+.2}")
}

fn row(row: &Finding) -> Value {
    let counts = counted(&row.signals);
    let sum = PRIOR + counts.iter().sum::<f64>();
    let signals = row.signals.iter().zip(&counts);
    let signals: Vec<Value> = signals
        .map(|(s, counts)| json!({ "id": s.id, "weight": s.weight, "counts": counts, "says": s.says }))
        .collect();
    json!({
        "table": &*row.table, "key": row.key, "label": row.label, "prior": PRIOR, "log_odds": sum,
        "score": row.score, "verdict": row.verdict, "signals": signals,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_name_its_table_and_have_parts() {
        assert_eq!(asked("tenants: 17"), Explain { table: Some("tenants".into()), key: vec!["17".into()] });
        assert_eq!(asked("a, b"), Explain { table: None, key: vec!["a".into(), "b".into()] });
    }
}
