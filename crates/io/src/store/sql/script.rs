//! Scripts that restore an archive with the database's own client, without unseed.
//!
//! They do what `restore` does, in the same statements: stage, insert, reattach; one transaction, so that
//! any conflict leaves the database as it was.

use super::dialect::Dialect;
use super::effects;
use super::reattach;
use super::restore::{self, Staged};
use std::collections::BTreeSet;
use std::fmt::Write;
use unseed_core::port::store::{SectionEntry, SectionKind, Work};
use unseed_core::schema::TableId;

/// For `psql`: run it inside the archive's folder with `psql URL -f restore.sql`.
pub(crate) fn postgres(d: &dyn Dialect, work: &Work, sections: &[SectionEntry], files: &[String]) -> String {
    let mut text = String::from(
        "-- Puts back what this run removed:  cd HERE && psql URL -f restore.sql\n\
         -- One transaction; if a row is in the way, nothing is changed.\n\
         \\set ON_ERROR_STOP on\n",
    );
    text.push_str(&about_keys(files));
    text.push_str(
        "BEGIN;\n\
         SET LOCAL TimeZone = 'UTC';\nSET LOCAL DateStyle = 'ISO, YMD';\nSET LOCAL IntervalStyle = 'iso_8601';\n\
         SET LOCAL row_security = off;\nSET LOCAL client_encoding = 'UTF8';\n\
         SET LOCAL lc_monetary = 'C';\nSET LOCAL xmloption = content;\n",
    );
    let Ok(mut staged) = restore::staged(d, work, sections) else { return text };
    for statement in restore::create(d, work, &staged) {
        line(&mut text, &statement);
    }
    for s in &staged {
        let columns: Vec<String> = s.columns.iter().map(|c| d.quote(c)).collect();
        for index in &s.sections {
            let file = &files[*index];
            // A psql meta-command ends with its line.
            let read = reading(file);
            let copy = format!("\\copy {} ({}) FROM PROGRAM '{read}'\n", s.name, columns.join(", "));
            text.push_str(&copy);
            if let Some(statement) = effects::loaded(s, sections[*index].batch) {
                line(&mut text, &statement);
            }
        }
        let rows = expected(s, sections);
        line(
            &mut text,
            &format!(
                "DO $whole$ BEGIN IF (SELECT count(*) FROM {}) <> {rows} THEN \
                 RAISE EXCEPTION 'not all archived rows could be read'; END IF; END $whole$",
                s.name
            ),
        );
    }
    for statement in effects::merge(d, work, &mut staged) {
        line(&mut text, &statement);
    }
    text.push_str(
        "-- Skips triggers and checks where the role may; they run otherwise.\n\
         DO $$ BEGIN SET LOCAL session_replication_role = replica; \
         EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'triggers will fire'; END $$;\n",
    );
    let aside = open_checks(d, work, &staged);
    if let Some(relations) = &aside {
        text.push_str(&format!(
            "-- Rows may fail checks that were never validated: those are dropped and added again.\n\
             CREATE TEMPORARY TABLE unseed_aside AS SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS away,\n\
             \x20 format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS again\n\
             \x20 FROM pg_constraint WHERE contype = 'c' AND NOT convalidated AND coninhcount = 0 AND conrelid IN ({relations});\n\
             SELECT away FROM unseed_aside \\gexec\n"
        ));
    }
    body(&mut text, d, work, &staged, true);
    if aside.is_some() {
        text.push_str("SET CONSTRAINTS ALL IMMEDIATE;\nSELECT again FROM unseed_aside \\gexec\n");
    }
    for statement in sequences(d, work, &staged) {
        line(&mut text, &statement);
    }
    text.push_str("COMMIT;\n");
    text
}

