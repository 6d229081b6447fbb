//! What is compared with what, and which ratio or limit is good enough.
//!
//! Targets hold at scale M. At S a process start weighs as much as the work, at L the disk does.

use super::figures::Figures;

/// One line of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) what: String,
    /// Seconds, or another measure.
    pub(super) measured: String,
    /// How many times the line it is compared with.
    pub(super) ratio: Option<String>,
    pub(super) beside: String,
    pub(super) target: Option<String>,
    pub(super) is_met: Option<bool>,
}

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
}

/// Something measured in seconds: what, its parts (`-` counts negative), what it is compared with, the most it may be.
pub(super) type Compared<'a> = (&'a str, &'a [&'a str], &'a str, &'a [&'a str], Option<f64>);

/// Something with a limit of its own: what, its parts of which the worst counts, unit, limit.
pub(super) type Limited<'a> = (&'a str, &'a [&'a str], &'a str, Option<f64>);

const EXPERT: &str = "expert's SQL";

const REMOVAL: [Compared<'_>; 16] = [
    (
        "expert's SQL: key tables, missing indexes, ordered DELETEs, one transaction",
        &["expert"],
        EXPERT,
        &["expert"],
        None,
    ),
    ("… with an archive (COPY, zstd)", &["archived"], EXPERT, &["expert"], None),
    ("… triggers off, proven by sets", &["replica"], EXPERT, &["expert"], None),
    ("script with a DELETE per table and tenant (extrapolated)", &["naive"], EXPERT, &["expert"], None),
    (
        "**unseed, fast**: plan and purge without archive",
        &["turns.plan", "turns.prepare", "turns.close", "turns.remove", "turns.finish"],
        EXPERT,
        &["expert"],
        Some(0.30),
    ),
    (
        "… while the next batches are archived beside it",
        &["fast.plan", "fast.prepare", "fast.close", "fast.remove", "fast.finish"],
        EXPERT,
        &["expert"],
        None,
    ),
    (
        "**unseed, fast**: whole run (plan, archive, remove, verify)",
        &["fast.plan", "fast.purge", "fast.verify"],
        EXPERT,
        &["expert"],
        Some(0.45),
    ),
    (
        "… beside the expert who archives too",
        &["fast.plan", "fast.purge", "fast.verify"],
        "expert's SQL with archive",
        &["archived"],
        None,
    ),
    ("… beside the script", &["fast.plan", "fast.purge", "fast.verify"], "script", &["naive"], Some(0.01)),
    (
        "unseed, checked, batches: plan and purge without archive",
        &["checked.plan", "checked.prepare", "checked.close", "checked.remove", "checked.finish"],
        EXPERT,
        &["expert"],
        Some(1.5),
    ),
    (
        "unseed, checked, batches: whole run",
        &["checked.plan", "checked.purge", "checked.verify"],
        EXPERT,
        &["expert"],
        Some(1.5),
    ),
    (
        "unseed, checked, one transaction: plan and purge without archive",
        &["whole.plan", "whole.prepare", "whole.close", "whole.remove", "whole.finish"],
        EXPERT,
        &["expert"],
        Some(1.1),
    ),
    (
        "unseed, rewrite: plan and purge without archive",
        &["rewrite.plan", "rewrite.prepare", "rewrite.close", "rewrite.remove", "rewrite.finish"],
        EXPERT,
        &["expert"],
        Some(0.1),
    ),
    (
        "unseed, rewrite: whole run",
        &["rewrite.plan", "rewrite.purge", "rewrite.verify"],
        EXPERT,
        &["expert"],
        None,
    ),
    ("unseed, fast: restore everything", &["fast.restore"], EXPERT, &["expert"], None),
    ("unseed, checked: restore everything", &["checked.restore"], EXPERT, &["expert"], None),
];

const STAGES: [Compared<'_>; 10] = [
    (
        "scan, nearly all rows are findings",
        &["scan.crowded"],
        "psql COPY of the columns",
        &["scan.crowded.copy"],
        Some(1.5),
    ),
    ("", &["scan.crowded"], "regular expressions in the server", &["scan.crowded.regex"], Some(0.6)),
    (
        "scan, one row in a hundred is a finding",
        &["scan.sparse"],
        "psql COPY of the columns",
        &["scan.sparse.copy"],
        Some(1.5),
    ),
    ("", &["scan.sparse"], "regular expressions in the server", &["scan.sparse.regex"], Some(0.6)),
    (
        "plan: whole closure, counts, conflicts",
        &["fast.plan"],
        "key tables over `tenant_id`",
        &["keys"],
        Some(2.5),
    ),
    (
        "archive: compressed, on disk, while nothing else is done",
        &["whole.archive"],
        "psql COPY of the same rows to nowhere",
        &["copy"],
        Some(1.6),
    ),
    ("", &["whole.archive"], "`pg_dump -Fc`", &["dump"], Some(0.35)),
    (
        "looks before, looks after, `verify`",
        &["fast.prepare", "fast.finish", "fast.verify"],
        EXPERT,
        &["expert"],
        Some(0.05),
    ),
    ("… `verify` alone", &["fast.verify"], EXPERT, &["expert"], None),
    (
        "closure of the purge, which repeats the plan's",
        &["fast.close"],
        "key tables over `tenant_id`",
        &["keys"],
        None,
    ),
];

