//! How roots, protections and references are written on the command line.
//!
//! Not here: what they do (`core::policy`, `engine::plan`).

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use unseed_core::detect::Verdict;
use unseed_core::fault::Fault;
use unseed_core::policy::{ConfiguredProtection, ConfiguredReference, OnRemove};
use unseed_core::rows::Rows;
use unseed_engine::plan::{Choice, ChoiceRows};
use unseed_engine::scan::Findings;

/// Bytes of a report that are read at once.
const READ_BYTES: usize = 256 << 10;

/// `TABLE: SQL PREDICATE`.
pub(super) fn by_predicate(text: &str) -> Result<Choice, Fault> {
    let (table, predicate) = table_and_predicate(text).ok_or_else(|| {
        Fault::usage(format!("`--where {text}` is not of the form `TABLE: PREDICATE`"))
            .hint("write for example `--where \"tenants: name LIKE 'Test%'\"`")
    })?;
    Ok(Choice {
        table: table.to_owned(),
        rows: ChoiceRows::Where(predicate.to_owned()),
        chosen_by: format!("--where {predicate}"),
    })
}

fn table_and_predicate(text: &str) -> Option<(&str, &str)> {
    let (table, predicate) = text.split_once(':')?;
    let (table, predicate) = (table.trim(), predicate.trim());
    (!table.is_empty() && !predicate.is_empty()).then_some((table, predicate))
}

/// `TABLE=FILE`, one key per line, values of composite keys separated by tabs; `-` is standard input.
pub(super) fn by_ids(text: &str) -> Result<Choice, Fault> {
    let form = || {
        Fault::usage(format!("`--ids {text}` is not of the form `TABLE=FILE`"))
            .hint("write for example `--ids tenants=ids.txt`, or `--ids tenants=-` for standard input")
    };
    let (table, file) = text.split_once('=').ok_or_else(form)?;
    if table.trim().is_empty() || file.is_empty() {
        return Err(form());
    }
    let read = if file == "-" {
        keys(std::io::stdin().lock())
    } else {
        File::open(file).and_then(|from| keys(BufReader::new(from)))
    };
    let keys = read.map_err(|error| {
        Fault::usage(format!("the ids in `{file}` cannot be read: {error}"))
            .hint("name a text file with one key per line")
    })?;
    if keys.is_empty() {
        return Err(
            Fault::usage(format!("the ids file `{file}` holds no key")).hint("write one key per line")
        );
    }
    Ok(Choice {
        table: table.trim().to_owned(),
        chosen_by: format!("--ids {} keys of {file}", keys.len()),
        rows: ChoiceRows::Keys { columns: Vec::new(), keys },
    })
}

/// The keys in a file of ids.
pub(super) fn keys(from: impl BufRead) -> io::Result<Rows> {
    let mut keys = Rows::default();
    for line in from.lines() {
        let line = line?;
        let line = line.trim_end_matches('\r');
        if !line.is_empty() {
            keys.push(&line.split('\t').collect::<Vec<_>>());
        }
    }
    Ok(keys)
}

/// All findings of a scan with verdict `test`.
pub(super) fn by_findings(mut findings: Findings) -> Result<Vec<Choice>, Fault> {
    let mut choices: Vec<Roots> = Vec::new();
    while let Some(finding) = findings.next()? {
        if finding.verdict != Verdict::Test {
            continue;
        }
        // Findings of one table stand together.
        if choices.last().is_none_or(|roots| roots.table != finding.table) {
            let columns = finding.key.columns.to_vec();
            choices.push(Roots { table: finding.table, columns, keys: Rows::default() });
        }
        let roots = choices.last_mut().expect("there is one for this table");
        roots.keys.push(&finding.key.values);
    }
    Ok(choices.into_iter().map(|roots| finding_choice(&roots.table, roots.columns, roots.keys)).collect())
}

/// Keys of one table.
struct Roots {
    table: Arc<str>,
    columns: Vec<String>,
    keys: Rows,
}