/// For `sqlite3`: run it inside the archive's folder with `sqlite3 FILE < restore.sql`.
/// `entering` tells which statements go in front of the inserts and which behind them.
pub(crate) fn sqlite(
    d: &dyn Dialect,
    work: &Work,
    (sections, files): (&[SectionEntry], &[String]),
    entering: impl FnOnce(&[Staged]) -> Vec<(String, String)>,
) -> String {
    let mut text = String::from(
        "-- Puts back what this run removed:  cd HERE && sqlite3 /path/to/FILE < restore.sql\n\
         -- One transaction; if a row is in the way, nothing is changed.\n\
         .bail on\n",
    );
    text.push_str(&about_keys(files));
    text.push_str(
        ".dbconfig enable_trigger off\n\
         PRAGMA foreign_keys = OFF;\n\
         BEGIN IMMEDIATE;\n\
         CREATE TEMPORARY TABLE unseed_whole (whole INTEGER, CONSTRAINT \"not all archived rows could be read\" CHECK (whole));\n",
    );
    let Ok(mut staged) = restore::staged(d, work, sections) else { return text };
    for statement in restore::create(d, work, &staged) {
        line(&mut text, &statement);
    }
    for (s, index) in staged.iter().flat_map(|s| s.sections.iter().map(move |index| (s, index))) {
        text.push_str(&format!(".read '|{}'\n", reading(&files[*index])));
        if let Some(statement) = effects::loaded(s, sections[*index].batch) {
            line(&mut text, &statement);
        }
        if s.sections.last() == Some(index) {
            let rows = expected(s, sections);
            let whole = format!("INSERT INTO temp.unseed_whole SELECT count(*) = {rows} FROM {}", s.name);
            line(&mut text, &whole);
        }
    }
    for statement in effects::merge(d, work, &mut staged) {
        line(&mut text, &statement);
    }
    let copies = entering(&staged);
    copies.iter().for_each(|(create, _)| line(&mut text, create));
    body(&mut text, d, work, &staged, false);
    copies.iter().for_each(|(_, drop)| line(&mut text, drop));
    text.push_str("COMMIT;\n");
    text
}

/// For a shell: `cd HERE && sh restore.sh mariadb -h HOST -u USER -p DATABASE`.
pub(crate) fn mysql(d: &dyn Dialect, work: &Work, sections: &[SectionEntry], files: &[String]) -> String {
    let mut text = String::from(
        "#!/bin/sh\n\
         # Puts back what this run removed:  cd HERE && sh restore.sh mariadb -h HOST -u USER -p DATABASE\n\
         # One transaction; if a row is in the way, nothing is changed.\n",
    );
    text.push_str(&about_keys(files).replace("-- ", "# "));
    text.push_str("set -u\n[ $# -gt 0 ] || { echo 'usage: sh restore.sh mariadb -h HOST -u USER -p DATABASE' >&2; exit 2; }\n{\ncat <<'UNSEED'\n");
    text.push_str(
        "SET NAMES utf8mb4;\n\
         SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION';\n\
         SET SESSION time_zone = '+00:00', SESSION tx_isolation = 'READ-COMMITTED', SESSION foreign_key_checks = 0;\n\
         CREATE TEMPORARY TABLE unseed_whole (whole INT, CONSTRAINT `not all archived rows could be read` CHECK (whole));\n",
    );
    let Ok(mut staged) = restore::staged(d, work, sections) else { return text };
    for statement in restore::create(d, work, &staged) {
        line(&mut text, &statement);
    }
    text.push_str("UNSEED\n");
    for s in &staged {
        for index in &s.sections {
            text.push_str(&reading(&files[*index]));
            text.push('\n');
            if let Some(statement) = effects::loaded(s, sections[*index].batch) {
                text.push_str(&format!("cat <<'UNSEED'\n{statement};\nUNSEED\n"));
            }
        }
    }
    text.push_str("cat <<'UNSEED'\n");
    for s in &staged {
        let rows = expected(s, sections);
        line(&mut text, &format!("INSERT INTO unseed_whole SELECT count(*) = {rows} FROM {}", s.name));
    }
    for statement in effects::merge(d, work, &mut staged) {
        line(&mut text, &statement);
    }
    line(&mut text, "START TRANSACTION");
    restore::inserts(d, work, &staged).iter().rev().for_each(|(_, statement)| line(&mut text, statement));
    for statement in effects::undo(d, work, &staged) {
        line(&mut text, &statement);
    }
    for (_, statement) in reattach::reattaches(d, work, &staged) {
        line(&mut text, &statement);
    }
    line(&mut text, "COMMIT");
    text.push_str("UNSEED\n} | \"$@\"\n");
    text
}