const LIMITS: [Limited<'_>; 18] = [
    (
        "statements of a purge without those that only archive, fast",
        &["fast.statements.not_archive"],
        "",
        Some(500.0),
    ),
    (
        "statements of a purge without those that only archive, checked",
        &["checked.statements.not_archive"],
        "",
        Some(500.0),
    ),
    ("… all of them, fast", &["fast.statements"], "", None),
    ("… all of them, checked", &["checked.statements"], "", None),
    ("… in the server's log, fast: plan", &["fast.log.plan"], "", None),
    ("… in the server's log, fast: purge", &["fast.log.purge"], "", None),
    ("… in the server's log, fast: verify", &["fast.log.verify"], "", None),
    ("longest transaction that holds locks, checked", &["checked.longest"], " s", Some(0.5)),
    ("longest transaction that holds locks, fast", &["fast.longest"], " s", Some(0.5)),
    ("… in the server's log, fast", &["fast.log.longest_holding"], " s", None),
    ("… one that only reads included, as the closure does", &["fast.log.longest"], " s", None),
    ("memory of plan", &["fast.plan.mib", "checked.plan.mib"], " MiB", Some(200.0)),
    ("memory of purge", &["fast.purge.mib", "checked.purge.mib"], " MiB", Some(200.0)),
    ("memory of verify", &["fast.verify.mib", "checked.verify.mib"], " MiB", Some(200.0)),
    ("memory of restore", &["fast.restore.mib", "checked.restore.mib"], " MiB", Some(200.0)),
    ("memory of a scan, nearly all rows are findings", &["scan.crowded.mib"], " MiB", Some(200.0)),
    ("memory of a scan, one row in a hundred is a finding", &["scan.sparse.mib"], " MiB", Some(200.0)),
    ("memory of a scan of the workload", &["fast.scan.mib", "checked.scan.mib"], " MiB", Some(200.0)),
];

const WHERE: [Limited<'_>; 12] = [
    ("batches, fast", &["fast.batches"], "", None),
    ("rows removed", &["fast.rows"], "", None),
    ("archive", &["fast.archive_mib"], " MiB", None),
    ("unseed, fast: purge, looks before", &["fast.prepare"], " s", None),
    ("unseed, fast: purge, closure", &["fast.close"], " s", None),
    ("unseed, fast: purge, archive", &["fast.archive"], " s", None),
    ("unseed, fast: purge, removal", &["fast.remove"], " s", None),
    ("unseed, fast: purge, looks after", &["fast.finish"], " s", None),
    ("unseed, checked: purge, closure", &["checked.close"], " s", None),
    ("unseed, checked: purge, removal", &["checked.remove"], " s", None),
    ("expert: key tables", &["expert.plan"], " s", None),
    ("expert: deletes", &["expert.delete"], " s", None),
];

/// All tables; what was not measured has no line.
pub(super) fn compare(figures: &Figures) -> Vec<Section> {
    vec![
        Section { title: "Removal", lines: compared(figures, &REMOVAL) },
        Section { title: "Stages", lines: compared(figures, &STAGES) },
        Section {
            title: "Limits (the worst of all rounds)",
            lines: limited(figures, &LIMITS, Figures::highest),
        },
        Section { title: "Where the time goes (medians)", lines: limited(figures, &WHERE, Figures::median) },
    ]
}

pub(super) fn compared(figures: &Figures, lines: &[Compared<'_>]) -> Vec<Line> {
    let line = |(what, parts, beside, base, target): &Compared<'_>| {
        let ratio = figures.ratio(parts, base)?;
        Some(Line {
            what: (*what).to_owned(),
            measured: format!("{} s", shown(figures.sum_of_medians(parts)?)),
            ratio: Some(times(ratio)),
            beside: format!("{beside}, {} s", shown(figures.sum_of_medians(base)?)),
            target: target.map(|most| format!("≤ {most}×")),
            is_met: target.map(|most| ratio <= most),
        })
    };
    lines.iter().filter_map(line).collect()
}

pub(super) fn limited(
    figures: &Figures,
    lines: &[Limited<'_>],
    pick: fn(&Figures, &str) -> Option<f64>,
) -> Vec<Line> {
    let line = |(what, parts, unit, limit): &Limited<'_>| {
        let worst = parts.iter().filter_map(|part| pick(figures, part)).reduce(f64::max)?;
        Some(Line {
            what: (*what).to_owned(),
            measured: format!("{}{unit}", shown(worst)),
            ratio: None,
            beside: String::new(),
            target: limit.map(|most| format!("≤ {most}{unit}")),
            is_met: limit.map(|most| worst <= most),
        })
    };
    lines.iter().filter_map(line).collect()
}

fn times(ratio: f64) -> String {
    if ratio >= 10.0 {
        format!("{ratio:.0}×")
    } else if ratio >= 0.1 {
        format!("{ratio:.2}×")
    } else {
        format!("{ratio:.3}×")
    }
}

/// About three digits; whole numbers stay whole.
fn shown(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1000.0 {
        return grouped(&format!("{value:.0}"));
    }
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::Samples;

    #[test]
    fn a_missed_target_is_told() {
        let mut figures = Figures::default();
        let samples = [
            ("expert", 10.0),
            ("turns.plan", 1.0),
            ("turns.prepare", 0.5),
            ("turns.close", 1.0),
            ("turns.remove", 1.0),
            ("turns.finish", 0.5),
            ("fast.statements.not_archive", 501.0),
        ];
        figures.add(Samples::from(samples.map(|(name, value)| (name.to_owned(), value))));
        let sections = compare(&figures);
        let removal = sections[0].lines.iter().find(|line| line.target.is_some()).unwrap();
        assert_eq!((removal.ratio.as_deref(), removal.is_met), (Some("0.40×"), Some(false)));
        assert_eq!(
            (sections[2].lines[0].measured.as_str(), sections[2].lines[0].is_met),
            ("501", Some(false))
        );
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(shown(2_034_123.0), "2,034,123");
        assert_eq!(
            (shown(0.256).as_str(), shown(12.34).as_str(), shown(500.0).as_str()),
            ("0.26", "12.3", "500")
        );
    }
}
