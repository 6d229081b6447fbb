//! What a column of MariaDB holds, as far as exact comparison, hashing and archiving need to know.
//!
//! The catalog's text of a type carries it all: `varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci`,
//! `timestamp ON UPDATE current_timestamp`. A comparison of two texts follows their collation, which takes `Test`
//! and `test ` for the same; whatever has to be exact compares bytes besides, so that an index still serves.

use unseed_core::schema::{Column, ColumnKind};

/// Stands behind the type of a column that changes with every update of its row.
pub(super) const ON_UPDATE: &str = " ON UPDATE current_timestamp";
const CHARACTER_SET: &str = " CHARACTER SET ";
const COLLATE: &str = " COLLATE ";

/// How values of a column are compared and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// Whole and decimal numbers, whose text is exact.
    Number,
    /// Four bytes; its text is exact only as a double.
    Float,
    Double,
    Bit,
    /// ENUM and SET: words outside, numbers inside.
    Words,
    /// Points in time, and types whose text is their value, such as UUID.
    Plain,
    Text,
    Bytes,
}

/// The first word of a type.
fn base(type_name: &str) -> &str {
    type_name.split(['(', ' ']).next().unwrap_or_default()
}

/// How values of a column are compared and written.
pub(super) fn sort(column: &Column) -> Sort {
    match base(&column.type_name) {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => Sort::Number,
        "float" => Sort::Float,
        "double" => Sort::Double,
        "bit" => Sort::Bit,
        "enum" | "set" => Sort::Words,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Sort::Text,
        "date" | "time" | "datetime" | "timestamp" | "uuid" | "inet4" | "inet6" => Sort::Plain,
        // Geometries, and what later versions bring, are bytes.
        _ => Sort::Bytes,
    }
}

/// Whether values can be as long as the server takes them.
pub(super) fn is_long(column: &Column) -> bool {
    match sort(column) {
        Sort::Text | Sort::Bytes => {
            !matches!(base(&column.type_name), "char" | "varchar" | "binary" | "varbinary")
        }
        Sort::Number | Sort::Float | Sort::Double | Sort::Bit | Sort::Words | Sort::Plain => false,
    }
}

/// Whether values are whole numbers, written as such. Years are not: of two digits they mean others.
pub(super) fn is_whole(column: &Column) -> bool {
    matches!(base(&column.type_name), "tinyint" | "smallint" | "mediumint" | "int" | "bigint")
}

/// Characters or bytes that a value may have, for types that tell.
pub(super) fn length(column: &Column) -> Option<u64> {
    let (_, rest) = column.type_name.split_once('(')?;
    rest.split(')').next()?.parse().ok()
}

/// Character set and collation of a text.
pub(super) fn collation(column: &Column) -> Option<(&str, &str)> {
    let (_, rest) = column.type_name.split_once(CHARACTER_SET)?;
    let (set, collation) = rest.split_once(COLLATE)?;
    Some((set, collation.split(' ').next().unwrap_or_default()))
}

/// The type as a definition of a column takes it.
pub(super) fn defined(column: &Column) -> &str {
    column.type_name.trim_end_matches(ON_UPDATE)
}

/// Whether every update of a row changes this column.
pub(super) fn follows_updates(column: &Column) -> bool {
    column.type_name.ends_with(ON_UPDATE)
}

/// Whether equal values are the same bytes.
pub(super) fn is_exact(column: &Column) -> bool {
    match sort(column) {
        Sort::Text => {
            collation(column).is_some_and(|(_, name)| name.ends_with("nopad_bin") || name == "binary")
        }
        Sort::Number | Sort::Float | Sort::Double | Sort::Bit | Sort::Words | Sort::Plain | Sort::Bytes => {
            true
        }
    }
}

/// Whether two columns are compared without converting either.
pub(super) fn comparable(a: &Column, b: &Column) -> bool {
    match (sort(a), sort(b)) {
        (Sort::Text, Sort::Text) => collation(a) == collation(b),
        (Sort::Plain | Sort::Words, Sort::Plain | Sort::Words) => base(&a.type_name) == base(&b.type_name),
        (one, other) => one == other,
    }
}

/// The text of a catalog type as `Column::type_name` has it.
pub(super) fn type_name(
    column_type: &str,
    set: Option<&str>,
    collation: Option<&str>,
    on_update: bool,
) -> String {
    let mut text = column_type.to_owned();
    if let (Some(set), Some(collation)) = (set, collation) {
        text.push_str(&format!("{CHARACTER_SET}{set}{COLLATE}{collation}"));
    }
    if on_update {
        text.push_str(ON_UPDATE);
    }
    text
}

/// What detection makes of a type.
pub(super) fn kind(data_type: &str, column_type: &str, is_json: bool) -> ColumnKind {
    match data_type {
        "tinyint" if column_type.starts_with("tinyint(1)") => ColumnKind::Boolean,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => ColumnKind::Integer,
        "decimal" | "float" | "double" => ColumnKind::Number,
        "date" | "time" | "datetime" | "timestamp" => ColumnKind::Time,
        "uuid" => ColumnKind::Uuid,
        "longtext" if is_json => ColumnKind::Json,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => ColumnKind::Text,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnKind::Bytes,
        _ => ColumnKind::Other,
    }
}