/// The command that prints the text of a part. Names of parts are plain, see `archive::names`.
fn reading(file: &str) -> String {
    if file.ends_with(".age") {
        format!("age -d -i \"$UNSEED_IDENTITY\" {file} | gunzip -c")
    } else {
        format!("gunzip -c {file}")
    }
}

/// What somebody has to know who restores from encrypted parts.
fn about_keys(files: &[String]) -> String {
    if !files.iter().any(|file| file.ends_with(".age")) {
        return String::new();
    }
    "-- The rows are encrypted. First:  export UNSEED_IDENTITY=/path/to/the/private/key\n\
     -- Where there is a key.age, that key is in it:  age -d key.age > /dev/shm/key && export UNSEED_IDENTITY=/dev/shm/key\n"
        .to_owned()
}

/// Rows that a staging table must hold once its parts are loaded: a client does not tell that a command of its failed.
fn expected(s: &Staged, sections: &[SectionEntry]) -> u64 {
    s.sections.iter().map(|index| sections[*index].rows).sum()
}

/// Tables with checks that were never validated, as a list of `regclass`; none if there are none.
fn open_checks(d: &dyn Dialect, work: &Work, staged: &[Staged]) -> Option<String> {
    let open = |s: &&Staged| work.schema.table(s.table).checks.iter().any(|check| !check.validated);
    let name = |s: &Staged| {
        let name = &work.schema.table(s.table).name;
        let quoted = format!("{}.{}", d.quote(&name.namespace), d.quote(&name.name));
        format!("{}::regclass", d.literal(&quoted))
    };
    let names: BTreeSet<String> = staged.iter().filter(open).map(name).collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}

fn body(text: &mut String, d: &dyn Dialect, work: &Work, staged: &[Staged], together: bool) {
    let inserts = restore::inserts(d, work, staged);
    if together {
        let runs = restore::runs(work, &inserts, true);
        runs.into_iter().for_each(|run| line(text, &combined(&inserts[run])));
    } else {
        inserts.iter().for_each(|(_, statement)| line(text, statement));
    }
    for statement in effects::undo(d, work, staged) {
        line(text, &statement);
    }
    for (_, statement) in reattach::reattaches(d, work, staged) {
        line(text, &statement);
    }
}

/// Several inserts as one statement, so that keys are checked when all rows are there; returns counts per table.
pub(crate) fn combined(inserts: &[(TableId, String)]) -> String {
    let with: Vec<String> =
        inserts.iter().enumerate().map(|(n, (_, sql))| format!("i{n} AS ({sql} RETURNING 1)")).collect();
    let counts: Vec<String> = inserts
        .iter()
        .enumerate()
        .map(|(n, (table, _))| format!("SELECT {} AS t, (SELECT count(*) FROM i{n}) AS n", table.0))
        .collect();
    format!("WITH {} {}", with.join(",\n  "), counts.join(" UNION ALL "))
}

/// Moves sequences past the restored values.
pub(crate) fn sequences(d: &dyn Dialect, work: &Work, staged: &[Staged]) -> Vec<String> {
    let mut statements = Vec::new();
    for s in staged.iter().filter(|s| s.kind == SectionKind::Rows) {
        for column in &work.schema.table(s.table).columns {
            let Some(sequence) = column.sequence.as_ref().filter(|_| s.columns.contains(&column.name)) else {
                continue;
            };
            statements.push(format!(
                "SELECT setval({}, m) FROM (SELECT max({}) AS m FROM {}) q WHERE m > (SELECT last_value FROM {sequence})",
                d.literal(sequence),
                d.quote(&column.name),
                s.name,
            ));
        }
    }
    statements
}

fn line(text: &mut String, statement: &str) {
    writeln!(text, "{statement};").expect("writing to a string cannot fail");
}
