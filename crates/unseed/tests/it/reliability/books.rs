//! What must be true of journal, audit log, archive and database once a run is settled.

use crate::lab::{Lab, Picture};
use std::collections::BTreeMap;
use std::process::Command;
use unseed_core::port::state::AuditEntry;
use unseed_testkit::server::sqlite;

/// The answer of the state database, asked with the client of SQLite.
#[track_caller]
pub(super) fn state(lab: &Lab<'_>, sql: &str) -> String {
    let answer = sqlite::run(&lab.path(".unseed/state.db"), &format!(".timeout 10000\n{sql};"));
    answer.unwrap_or_else(|error| panic!("{error}")).trim_end().to_owned()
}

/// Every batch of a run is settled, told in the audit log, and claims its segment; no other segment is left.
#[track_caller]
pub(super) fn assert_settled(lab: &Lab<'_>, run: &str, context: &str) {
    let committed = format!(
        "SELECT printf('batch-%04d', number) FROM batches WHERE run = '{run}' AND json_extract(body, '$.state') = 'committed' ORDER BY number"
    );
    let open = format!(
        "SELECT count(*) FROM batches WHERE run = '{run}' AND json_extract(body, '$.state') NOT IN ('committed', 'discarded')"
    );
    assert_eq!(state(lab, &open), "0", "{context}: every batch is settled");
    let mut folders: Vec<String> = std::fs::read_dir(lab.path(&format!(".unseed/archive/{run}")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("batch-"))
        .collect();
    folders.sort();
    assert_eq!(folders.join("\n"), state(lab, &committed), "{context}: every segment is claimed");
    let untold = format!(
        "SELECT group_concat(number) FROM batches b WHERE run = '{run}' AND NOT (
            EXISTS (SELECT 1 FROM audit WHERE object = run || '/' || number AND outcome = 'started')
            AND EXISTS (SELECT 1 FROM audit WHERE object = run || '/' || number AND outcome LIKE
                CASE json_extract(body, '$.state') WHEN 'committed' THEN 'committed' ELSE 'rolled back%' END))"
    );
    assert_eq!(state(lab, &untold), "", "{context}: the audit log tells what became of each batch");
}

/// Every entry of the audit log has the hash of all entries up to it.
#[track_caller]
pub(super) fn assert_chained(lab: &Lab<'_>, context: &str) {
    let sql = "SELECT hash || ' ' || json_object('at', at, 'actor', actor, 'action', action, 'object', object, 'outcome', outcome) \
               FROM audit ORDER BY sequence";
    let mut previous = String::new();
    for line in state(lab, sql).lines() {
        let (hash, entry) = line.split_once(' ').unwrap();
        let entry: AuditEntry = serde_json::from_str(entry).unwrap();
        let text = format!("{previous}\n{}", serde_json::to_string(&entry).unwrap());
        assert_eq!(hash, blake3::hash(text.as_bytes()).to_hex().as_str(), "{context}: {entry:?}");
        hash.clone_into(&mut previous);
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
