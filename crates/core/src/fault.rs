//! What can go wrong, told in three parts: what, in which state the data is, what to do next.
//!
//! Every layer returns its own typed error and turns it into a [`Fault`] at its outer edge. The category
//! owns the exit code and the machine-readable code; nothing else in the workspace names an exit code.
//!
//! Invariants
//! - no fault carries a password or the content of a row other than its key;
//! - texts are lower case and have no final full stop.

use serde::Serialize;
use std::fmt;

/// Kinds of failure; each owns one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Wrong usage or configuration.
    Usage,
    /// A plan or a check was refused: protected row, limit, partial view, missing approval.
    Refused,
    /// The data or the schema are not what the plan was made for.
    Stale,
    /// A store failed, or the run stopped; it can be resumed.
    Store,
    /// A file of ours cannot be read or written: state, plan, archive.
    Archive,
    /// Verification or restore found something that must not be there.
    Findings,
    /// A person interrupted the run.
    Interrupted,
}

impl Category {
    /// The process exit code (see the table in the command-line guide).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Refused | Self::Stale => 3,
            Self::Store | Self::Archive => 4,
            Self::Interrupted => 130,
        }
    }

    /// Whether nothing was done because it is not allowed, or not any more.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::Stale)
    }

    /// The category of a run that has stopped for this reason: whatever it was, the run can be resumed.
    pub fn of_a_stop(self) -> Self {
        if self.is_refusal() { Self::Store } else { self }
    }

    /// The word that stands in JSON as `code`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Stale => "stale",
            Self::Store => "store_failed",
            Self::Archive => "archive_failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One failure, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    pub category: Category,
    /// What happened, to which object.
    pub message: String,
    /// Further lines of the first part, such as the path to a protected row.
    pub details: Vec<String>,
    /// In which state the data is.
    pub state: String,
    /// What to do next, with a command where there is one.
    pub hint: String,
    /// The same may work a moment later: somebody else was in the way.
    pub transient: bool,
}

/// `1 row`, `2 rows`: a number with its noun.
pub fn counted(number: u64, noun: &str) -> String {
    let ending = match number {
        1 => "",
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{number} {noun}{ending}")
}

/// The number of a list with its noun.
pub fn listed<T>(list: &[T], noun: &str) -> String {
    counted(u64::try_from(list.len()).unwrap_or(u64::MAX), noun)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Fault {
    /// A fault of a category with its first part; nothing has been changed unless `state` says so.
    pub fn new(category: Category, message: impl Into<String>) -> Self {
        Self {
            category,
            message: message.into(),
            details: Vec::new(),
            state: "nothing was changed".to_owned(),
            hint: String::new(),
            transient: false,
        }
    }

    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Category::Usage, message)
    }

    /// Refused for safety.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Category::Refused, message)
    }

    /// A store failed.
    pub fn store(message: impl Into<String>) -> Self {
        Self::new(Category::Store, message)
    }

    /// Replaces the second part.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = state.into();
        self
    }

    /// Sets the third part.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Says that the same may work a moment later.
    #[must_use]
    pub fn transient(mut self, transient: bool) -> Self {
        self.transient = transient;
        self
    }

    /// Says in which of several stores it was.
    #[must_use]
    pub fn in_store(mut self, name: &str) -> Self {
        self.message = format!("store `{name}`: {}", self.message);
        self
    }

    /// Adds a line below the first part.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// The stable JSON form.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "code": self.category.code(), "message": self.message, "details": self.details,
            "state": self.state, "hint": self.hint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{counted, listed};

    #[test]
    fn one_is_not_several() {
        assert_eq!(
            [counted(1, "row"), counted(2, "row"), counted(0, "batch")],
            ["1 row", "2 rows", "0 batches"]
        );
        assert_eq!(listed(&["a"], "root"), "1 root");
    }
}