fn finding_choice(table: &str, columns: Vec<String>, keys: Rows) -> Choice {
    Choice {
        table: table.to_owned(),
        chosen_by: format!("--findings {} rows with verdict test", keys.len()),
        rows: ChoiceRows::Keys { columns, keys },
    }
}

#[derive(Deserialize)]
struct ReportFile {
    format: String,
    findings: TestFindings,
}

#[derive(Deserialize)]
struct FindingLine {
    table: String,
    key: BTreeMap<String, String>,
    verdict: String,
}

/// Keys of the findings with verdict `test`, by table and key columns. Of a finding no more than that is kept.
struct TestFindings(BTreeMap<(String, Vec<String>), Rows>);

impl<'de> Deserialize<'de> for TestFindings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FindingsVisitor).map(TestFindings)
    }
}

struct FindingsVisitor;

impl<'de> Visitor<'de> for FindingsVisitor {
    type Value = BTreeMap<(String, Vec<String>), Rows>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of findings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut by_table = BTreeMap::new();
        while let Some(finding) = list.next_element::<FindingLine>()? {
            if finding.verdict == "test" {
                let (columns, values): (Vec<String>, Vec<String>) = finding.key.into_iter().unzip();
                let keys: &mut Rows = by_table.entry((finding.table, columns)).or_default();
                keys.push(&values);
            }
        }
        Ok(by_table)
    }
}

/// The same from a report that `scan --format json` printed.
pub(super) fn by_report_file(path: &Path) -> Result<Vec<Choice>, Fault> {
    let shown = path.display();
    let wrong = |why: String| {
        Fault::usage(format!("scan report `{shown}` cannot be used: {why}"))
            .hint("write one with `unseed scan URL --format json > scan.json`")
    };
    let from = File::open(path).map_err(|error| wrong(error.to_string()))?;
    by_report(BufReader::with_capacity(READ_BYTES, from)).map_err(wrong)
}

/// The same from the report itself; in words what is wrong with it.
pub(super) fn by_report(from: impl Read) -> Result<Vec<Choice>, String> {
    let file: ReportFile = serde_json::from_reader(from).map_err(|error| error.to_string())?;
    if file.format != unseed_core::scan::FORMAT {
        return Err(format!("its format is `{}`", file.format));
    }
    let by_table = file.findings.0;
    Ok(by_table.into_iter().map(|((table, columns), keys)| finding_choice(&table, columns, keys)).collect())
}

