//! Who may approve: an OpenSSH `allowed_signers` file, and which of its keys belong to one person.
//!
//! Lines that share a name or a key are one person, directly or through others: two keys of one person, or two
//! names for one key, never make two approvals.
//!
//! Invariants
//! - a line that cannot be understood is a fault that names it; it is never skipped;
//! - a name with a wildcard names nobody in particular, so such a line is a fault too.
//!
//! Not here: signatures (`port::sign`), counting approvals (`verdict`).

use crate::fault::Fault;

/// Turns seconds of the machine's own wall clock into seconds since 1970.
pub type LocalTime<'a> = &'a dyn Fn(i64) -> Option<i64>;

/// The people of an `allowed_signers` file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    number: usize,
    names: Vec<String>,
    /// `TYPE BASE64`.
    key: String,
    /// Patterns; `None` where the line says nothing about them.
    namespaces: Option<Vec<String>>,
    valid_after_s: Option<i64>,
    valid_before_s: Option<i64>,
    /// A key of certificates signs for others, not for itself.
    authority: bool,
    /// Lines with the same number are one person.
    person: usize,
}

/// A person who may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The names of the line of the key, separated by commas.
    pub name: String,
    /// Every name of this person in the file.
    pub names: Vec<String>,
    /// Tells people apart.
    pub number: usize,
}

impl Signers {
    /// Reads a file; `file` is its name for messages.
    ///
    /// # Errors
    /// A usage fault that names the line that cannot be understood.
    pub fn parse(text: &str, file: &str, local: LocalTime<'_>) -> Result<Self, Fault> {
        let mut lines = Vec::new();
        for (index, raw) in text.lines().enumerate() {
            let raw = raw.trim();
            if raw.is_empty() || raw.starts_with('#') {
                continue;
            }
            let line = line(raw, index + 1, local).map_err(|why| {
                Fault::usage(format!("`{file}` line {}: {why}", index + 1))
                    .hint(format!("correct the line; `man ssh-keygen` describes the format of `{file}`"))
            })?;
            lines.push(line);
        }
        join(&mut lines);
        Ok(Self { lines })
    }

    /// How many people the file names.
    pub fn people(&self) -> usize {
        let numbers: std::collections::BTreeSet<usize> = self.lines.iter().map(|line| line.person).collect();
        numbers.len()
    }

