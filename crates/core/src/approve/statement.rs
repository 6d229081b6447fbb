//! What an approver signs: a few lines of text that name one act on one plan, and nothing that could be read
//! in two ways.
//!
//! The text is canonical: parsing and writing it again gives the same bytes, or it is refused. So a signature
//! made by hand with `ssh-keygen -Y sign` and one made by unseed are over the same message.
//!
//! Invariants
//! - a value is one line without control characters, so that no value can pose as another line;
//! - times are UTC to the second, in one form only.
//!
//! Not here: signatures (`port::sign`), whether an approval counts (`verdict`).

use crate::detect::time;
use crate::fault::Fault;
use serde::{Deserialize, Serialize};

/// The first line of every statement.
pub const HEAD: &str = "unseed approval 1";
/// The namespace of signatures over statements.
pub const NAMESPACE: &str = "unseed-approval";
/// The value of [`Approval::format`].
pub const FORMAT: &str = "unseed.approval/1";

/// What is agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// To purge what the plan says; a run that stopped goes on under the same agreement.
    Purge,
    /// To put the rows of this run of the plan back.
    Restore { run: String },
}

impl Act {
    /// As it stands in a statement.
    pub fn text(&self) -> String {
        match self {
            Self::Purge => "purge".to_owned(),
            Self::Restore { run } => format!("restore {run}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None if text == "purge" => Some(Self::Purge),
            Some(("restore", run)) if !run.is_empty() => Some(Self::Restore { run: run.to_owned() }),
            None | Some(_) => None,
        }
    }
}

/// What an approver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub act: Act,
    /// Id and digest of the plan.
    pub plan: String,
    pub digest: String,
    /// Who made the plan; for a restore, who purged.
    pub requester: String,
    pub comment: String,
    pub ticket: String,
    /// `2026-11-21T07:43:23Z`.
    pub signed_at: String,
    pub expires_at: String,
}

/// A statement with its signature, as a file that can be sent around.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    pub format: String,
    /// The text that was signed, byte for byte.
    pub statement: String,
    /// An armored SSH signature.
    pub signature: String,
}

impl Statement {
    /// The canonical text.
    ///
    /// # Errors
    /// A usage fault when a value is not one plain line, or a time not in the right form.
    pub fn text(&self) -> Result<String, Fault> {
        for (name, value) in self.lines().iter().skip(1) {
            plain(value).map_err(|why| {
                Fault::usage(format!("the {name} of an approval {why}"))
                    .hint("write it as one line of plain text")
            })?;
        }
        for value in [&self.signed_at, &self.expires_at] {
            if seconds(value).is_none() {
                return Err(Fault::usage(format!("`{value}` is no time of the form 2026-11-21T07:43:23Z"))
                    .hint("write the time in UTC, to the second"));
            }
        }
        Ok(self.render())
    }

    /// Reads a canonical text.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err(format!("it does not begin with `{HEAD}`"));
        }
        let mut value = |name: &str| -> Result<String, String> {
            let rest = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let rest = rest.ok_or_else(|| format!("its line `{name}:` is missing or not in its place"))?;
            Ok(rest.strip_prefix(' ').unwrap_or(rest).to_owned())
        };
        let act = value("act")?;
        let read = Self {
            act: Act::parse(&act).ok_or_else(|| format!("`{act}` is no act"))?,
            plan: value("plan")?,
            digest: value("digest")?,
            requester: value("requester")?,
            comment: value("comment")?,
            ticket: value("ticket")?,
            signed_at: value("signed")?,
            expires_at: value("expires")?,
        };
        match read.text() {
            Ok(again) if again == text => Ok(read),
            Ok(_) => Err("it is not in canonical form".to_owned()),
            Err(fault) => Err(fault.message),
        }
    }

    fn lines(&self) -> [(&'static str, String); 8] {
        [
            ("act", self.act.text()),
            ("plan", self.plan.clone()),
            ("digest", self.digest.clone()),
            ("requester", self.requester.clone()),
            ("comment", self.comment.clone()),
            ("ticket", self.ticket.clone()),
            ("signed", self.signed_at.clone()),
            ("expires", self.expires_at.clone()),
        ]
    }

    fn render(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for (name, value) in self.lines() {
            let space = if value.is_empty() { "" } else { " " };
            text.push_str(&format!("{name}:{space}{value}\n"));
        }
        text
    }
}