/// `TABLE.COLUMN=value,value` or `TABLE: PREDICATE`.
pub(super) fn protection(text: &str) -> Result<ConfiguredProtection, Fault> {
    let wrong = || {
        Fault::usage(format!("`--protect {text}` is neither `TABLE.COLUMN=value,…` nor `TABLE: PREDICATE`"))
            .hint("write for example `--protect 'tenants.id=1,2'` or `--protect \"tenants: plan = 'paid'\"`")
    };
    let values_first = match (text.find('='), text.find(':')) {
        (Some(equals), Some(colon)) => equals < colon,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if !values_first {
        let (table, predicate) = table_and_predicate(text).ok_or_else(wrong)?;
        return Ok(ConfiguredProtection {
            table: table.to_owned(),
            column: None,
            values: Vec::new(),
            predicate: Some(predicate.to_owned()),
        });
    }
    let (place, values) = text.split_once('=').ok_or_else(wrong)?;
    let (table, column) = place.trim().rsplit_once('.').ok_or_else(wrong)?;
    let values: Vec<String> =
        values.split(',').map(str::trim).filter(|value| !value.is_empty()).map(ToOwned::to_owned).collect();
    if values.is_empty() || table.is_empty() || column.is_empty() {
        return Err(wrong());
    }
    Ok(ConfiguredProtection {
        table: table.to_owned(),
        column: Some(column.to_owned()),
        values,
        predicate: None,
    })
}

/// `FROM -> TO [delete|detach|keep]`.
pub(super) fn reference(text: &str) -> Result<ConfiguredReference, Fault> {
    let wrong = || {
        Fault::usage(format!(
            "`--reference {text}` is not of the form `TABLE.COLUMN -> TABLE.COLUMN [delete|detach|keep]`"
        ))
        .hint("write for example `--reference 'audit_logs.tenant_id -> tenants.id delete'`")
    };
    let (from, rest) = text.split_once("->").or_else(|| text.split_once('→')).ok_or_else(wrong)?;
    let (to, word) = match rest.trim().rsplit_once(char::is_whitespace) {
        Some((to, word)) => (to.trim(), word),
        None => (rest.trim(), "delete"),
    };
    let on_remove = match word {
        "delete" => OnRemove::Delete,
        "detach" => OnRemove::Detach,
        "keep" => OnRemove::Keep,
        _ => return Err(wrong()),
    };
    if !from.contains('.') || !to.contains('.') {
        return Err(wrong());
    }
    Ok(ConfiguredReference {
        from: from.trim().to_owned(),
        to: to.to_owned(),
        on_remove,
        when: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates_keep_everything_after_the_first_colon() {
        let choice = by_predicate("public.tenants: name::text LIKE 'a:b%'").unwrap();
        assert_eq!(choice.table, "public.tenants");
        assert_eq!(choice.rows, ChoiceRows::Where("name::text LIKE 'a:b%'".to_owned()));
        for wrong in ["tenants", ": x", "tenants:  "] {
            assert!(by_predicate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_come_one_per_line_and_tabs_part_composite_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ids");
        std::fs::write(&file, "1\tx y\r\n\n2\tb=c\n").unwrap();
        let choice = by_ids(&format!("t={}", file.display())).unwrap();
        let keys = [["1", "x y"], ["2", "b=c"]].map(|key| key.to_vec()).into_iter().collect();
        assert_eq!(choice.rows, ChoiceRows::Keys { columns: Vec::new(), keys });
        for wrong in ["t", "=x", "t=/no/such/file"] {
            assert!(by_ids(wrong).is_err(), "{wrong}");
        }
        std::fs::write(&file, "\n").unwrap();
        assert!(
            by_ids(&format!("t={}", file.display())).is_err(),
            "an empty list must not choose everything"
        );
    }

    #[test]
    fn protections_are_values_or_a_predicate() {
        let values = protection("public.tenants.id=1, b:c").unwrap();
        assert_eq!((values.table.as_str(), values.column.as_deref()), ("public.tenants", Some("id")));
        assert_eq!(values.values, ["1", "b:c"]);
        let predicate = protection("tenants: plan = 'paid'").unwrap();
        assert_eq!(predicate.predicate.as_deref(), Some("plan = 'paid'"));
        for wrong in ["tenants", "tenants=1", "tenants.id=", "tenants.id= ,"] {
            assert!(protection(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn references_say_what_happens_on_removal() {
        let plain = reference("audit_logs.tenant_id -> tenants.id").unwrap();
        assert_eq!((plain.from.as_str(), plain.to.as_str()), ("audit_logs.tenant_id", "tenants.id"));
        assert_eq!(plain.on_remove, OnRemove::Delete);
        assert_eq!(reference("a.b → c.d detach").unwrap().on_remove, OnRemove::Detach);
        for wrong in ["a.b", "a -> b.c", "a.b -> c.d cascade"] {
            assert!(reference(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn findings_of_a_report_file_become_roots_per_table() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scan.json");
        let text = r#"{"format":"unseed.scan/1","store":"main","complete":true,"tables":[],"findings":[
            {"table":"t","key":{"a":"1","b":"2"},"label":"","score":1,"verdict":"test","signals":[]},
            {"table":"t","key":{"a":"3","b":"4"},"label":"","score":0.5,"verdict":"suspect","signals":[]}]}"#;
        std::fs::write(&file, text).unwrap();
        let choices = by_report_file(&file).unwrap();
        assert_eq!(choices.len(), 1);
        let columns = vec!["a".to_owned(), "b".to_owned()];
        let keys = [vec!["1", "2"]].into_iter().collect();
        assert_eq!(choices[0].rows, ChoiceRows::Keys { columns, keys });
    }
}
