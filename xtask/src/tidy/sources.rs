//! Rules about the text of single files, and about how test files hang together.

use super::SourceFile;
use std::collections::BTreeSet;

const LINES_MAX: usize = 800;

/// Spelled so that this file does not complain about itself.
const BANNED: [(&str, &str); 2] = [
    (concat!("#[", "ignore"), "a test that does not run proves nothing: mend it or remove it"),
    (concat!("to", "do!("), "finish it, or return an error"),
];

/// A folder beside the repository that nobody else has.
const OUTSIDE: &str = concat!("sha", "red/");

const DRIVERS: [&str; 3] = ["tokio_postgres", "rusqlite", "use redis::"];
const MAY_NAME_DRIVERS: [&str; 3] = ["crates/io/", "crates/testkit/", "xtask/"];

pub(super) fn complaints(files: &[SourceFile]) -> Vec<String> {
    let mut complaints: Vec<String> = files.iter().flat_map(about_one_file).collect();
    complaints.extend(lone_tests(files));
    complaints
}

fn about_one_file(file: &SourceFile) -> Vec<String> {
    let mut found = outside(file);
    found.extend(unmerged(file));
    if is_rust(file) {
        found.extend(banned(file));
        found.extend(drivers(file));
        found.extend(tabs(file));
        found.extend(length(file));
        found.extend(module_doc(file));
    }
    found
}

fn is_rust(file: &SourceFile) -> bool {
    file.path.ends_with(".rs")
}

/// Complains about every line for which `is_wrong` holds.
fn lines(file: &SourceFile, is_wrong: impl Fn(&str) -> bool, why: &str) -> Vec<String> {
    let numbered = file.text.lines().enumerate().filter(|(_, line)| is_wrong(line));
    numbered.map(|(index, _)| format!("{}:{}: {why}", file.path, index + 1)).collect()
}

/// Only as a path of its own: `mailbox-shared/` in a list of names is harmless.
fn outside(file: &SourceFile) -> Vec<String> {
    let is_path = |before: Option<char>| {
        !before.is_some_and(|letter| letter.is_alphanumeric() || "-_.".contains(letter))
    };
    let names_it = |line: &str| {
        let starts = line.match_indices(OUTSIDE).map(|(start, _)| &line[..start]);
        starts.into_iter().any(|before| is_path(before.chars().next_back()))
    };
    lines(file, names_it, "this names a folder outside the repository")
}

/// Both sides of a merge that nobody decided.
fn unmerged(file: &SourceFile) -> Vec<String> {
    let is_marker = |line: &str| [b'<', b'>'].iter().any(|c| line.as_bytes().starts_with(&[*c; 7]));
    lines(file, is_marker, "a merge left this; decide which side stays")
}

fn banned(file: &SourceFile) -> Vec<String> {
    BANNED.iter().flat_map(|(text, why)| lines(file, |line| line.contains(text), why)).collect()
}

fn drivers(file: &SourceFile) -> Vec<String> {
    if MAY_NAME_DRIVERS.iter().any(|folder| file.path.starts_with(folder)) {
        return Vec::new();
    }
    let names_one = |line: &str| DRIVERS.iter().any(|driver| line.contains(driver));
    lines(file, names_one, "drivers are known to `crates/io` alone")
}

fn tabs(file: &SourceFile) -> Vec<String> {
    lines(file, |line| line.contains('\t'), "a tab character; write \\t in a string, spaces elsewhere")
}

fn length(file: &SourceFile) -> Option<String> {
    let count = file.text.lines().count();
    (count > LINES_MAX).then(|| format!("{}: {count} lines, at most {LINES_MAX}: split it", file.path))
}

fn module_doc(file: &SourceFile) -> Option<String> {
    let is_module = file.path.starts_with("crates/") && file.path.contains("/src/");
    (is_module && !file.text.starts_with("//!"))
        .then(|| format!("{}:1: say with `//!` what it is for", file.path))
}

/// Integration tests that no binary, or a second binary, would run.
fn lone_tests(files: &[SourceFile]) -> Vec<String> {
    let declared: BTreeSet<String> =
        files.iter().filter(|file| is_rust(file) && is_integration(&file.path)).flat_map(declares).collect();
    let tests = files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| path.ends_with(".rs") && is_integration(path));
    tests.filter_map(|path| lone_test(path, &declared)).collect()
}

fn lone_test(path: &str, declared: &BTreeSet<String>) -> Option<String> {
    let (_, inside) = path.split_once("/tests/")?;
    if inside == "it/main.rs" || inside.starts_with("fixtures/") {
        return None;
    }
    if !inside.starts_with("it/") {
        return Some(format!("{path}: the one integration binary of a crate is `tests/it/main.rs`"));
    }
    let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
    (!declared.contains(module)).then(|| format!("{path}: no file declares it with `mod`, so it never runs"))
}

fn is_integration(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/tests/")
}

/// Paths without `.rs` of the modules that this file declares.
fn declares(file: &SourceFile) -> Vec<String> {
    let stem = file.path.trim_end_matches(".rs").trim_end_matches("/mod").trim_end_matches("/main");
    let names = file.text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    names.map(|name| format!("{stem}/{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_complaint(path: &str, text: &str, expected: &str) {
        let files = [SourceFile { path: path.to_owned(), text: text.to_owned() }];
        assert_eq!(complaints(&files).join("\n"), expected);
    }

    #[test]
    fn both_sides_of_a_merge_are_found() {
        let marker = "<".repeat(7);
        assert_complaint(
            "NOTES.md",
            &format!("{marker} HEAD\n"),
            "NOTES.md:1: a merge left this; decide which side stays",
        );
    }

    #[test]
    fn a_clean_file_has_no_complaint() {
        assert_complaint("crates/core/src/plan.rs", "//! Plans.\nfn f() {}\n", "");
    }

    #[test]
    fn each_rule_finds_its_line() {
        assert_complaint(
            "crates/core/src/a.rs",
            "fn f() {}\n",
            "crates/core/src/a.rs:1: say with `//!` what it is for",
        );
        assert_complaint(
            "crates/engine/src/a.rs",
            "//! A.\nuse rusqlite::Connection;\n",
            "crates/engine/src/a.rs:2: drivers are known to `crates/io` alone",
        );
        let (test_is_off, why) = BANNED[0];
        assert_complaint("xtask/src/a.rs", &format!("{test_is_off}]"), &format!("xtask/src/a.rs:1: {why}"));
        assert_complaint(
            "docs/a.md",
            &format!("see ../{OUTSIDE}plan.md"),
            "docs/a.md:1: this names a folder outside the repository",
        );
        assert_complaint("docs/a.md", &format!("a mailbox-{OUTSIDE} name"), "");
    }

    #[test]
    fn a_test_file_that_nobody_declares_is_found() {
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file("crates/io/tests/it/main.rs", "mod store;\n"),
            file("crates/io/tests/it/store/mod.rs", "mod sqlite;\n"),
            file("crates/io/tests/it/store/sqlite.rs", ""),
            file("crates/io/tests/it/lost.rs", ""),
            file("crates/io/tests/second.rs", ""),
        ];
        let found = complaints(&files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/io/tests/it/lost.rs"));
        assert!(found[1].starts_with("crates/io/tests/second.rs"));
    }
}
