//! Tables, columns and keys before they become text.

use super::Zoo;

/// How another table refers to a row of this one, and what the value for row `p` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// `id bigint`, equal to the row's number.
    Number,
    /// `id uuid`, a hash of the table's name and the row's number.
    Uuid,
    /// `(project_id, iid)`.
    Composite,
    /// No primary key; a unique `code text` instead.
    Code,
    /// Nothing can refer to it.
    None,
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// Type and constraints.
    pub(super) declaration: String,
    /// SQL for the value in row `g`; without it the column fills itself.
    pub(super) value: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    /// As it is written in SQL, with quotes where they are needed.
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// `PRIMARY KEY …`, `CHECK …`, `UNIQUE …`.
    pub(super) constraints: Vec<String>,
    pub(super) key: Key,
    pub(super) is_filled: bool,
    /// `PARTITION BY …`
    pub(super) tail: String,
}

#[derive(Debug, Clone)]
pub(super) struct ForeignKey {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) target: String,
    pub(super) target_columns: Vec<String>,
    /// The ON DELETE rule.
    pub(super) rule: &'static str,
    /// `NOT VALID`, `DEFERRABLE …`
    pub(super) suffix: &'static str,
    pub(super) has_index: bool,
}

pub(super) struct Schema {
    pub(super) zoo: Zoo,
    pub(super) tables: Vec<Table>,
    pub(super) keys: Vec<ForeignKey>,
    /// One `CREATE TABLE … PARTITION OF` each.
    pub(super) partitions: Vec<String>,
    /// Whatever comes after the keys: triggers, policies, views.
    pub(super) statements: Vec<String>,
}

impl Schema {
    pub(super) fn new(zoo: Zoo) -> Self {
        Self { zoo, tables: Vec::new(), keys: Vec::new(), partitions: Vec::new(), statements: Vec::new() }
    }

    /// A number below `limit`, always the same for the same questions.
    pub(super) fn pick(&self, table: usize, salt: u64, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a usize fits");
        let table = u64::try_from(table).expect("a usize fits");
        let mut x = self.zoo.seed
            ^ table.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
        for multiplier in [0xBF58_476D_1CE4_E5B9_u64, 0x94D0_49BB_1331_11EB] {
            x = (x ^ (x >> 30)).wrapping_mul(multiplier);
        }
        usize::try_from((x ^ (x >> 31)) % limit).expect("below a usize")
    }

    /// The number of a row of the same organization as row `g`; another `shift` gives another row.
    pub(super) fn relative(&self, shift: usize) -> String {
        let step = u64::from(self.zoo.organization_count) * u64::try_from(shift).expect("a usize fits");
        format!("(1 + (g - 1 + {step}) % {})", self.zoo.rows_per_table)
    }

    /// The organization of row `g`.
    pub(super) fn organization(&self) -> String {
        format!("(1 + (g - 1) % {})", self.zoo.organization_count)
    }
}

impl Table {
    pub(super) fn new(name: impl Into<String>, key: Key) -> Self {
        let (columns, constraints, tail) = (Vec::new(), Vec::new(), String::new());
        Self { name: name.into(), columns, constraints, key, is_filled: true, tail }
    }

    pub(super) fn column(&mut self, name: &str, declaration: &str, value: Option<&str>) -> &mut Self {
        let value = value.map(str::to_owned);
        self.columns.push(Column { name: name.to_owned(), declaration: declaration.to_owned(), value });
        self
    }

    pub(super) fn constraint(&mut self, text: &str) -> &mut Self {
        self.constraints.push(text.to_owned());
        self
    }

    pub(super) fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name)
    }
}

impl ForeignKey {
    /// One column to `id`, with an index.
    pub(super) fn to_id(table: &str, column: &str, target: &str, rule: &'static str) -> Self {
        Self {
            table: table.to_owned(),
            columns: vec![column.to_owned()],
            target: target.to_owned(),
            target_columns: vec!["id".to_owned()],
            rule,
            suffix: "",
            has_index: true,
        }
    }

    pub(super) fn with_suffix(self, suffix: &'static str) -> Self {
        Self { suffix, ..self }
    }
}