    /// Whose key this is, if it may sign in this namespace at this time.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn person(&self, key: &str, namespace: &str, now_s: i64) -> Result<Person, String> {
        let mut why = "its key is not in the list of signers".to_owned();
        for line in self.lines.iter().filter(|line| line.key == key) {
            match line.permits(namespace, now_s) {
                Ok(()) => return Ok(self.found(line)),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    fn found(&self, line: &Line) -> Person {
        let same = self.lines.iter().filter(|other| other.person == line.person);
        let mut names: Vec<String> = same.flat_map(|other| other.names.clone()).collect();
        names.sort();
        names.dedup();
        Person { name: line.names.join(","), names, number: line.person }
    }
}

impl Line {
    fn permits(&self, namespace: &str, now_s: i64) -> Result<(), String> {
        let Self { number, .. } = self;
        if self.authority {
            return Err(format!(
                "line {number} of the list of signers is for certificates, which do not count"
            ));
        }
        if self.valid_after_s.is_some_and(|after| now_s < after) {
            return Err(format!("its key is not valid yet (line {number} of the list of signers)"));
        }
        if self.valid_before_s.is_some_and(|before| now_s >= before) {
            return Err(format!("its key is not valid any more (line {number} of the list of signers)"));
        }
        if self.namespaces.as_ref().is_some_and(|patterns| !listed(patterns, namespace)) {
            return Err(format!(
                "its key may not sign for `{namespace}` (line {number} of the list of signers)"
            ));
        }
        Ok(())
    }
}

/// Gives lines that share a name or a key, directly or through others, one number.
fn join(lines: &mut [Line]) {
    let mut changed = true;
    while changed {
        changed = false;
        for one in 0..lines.len() {
            for other in 0..one {
                let (a, b) = (&lines[one], &lines[other]);
                let same =
                    a.key == b.key || a.names.iter().any(|name| b.names.iter().any(|n| same_name(n, name)));
                if same && a.person != b.person {
                    let least = a.person.min(b.person);
                    lines[one].person = least;
                    lines[other].person = least;
                    changed = true;
                }
            }
        }
    }
}

fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn line(raw: &str, number: usize, local: LocalTime<'_>) -> Result<Line, String> {
    let (principals, rest) = word(raw)?;
    let mut line = Line {
        number,
        names: names(&principals)?,
        key: String::new(),
        namespaces: None,
        valid_after_s: None,
        valid_before_s: None,
        authority: false,
        person: number,
    };
    let (mut next, mut rest) = word(rest)?;
    if !next.is_empty() && !is_key_type(&next) {
        for option in split_options(&next)? {
            line.apply(&option, local)?;
        }
        (next, rest) = word(rest)?;
    }
    if !is_key_type(&next) {
        return Err(format!("`{next}` is no type of key"));
    }
    let (body, _comment) = word(rest)?;
    let encoded = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    if body.is_empty() || !body.chars().all(encoded) {
        return Err("the key is missing or not in base64".to_owned());
    }
    line.key = format!("{next} {body}");
    Ok(line)
}

impl Line {
    fn apply(&mut self, option: &str, local: LocalTime<'_>) -> Result<(), String> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = unquoted(value);
        match name.to_ascii_lowercase().as_str() {
            "cert-authority" if value.is_empty() => self.authority = true,
            "namespaces" if !value.is_empty() && self.namespaces.is_none() => {
                self.namespaces = Some(value.split(',').map(ToOwned::to_owned).collect());
            }
            "valid-after" if self.valid_after_s.is_none() => self.valid_after_s = Some(moment(value, local)?),
            "valid-before" if self.valid_before_s.is_none() => {
                self.valid_before_s = Some(moment(value, local)?);
            }
            _ => return Err(format!("the option `{option}` is unknown, empty or given twice")),
        }
        Ok(())
    }
}

/// The names of a line; a pattern would make a signer of whoever fits it, and of nobody that can be told apart.
fn names(principals: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = principals.split(',').map(|name| name.trim().to_owned()).collect();
    for name in &names {
        if name.is_empty() {
            return Err("a name is empty".to_owned());
        }
        if name.contains(['*', '?', '!']) {
            return Err(format!(
                "`{name}` is a pattern, but an approver has to be one person: write the name"
            ));
        }
    }
    Ok(names)
}

/// The next word, in which quoted parts may hold blanks, and what follows it.
fn word(text: &str) -> Result<(String, &str), String> {
    let text = text.trim_start();
    let mut quoted = false;
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    if quoted {
        return Err("a quotation mark is not closed".to_owned());
    }
    let (word, rest) = text.split_at(end);
    // Quotation marks around a whole word are only there for its blanks and commas.
    Ok((unquoted(word).to_owned(), rest))
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.filter(|inner| !inner.contains('"')).unwrap_or(text)
}

/// Options are separated by commas outside of quotation marks.
fn split_options(text: &str) -> Result<Vec<String>, String> {
    let mut options = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            ',' if !quoted => options.push(String::new()),
            _ => {
                quoted ^= c == '"';
                if let Some(last) = options.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    if options.iter().any(String::is_empty) { Err("an option is empty".to_owned()) } else { Ok(options) }
}

fn is_key_type(word: &str) -> bool {
    let known = ["ssh-ed25519", "ssh-rsa", "ssh-dss"];
    known.contains(&word)
        || ["ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "ssh-ed25519-", "ssh-rsa-", "webauthn-"]
            .iter()
            .any(|begin| word.starts_with(begin))
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, in local time, or in UTC with a `Z` behind it.
fn moment(text: &str, local: LocalTime<'_>) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no time of the form YYYYMMDD[HHMM[SS]][Z]");
    let (digits, utc) = match text.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole = format!("{digits:0<14}");
    let part = |from: usize, to: usize| whole.get(from..to).unwrap_or_default();
    let spelled = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    );
    let seconds = super::statement::seconds(&spelled).ok_or_else(wrong)?;
    if utc { Ok(seconds) } else { local(seconds).ok_or_else(wrong) }
}

/// Whether a list of patterns holds a text; a pattern with `!` in front takes it out again.
fn listed(patterns: &[String], text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(pattern.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => found |= fits(pattern.as_bytes(), text.as_bytes()),
        }
    }
    found
}

/// `*` is any text, `?` one character.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| fits(rest, &text[skip..])),
        Some((b'?', rest)) => text.split_first().is_some_and(|(_, text)| fits(rest, text)),
        Some((first, rest)) => {
            text.split_first().is_some_and(|(b, text)| b.eq_ignore_ascii_case(first) && fits(rest, text))
        }
    }
}

#[cfg(test)]
#[path = "signers_tests.rs"]
mod tests;
