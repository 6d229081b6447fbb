//! Results for people: Markdown tables, put between two marks of docs/performance.md; and for programs: JSON lines.

use super::figures::Samples;
use super::machine::{self, Machine};
use super::targets::{Line, Section};
use crate::process;
use anyhow::{Context as _, Result};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

/// Appends one contestant's round to `results.jsonl`.
pub(super) fn record(
    folder: &Path,
    scale: &str,
    round: usize,
    contestant: &str,
    samples: &Samples,
) -> Result<()> {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let line = json!({
        "at": at, "scale": scale, "round": round + 1, "contestant": contestant,
        "load": machine::load(), "samples": samples,
    });
    let path = folder.join("results.jsonl");
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let mut file = file.with_context(|| format!("`{}`", path.display()))?;
    Ok(writeln!(file, "{line}")?)
}

/// All tables of one scale.
pub(super) fn markdown(scale: &str, rounds: usize, machine: &Machine, sections: &[Section]) -> String {
    let word = if rounds == 1 { "round" } else { "rounds" };
    let mut text = format!("{rounds} {word}; {}.\n", machine.in_words());
    for section in sections.iter().filter(|section| !section.lines.is_empty()) {
        text.push_str(&format!("\n**{}, {scale}**\n\n", section.title));
        text.push_str(&table(&section.lines));
    }
    text
}

/// Columns that no line of the section fills are left out.
fn table(lines: &[Line]) -> String {
    let has_ratio = lines.iter().any(|line| line.ratio.is_some());
    let has_target = lines.iter().any(|line| line.target.is_some());
    let mut head = vec!["", "measured"];
    if has_ratio {
        head.extend(["ratio", "beside"]);
    }
    if has_target {
        head.extend(["target", ""]);
    }
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for line in lines {
        let mut cells = vec![line.what.as_str(), line.measured.as_str()];
        if has_ratio {
            cells.extend([line.ratio.as_deref().unwrap_or_default(), line.beside.as_str()]);
        }
        if has_target {
            cells.extend([line.target.as_deref().unwrap_or_default(), verdict(line.is_met)]);
        }
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn verdict(is_met: Option<bool>) -> &'static str {
    match is_met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    }
}

/// Puts the tables of this scale in place of the ones that are there.
pub(super) fn rewrite(scale: &str, tables: &str) -> Result<()> {
    let path = process::root().join("docs/performance.md");
    let page = std::fs::read_to_string(&path).with_context(|| format!("`{}`", path.display()))?;
    let page = between_marks(&page, scale, tables)?;
    std::fs::write(&path, page).with_context(|| format!("`{}`", path.display()))
}

fn between_marks(page: &str, name: &str, tables: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- measured {name} -->"), format!("<!-- end of measured {name} -->"));
    let missing = || format!("docs/performance.md has no `{begin}` … `{end}`");
    let (before, rest) = page.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n{tables}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tables_between_the_marks_change() {
        let page = "a\n<!-- measured M -->\nold\n<!-- end of measured M -->\nz\n";
        let new = between_marks(page, "M", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- measured M -->\nnew\n<!-- end of measured M -->\nz\n");
        assert!(between_marks(page, "S", "new\n").is_err());
    }

    #[test]
    fn a_table_has_only_columns_that_say_something() {
        let line = Line {
            what: "plan".to_owned(),
            measured: "1 s".to_owned(),
            ratio: None,
            beside: String::new(),
            target: Some("≤ 2 s".to_owned()),
            is_met: Some(true),
        };
        let text = table(&[line]);
        assert_eq!(text, "|  | measured | target |  |\n|---|---|---|---|\n| plan | 1 s | ≤ 2 s | met |\n");
    }
}
