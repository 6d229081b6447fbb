//! File names for sections, whatever a table is called.
//!
//! Invariants
//! - a name is plain ASCII, at most 120 characters, and stays in its folder;
//! - two sections of a batch never share a name, not even on a disk that ignores case.
//!
//! Not here: extensions of store formats (`mod`), where the files are.

use std::collections::BTreeSet;
use unseed_core::port::store::{SectionHead, SectionKind};
use unseed_core::schema::TableName;

const LENGTH_MAX: usize = 100;

/// Gives out names of one batch.
#[derive(Debug, Default)]
pub(super) struct Names {
    used: BTreeSet<String>,
}

impl Names {
    /// The file name of a section, e.g. `public.users.copy.gz` for the extension `copy.gz`.
    pub(super) fn next(&mut self, head: &SectionHead, extension: &str) -> String {
        let full = TableName::new(&head.namespace, &head.table).to_string();
        let kind = match head.kind {
            SectionKind::Rows => "",
            SectionKind::Detached => ".detached",
            SectionKind::Effect => ".effect",
            SectionKind::Born => ".born",
        };
        let stem = plain(&full);
        let mut count = 1_u64;
        loop {
            let number = if count == 1 { String::new() } else { format!("~{count}") };
            let name = format!("{stem}{number}{kind}.{extension}");
            if self.used.insert(name.to_ascii_lowercase()) {
                return name;
            }
            count += 1;
        }
    }
}

/// The name if it can be used as it is, else what is left of it and a hash of the whole.
fn plain(full: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let safe: String = full.chars().map(|c| if fits(c) { c } else { '_' }).take(LENGTH_MAX).collect();
    let starts_well = safe.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if safe == full && starts_well {
        return safe;
    }
    let hash = blake3::hash(full.as_bytes()).to_hex();
    let short: String = hash.chars().take(8).collect();
    format!("{}-{short}", if starts_well { safe } else { format!("_{safe}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(namespace: &str, table: &str, kind: SectionKind) -> SectionHead {
        SectionHead {
            kind,
            namespace: namespace.to_owned(),
            table: table.to_owned(),
            columns: Vec::new(),
            identity_columns: 0,
        }
    }

    #[test]
    fn plain_names_stay_readable() {
        let mut names = Names::default();
        assert_eq!(
            names.next(&head("public", "users", SectionKind::Rows), "copy.gz"),
            "public.users.copy.gz"
        );
        let detached = names.next(&head("public", "users", SectionKind::Detached), "copy.gz");
        assert_eq!(detached, "public.users.detached.copy.gz");
        assert_eq!(names.next(&head("main", "users", SectionKind::Rows), "sql.gz"), "users.sql.gz");
        assert_eq!(
            names.next(&head("public", "users", SectionKind::Rows), "copy.gz"),
            "public.users~2.copy.gz"
        );
    }

    #[test]
    fn any_table_name_gives_a_safe_and_unique_file_name() {
        let long = "x".repeat(300);
        let tables = [
            "Users",
            "users",
            "USERS",
            "../../etc/passwd",
            "a/b",
            "a\\b",
            "a b",
            "사용자",
            "юзер",
            "",
            ".",
            "..",
            "-rf",
            "nul\0",
            "new\nline",
            "café",
            "cafe\u{301}",
            "users.detached",
            &long,
            "CON",
            "a:b",
            "\"q\"",
        ];
        let mut seen = BTreeSet::new();
        let mut names = Names::default();
        for namespace in ["public", "main", "..", "스키마"] {
            for table in tables {
                for kind in [SectionKind::Rows, SectionKind::Detached, SectionKind::Effect, SectionKind::Born]
                {
                    let name = names.next(&head(namespace, table, kind), "copy.gz");
                    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~');
                    assert!(name.chars().all(fits) && name.len() <= 130, "{name}");
                    assert!(!name.starts_with(['.', '-']), "{name}");
                    assert!(seen.insert(name.to_ascii_lowercase()), "{name} twice");
                }
            }
        }
    }
}
