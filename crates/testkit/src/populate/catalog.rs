//! What a generator of rows has to know about a schema.
//!
//! It is read from the catalog by the database's own client and shares nothing with the product's reading of it.

/// Tables and what leads from one to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) tables: Vec<Table>,
    pub(super) keys: Vec<ForeignKey>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// As SQL spells it.
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Sets of columns whose values never repeat; the primary key, if there is one, is first.
    pub(super) uniques: Vec<Vec<usize>>,
    /// Columns of unique indexes over expressions or over some of the rows: better distinct.
    pub(super) mixed: Vec<usize>,
    pub(super) has_primary_key: bool,
    pub(super) checks: Vec<Check>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) required: bool,
    /// Computed by the database.
    pub(super) generated: bool,
}

/// A type, as far as values depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kind {
    /// `int4`, `varchar`, `mood`; of an array, the type of its elements.
    pub(super) name: String,
    pub(super) is_array: bool,
    /// Characters of text, digits of a number.
    pub(super) size: Option<usize>,
    /// Digits after the point.
    pub(super) scale: usize,
    /// Values of an enumeration.
    pub(super) labels: Vec<String>,
}

/// A condition on rows; its name is empty where it is about partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) columns: Vec<usize>,
    pub(super) text: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub(super) child: usize,
    pub(super) child_columns: Vec<usize>,
    pub(super) parent: usize,
    pub(super) parent_columns: Vec<usize>,
}

impl Table {
    /// Whether values of the column alone, or with others, should not repeat.
    pub(super) fn is_unique(&self, column: usize) -> bool {
        self.uniques.iter().any(|unique| unique.contains(&column)) || self.mixed.contains(&column)
    }

    /// The columns that address a row.
    pub(super) fn key(&self) -> Option<&[usize]> {
        let required = |columns: &&Vec<usize>| columns.iter().all(|c| self.columns[*c].required);
        self.uniques.iter().find(required).map(Vec::as_slice)
    }

    /// Columns that an insert writes.
    pub(super) fn written(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|c| !self.columns[*c].generated).collect()
    }
}
