//! `[archive]`: to whom archives are encrypted, with what they are read, and how long they are kept.
//!
//! Invariants
//! - no private key stands in a configuration: one that does is refused, and not shown.
//!
//! Not here: reading the files that are named (`unseed::wire`), what a public key looks like (`io::archive`).

use serde::Deserialize;

/// What a configuration says about archives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Archive {
    /// Public keys, or `file:PATH` of a file with one a line.
    pub recipients: Vec<String>,
    /// A file whose first line is a passphrase; instead of recipients.
    pub passphrase_file: Option<String>,
    /// Where the private key is: `file:PATH` or `env:NAME`.
    pub identity: Option<String>,
    /// How long archives are kept, as written: `90d`.
    pub keep: Option<String>,
}

impl Archive {
    /// How long archives are kept, in days; forever if nothing is said.
    pub fn keep_days(&self) -> Option<u64> {
        self.keep.as_deref().and_then(days)
    }

    /// Refuses what cannot be meant; the parts are what is wrong and what to do.
    pub(super) fn checked(self) -> Result<Self, (String, &'static str)> {
        let wrong = |what: &str, hint| Err((what.to_owned(), hint));
        if !self.recipients.is_empty() && self.passphrase_file.is_some() {
            return wrong(
                "`archive.recipients` and `archive.passphrase_file` exclude each other",
                "keep one of them",
            );
        }
        let secret = |text: &String| text.to_ascii_uppercase().contains("AGE-SECRET-KEY-");
        if self.recipients.iter().chain(&self.identity).any(secret) {
            return wrong(
                "`archive` contains a private key",
                "keep it in a file outside the state folder, and write `identity = \"file:PATH\"`; recipients are public keys",
            );
        }
        let named = |text: &str| {
            ["file:", "env:"].iter().any(|p| text.strip_prefix(p).is_some_and(|rest| !rest.is_empty()))
        };
        if self.identity.as_deref().is_some_and(|text| !named(text)) {
            return wrong(
                "`archive.identity` says neither `file:PATH` nor `env:NAME`",
                "write for example `identity = \"file:/home/me/.age/key.txt\"`",
            );
        }
        if self.keep.is_some() && self.keep_days().is_none() {
            return wrong(
                "`archive.keep` is no length of time in days or weeks",
                "write for example `keep = \"90d\"`",
            );
        }
        Ok(self)
    }
}

/// `90d` or `12w` as days.
fn days(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_at_checked(text.trim().len().checked_sub(1)?)?;
    let unit = match unit {
        "d" => 1,
        "w" => 7,
        _ => return None,
    };
    let days = number.trim().parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=36_500).contains(&days).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::days;
    use crate::config::Config;

    #[test]
    fn times_are_days_or_weeks() {
        assert_eq!([days("90d"), days("12w"), days(" 1 d")], [Some(90), Some(84), Some(1)]);
        assert_eq!([days(""), days("d"), days("90"), days("0d"), days("9m"), days("-1d")], [None; 6]);
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let fault = Config::parse(&format!("[archive]\n{text}\n"), "unseed.toml").unwrap_err();
        assert!(fault.message.contains(expected), "{}", fault.message);
        assert!(!format!("{fault:?}").contains("SECRET-KEY-1QQ"), "{fault:?}");
        assert!(!fault.hint.is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_no_key_is_shown() {
        refused("recipients = [\"age1x\"]\npassphrase_file = \"p\"", "exclude each other");
        refused("identity = \"AGE-SECRET-KEY-1QQ\"", "contains a private key");
        refused("recipients = [\"AGE-SECRET-KEY-1QQ\"]", "contains a private key");
        refused("identity = \"key.txt\"", "neither `file:PATH` nor `env:NAME`");
        refused("keep = \"soon\"", "no length of time");
        refused("keys = 1", "unknown key `keys`");
    }

    #[test]
    fn what_is_written_is_read() {
        let text =
            "[archive]\nrecipients = [\"age1x\", \"file:r.txt\"]\nidentity = \"env:KEY\"\nkeep = \"90d\"";
        let archive = Config::parse(text, "unseed.toml").unwrap().archive;
        assert_eq!((archive.recipients.len(), archive.keep_days()), (2, Some(90)));
        assert_eq!(Config::parse("", "x").unwrap().archive.keep_days(), None);
    }
}