/// The id of an approval: who signed what, whatever the signature's random part.
pub fn id(statement: &str, key: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(statement.as_bytes()).update(b"\0").update(key.as_bytes());
    hasher.finalize().to_hex().chars().take(12).collect()
}

/// Seconds since 1970 of `2026-11-21T07:43:23Z`, and of no other form.
pub fn seconds(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00Z";
    let fits = bytes.len() == shape.len()
        && bytes
            .iter()
            .zip(shape)
            .all(|(b, form)| if *form == b'0' { b.is_ascii_digit() } else { b == form });
    let below = |from: usize, limit: &str| text.get(from..from + 2).is_some_and(|two| two < limit);
    if fits && below(11, "24") && below(14, "60") && below(17, "60") { time::parse(text) } else { None }
}

/// Seconds since 1970 of a clock's text, whatever its fraction.
pub fn seconds_of_clock(text: &str) -> Option<i64> {
    seconds(&format!("{}Z", text.get(..19)?))
}

/// Characters that end a line or turn the text around would let a person read something else than is signed.
fn plain(value: &str) -> Result<(), &'static str> {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if value.chars().any(hidden) {
        return Err("holds a line break or a hidden character");
    }
    if value.trim() != value {
        return Err("begins or ends with a space");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            act: Act::Purge,
            plan: "7f3a90bc".to_owned(),
            digest: "blake3:7f3a90bc".to_owned(),
            requester: "dana".to_owned(),
            comment: "looked at all 60 tenants".to_owned(),
            ticket: String::new(),
            signed_at: "2026-11-21T07:43:23Z".to_owned(),
            expires_at: "2026-11-24T07:43:23Z".to_owned(),
        }
    }

    #[test]
    fn a_statement_is_read_back_from_exactly_its_text() {
        let text = statement().text().unwrap();
        assert_eq!(
            text,
            "unseed approval 1\nact: purge\nplan: 7f3a90bc\ndigest: blake3:7f3a90bc\nrequester: dana\n\
             comment: looked at all 60 tenants\nticket:\nsigned: 2026-11-21T07:43:23Z\nexpires: 2026-11-24T07:43:23Z\n"
        );
        assert_eq!(Statement::parse(&text), Ok(statement()));
        let restore = Statement { act: Act::Restore { run: "r-3".to_owned() }, ..statement() };
        assert_eq!(Statement::parse(&restore.text().unwrap()), Ok(restore));
    }

    #[test]
    fn other_forms_of_the_same_text_are_refused() {
        let text = statement().text().unwrap();
        for other in [
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("{text}more: 1\n"),
            text.replace("ticket:\n", "ticket: \n"),
            text.replace('\n', "\r\n"),
            text.replace("approval 1", "approval 2"),
            text.replace("act: purge", "act: restore"),
            text.replace("act: purge", "act: anything"),
            text.replace("T07:43:23Z", "T07:43:23+01:00"),
            text.replace("plan: 7f3a90bc\n", ""),
        ] {
            assert!(Statement::parse(&other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn no_value_can_pose_as_another_line() {
        for comment in ["fine\nticket: T-1", "fine\r", " fine", "a\u{202e}b", "a\u{2028}b"] {
            let posing = Statement { comment: comment.to_owned(), ..statement() };
            assert!(posing.text().is_err(), "{comment:?}");
        }
    }

    #[test]
    fn times_have_one_form() {
        assert_eq!(seconds("1970-01-02T00:00:01Z"), Some(86_401));
        assert_eq!(seconds_of_clock("1970-01-02T00:00:01.999Z"), Some(86_401));
        for other in [
            "1970-01-02",
            "1970-01-02T00:00:01",
            "1970-01-02 00:00:01Z",
            "1970-13-02T00:00:01Z",
            "1970-01-02T24:00:01Z",
            "",
        ] {
            assert_eq!(seconds(other), None, "{other}");
        }
    }
}
