//! What must be true of journal, audit log, archive and database once a run is settled.

use crate::lab::{Lab, Picture};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use unseed_core::port::state::AuditEntry;

/// Every batch of a run is settled, told in the audit log, and claims its segment; no other segment is left.
#[track_caller]
pub(super) fn assert_settled(lab: &Lab<'_>, run: &str, context: &str) {
    let told = lab.state(&format!("SELECT object, outcome FROM audit WHERE object LIKE '{run}/%'"));
    let is_told = |number: &Value, outcome: &str| {
        told.lines().any(|line| line.starts_with(&format!("{run}/{number}|{outcome}")))
    };
    let mut committed = Vec::new();
    let batches = lab.state(&format!("SELECT body FROM batches WHERE run = '{run}' ORDER BY number"));
    for line in batches.lines() {
        let batch: Value = serde_json::from_str(line).unwrap();
        let number = &batch["number"];
        // What was never archived need not have come as far as its first entry.
        let is_begun = is_told(number, "started") || batch["segment"] == "";
        let ends = match batch["state"].as_str().unwrap() {
            "committed" => {
                committed.push(format!("batch-{:04}", number.as_u64().unwrap()));
                is_told(number, "committed")
            }
            "discarded" => is_told(number, "rolled back"),
            open => panic!("{context}: batch {number} is {open}"),
        };
        assert!(is_begun && ends, "{context}: the audit log tells what became of batch {number}: {told}");
    }
    let mut folders: Vec<String> = std::fs::read_dir(lab.path(&format!(".unseed/archive/{run}")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("batch-"))
        .collect();
    folders.sort();
    assert_eq!(folders, committed, "{context}: every segment is claimed");
}

/// Every entry of the audit log has the hash of all entries up to it.
#[track_caller]
pub(super) fn assert_chained(lab: &Lab<'_>, context: &str) {
    let mut previous = String::new();
    let log = lab.state("SELECT hash, at, actor, action, object, outcome FROM audit ORDER BY sequence");
    for line in log.lines() {
        let fields: Vec<String> = line.splitn(6, '|').map(str::to_owned).collect();
        let [hash, at, actor, action, object, outcome] = fields.try_into().unwrap();
        let entry = AuditEntry { at, actor, action, object, outcome };
        let text = format!("{previous}\n{}", serde_json::to_string(&entry).unwrap());
        assert_eq!(hash, blake3::hash(text.as_bytes()).to_hex().as_str(), "{context}: {entry:?}");
        previous = hash;
    }
    assert_ne!(previous, "", "{context}: something was told");
}

/// The rows in all segments of a run, claimed or not, by table as a picture names them.
pub(super) fn archived(lab: &Lab<'_>, run: &str) -> Picture {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut waiting = vec![lab.path(&format!(".unseed/archive/{run}"))];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if entry.path().is_dir() {
                waiting.push(entry.path());
            }
            let stem = name.strip_suffix(".copy.gz").or_else(|| name.strip_suffix(".sql.gz"));
            let Some(table) = stem.filter(|stem| !stem.contains("detached")) else { continue };
            let in_database = lab.url().starts_with("mysql:").then(|| table.split_once('.')).flatten();
            let table = in_database.map_or(table, |(_, table)| table);
            let output = Command::new("gunzip").arg("-c").arg(entry.path()).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with("INSERT INTO "));
            let plain = |line: &str| match line.strip_prefix('(') {
                Some(values) => values.trim_end_matches([',', ';']).trim_end_matches(')').to_owned(),
                None => line.to_owned(),
            };
            rows.entry(table.to_owned()).or_default().extend(lines.map(plain));
        }
    }
    rows.values_mut().for_each(|rows| rows.sort());
    rows
}

/// Each row that left is in the archive, once, as it was. Tables that only lost references keep their rows.
#[track_caller]
pub(super) fn assert_archived(lab: &Lab<'_>, run: &str, before: &Picture, after: &Picture, context: &str) {
    let archived = archived(lab, run);
    for (table, original) in before {
        let left = &after[table];
        if left.len() == original.len() {
            assert_eq!(archived.get(table), None, "{context}: nothing left `{table}`");
            continue;
        }
        let mut both = left.clone();
        both.extend(archived.get(table).cloned().unwrap_or_default());
        both.sort();
        assert_eq!(both.len(), original.len(), "{context}: `{table}` = archive + survivors, row for row");
        assert!(both == *original, "{context}: `{table}` = archive + survivors, row for row");
    }
}
