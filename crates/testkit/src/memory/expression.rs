//! The few SQL expressions that a memory store understands, with three-valued logic.
//!
//! `a IS [NOT] NULL`, `= <> < <= > >=` between columns, literals, counts and truth values, `IN (…)`,
//! `num_nonnulls(…)`, `NOT`, `AND`, `OR`, parentheses, `true`, `false`. Whatever else there is, is an error.

use unseed_core::fault::Fault;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Text(String),
    Sign(String),
}

/// A value: unknown, or text (truth is `true` and `false`).
type Value = Option<String>;

/// Evaluates an expression over one row; `None` is unknown.
pub(super) fn evaluate(text: &str, names: &[&str], values: &[Option<String>]) -> Result<Option<bool>, Fault> {
    let tokens = tokens(text)?;
    let mut reader = Reader { text, tokens: &tokens, at: 0, names, values };
    let value = reader.any()?;
    if reader.at < tokens.len() {
        return Err(reader.unknown());
    }
    Ok(truth(&value))
}

fn truth(value: &Value) -> Option<bool> {
    value.as_ref().map(|v| v == "true")
}

fn from_truth(value: Option<bool>) -> Value {
    value.map(|v| v.to_string())
}

fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, used) = match first {
            '"' | '\'' => {
                quoted(rest, first).ok_or_else(|| Fault::usage(format!("unfinished quote in `{text}`")))?
            }
            c if c.is_alphanumeric() || c == '_' || c == '-' => {
                let end =
                    rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
                (Token::Word(rest[..end].to_owned()), end)
            }
            _ => {
                let long = ["<>", "<=", ">=", "!="].iter().find(|sign| rest.starts_with(**sign));
                let sign = long.map_or_else(|| first.to_string(), |sign| (*sign).to_owned());
                let used = sign.len();
                (Token::Sign(sign), used)
            }
        };
        tokens.push(token);
        rest = rest[used..].trim_start();
    }
    Ok(tokens)
}

fn quoted(rest: &str, quote: char) -> Option<(Token, usize)> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            content.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            content.push(quote);
            chars.next();
        } else {
            let token = if quote == '"' { Token::Quoted(content) } else { Token::Text(content) };
            return Some((token, at + 1));
        }
    }
    None
}

struct Reader<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    names: &'a [&'a str],
    values: &'a [Option<String>],
}

impl Reader<'_> {
    fn unknown(&self) -> Fault {
        Fault::usage(format!("the memory store does not understand `{}`", self.text))
            .hint("use the few expressions that its documentation lists")
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(s)) if s == sign);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Value, Fault> {
        let mut value = self.all()?;
        while self.takes_word("or") {
            let (a, b) = (truth(&value), truth(&self.all()?));
            value = from_truth(match (a, b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                (None, Some(false) | None) | (Some(false), None) => None,
            });
        }
        Ok(value)
    }

    fn all(&mut self) -> Result<Value, Fault> {
        let mut value = self.negated()?;
        while self.takes_word("and") {
            let (a, b) = (truth(&value), truth(&self.negated()?));
            value = from_truth(match (a, b) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                (None, Some(true) | None) | (Some(true), None) => None,
            });
        }
        Ok(value)
    }

    fn negated(&mut self) -> Result<Value, Fault> {
        if self.takes_word("not") {
            return Ok(from_truth(truth(&self.negated()?).map(|v| !v)));
        }
        self.compared()
    }

    fn compared(&mut self) -> Result<Value, Fault> {
        let left = self.plain()?;
        if self.takes_word("is") {
            let negated = self.takes_word("not");
            if !self.takes_word("null") {
                return Err(self.unknown());
            }
            return Ok(from_truth(Some(left.is_none() != negated)));
        }
        if self.takes_word("in") {
            let members = self.list()?;
            return Ok(from_truth(left.as_ref().map(|l| members.iter().any(|m| m.as_ref() == Some(l)))));
        }
        for sign in ["=", "<>", "!=", "<=", ">=", "<", ">"] {
            if self.takes_sign(sign) {
                let right = self.plain()?;
                return Ok(left.zip(right).map(|(l, r)| compare(&l, &r, sign).to_string()));
            }
        }
        Ok(left)
    }

    fn list(&mut self) -> Result<Vec<Value>, Fault> {
        let mut members = Vec::new();
        if !self.takes_sign("(") {
            return Err(self.unknown());
        }
        loop {
            members.push(self.plain()?);
            if self.takes_sign(")") {
                return Ok(members);
            }
            if !self.takes_sign(",") {
                return Err(self.unknown());
            }
        }
    }

    fn plain(&mut self) -> Result<Value, Fault> {
        if self.takes_sign("(") {
            let value = self.any()?;
            return if self.takes_sign(")") { Ok(value) } else { Err(self.unknown()) };
        }
        if self.takes_word("num_nonnulls") {
            let set = self.list()?.iter().filter(|value| value.is_some()).count();
            return Ok(Some(set.to_string()));
        }
        let token = self.tokens.get(self.at).cloned().ok_or_else(|| self.unknown())?;
        self.at += 1;
        match token {
            Token::Text(text) => Ok(Some(text)),
            Token::Quoted(name) => self.column(&name),
            Token::Word(word) if word.eq_ignore_ascii_case("null") => Ok(None),
            Token::Word(word) if word == "true" || word == "false" || word.parse::<i64>().is_ok() => {
                Ok(Some(word))
            }
            Token::Word(name) => self.column(&name),
            Token::Sign(_) => Err(self.unknown()),
        }
    }

    fn column(&self, name: &str) -> Result<Value, Fault> {
        let index = self.names.iter().position(|known| *known == name).ok_or_else(|| self.unknown())?;
        Ok(self.values[index].clone())
    }
}

fn compare(left: &str, right: &str, sign: &str) -> bool {
    let order = match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(l), Ok(r)) => l.cmp(&r),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => left.cmp(right),
    };
    match sign {
        "=" => order.is_eq(),
        "<>" | "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

#[cfg(test)]
mod tests {
    use super::evaluate;

    #[track_caller]
    fn says(text: &str, expected: Option<bool>) {
        let values = [Some("1".to_owned()), None, Some("x".to_owned())];
        assert_eq!(evaluate(text, &["a", "b", "Odd \"c\""], &values).unwrap(), expected, "{text}");
    }

    #[test]
    fn expressions_follow_three_valued_logic() {
        says("a IS NOT NULL OR b IS NOT NULL", Some(true));
        says("num_nonnulls(a, b) = 1", Some(true));
        says("num_nonnulls(a, b, \"Odd \"\"c\"\"\") <= 1", Some(false));
        says("(a IS NULL) = (b IS NULL)", Some(false));
        says("b = 3", None);
        says("NOT (b = 3 OR a = 1)", Some(false));
        says("b = 3 AND a = 2", Some(false));
        says("a IN (1, 2) AND \"Odd \"\"c\"\"\" <> 'y'", Some(true));
        assert!(evaluate("length(a) = 1", &["a"], &[None]).is_err());
    }
}
