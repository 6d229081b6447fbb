//! From the text of a pattern to its tokens.

use super::{Field, NAMELESS_BYTES_MIN, Pattern, PatternSpec, Token, Transform};
use crate::fault::Fault;
use std::iter::Peekable;
use std::str::CharIndices;

const EXAMPLE: &str = "write for example `tenant:{tenant.id}:*` or `user:map:{user.email|lower}`";

/// Fields and stars of one pattern: each may end in several places, and all of them are tried.
const OPEN_MAX: usize = 32;

/// What is wrong, at which byte of the text, and how to write it.
struct Wrong {
    at: usize,
    what: String,
    hint: String,
}

fn wrong(at: usize, what: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong { at, what: what.into(), hint: hint.into() }
}

/// The text that is read, and what came out so far; `fields` and `entity` go on from the key to its member.
#[derive(Default)]
struct Draft {
    entity: Option<String>,
    fields: Vec<Field>,
    tokens: Vec<Token>,
}

/// Compiles one pattern; its group is not known yet.
pub(super) fn compile(spec: &PatternSpec) -> Result<Pattern, Fault> {
    let mut draft = Draft::default();
    let (key, member) = match spec {
        PatternSpec::Key(key) => (key, None),
        PatternSpec::Member(spec) => (&spec.key, Some(&spec.member)),
    };
    draft.read(key).map_err(|wrong| fault(key, &wrong))?;
    if let Some(member) = member {
        draft.tokens.push(Token::Boundary);
        draft.read(member).map_err(|wrong| fault(member, &wrong))?;
    }
    let whole = member.unwrap_or(key);
    let Some(entity) = draft.entity else {
        let what = "it names no row, so it would match what belongs to everybody";
        return Err(fault(whole, &wrong(0, what, EXAMPLE)));
    };
    let is_named = draft.tokens.iter().any(|token| match token {
        Token::Literal(text) => text.iter().any(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80),
        Token::Field(_) | Token::Any | Token::Boundary => false,
    });
    Ok(Pattern {
        name: spec.to_string(),
        has_member: member.is_some(),
        tokens: draft.tokens,
        entity,
        fields: draft.fields,
        value_bytes_min: if is_named { 1 } else { NAMELESS_BYTES_MIN },
        group: 0,
    })
}

fn fault(text: &str, wrong: &Wrong) -> Fault {
    let before = text.get(..wrong.at).map_or(0, |before| before.chars().count());
    Fault::usage(format!("pattern `{text}` cannot be used: {} (character {})", wrong.what, before + 1))
        .detail(text.to_owned())
        .detail(format!("{}^", " ".repeat(before)))
        .hint(wrong.hint.clone())
}

impl Draft {
    fn read(&mut self, text: &str) -> Result<(), Wrong> {
        if text.is_empty() {
            return Err(wrong(0, "it is empty", EXAMPLE));
        }
        let first = self.tokens.len();
        let mut rest = text.char_indices().peekable();
        while let Some((at, character)) = rest.next() {
            match character {
                '\\' => match rest.next() {
                    Some((_, escaped)) => self.literal(escaped),
                    None => {
                        return Err(wrong(at, "a `\\` stands at its end", "write `\\\\` for a backslash"));
                    }
                },
                '*' if self.tokens[first..].last() != Some(&Token::Any) => {
                    self.open_ended(Token::Any, first, at)?;
                }
                '*' => {}
                '{' => {
                    let inside = inside(text, at, &mut rest)?;
                    let field = self.field(inside, at + 1)?;
                    self.open_ended(Token::Field(field), first, at)?;
                }
                '}' => return Err(wrong(at, "a `}` without its `{`", "write `\\}` for a brace")),
                other => self.literal(other),
            }
        }
        Ok(())
    }

    fn literal(&mut self, character: char) {
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).as_bytes();
        match self.tokens.last_mut() {
            Some(Token::Literal(text)) => text.extend_from_slice(bytes),
            Some(Token::Field(_) | Token::Any | Token::Boundary) | None => {
                self.tokens.push(Token::Literal(bytes.to_vec()));
            }
        }
    }

    /// Adds a token whose end only the next literal tells: two of them must not meet, where one is a field.
    fn open_ended(&mut self, token: Token, first: usize, at: usize) -> Result<(), Wrong> {
        let meets = match self.tokens[first..].last() {
            Some(Token::Field(_) | Token::Any) => true,
            Some(Token::Literal(_) | Token::Boundary) | None => false,
        };
        if meets {
            let what = "nothing stands between a field and what follows it, so `1` would also match what belongs to `10`";
            return Err(wrong(at, what, "write the delimiter that the application writes: `{tenant.id}:*`"));
        }
        let is_open = |token: &&Token| matches!(token, Token::Field(_) | Token::Any);
        if self.tokens.iter().filter(is_open).count() == OPEN_MAX {
            let what = format!("it has more than {OPEN_MAX} fields and stars");
            return Err(wrong(at, what, "say less of the key: one `*` stands for any text"));
        }
        self.tokens.push(token);
        Ok(())
    }

    /// The number of the field in braces.
    fn field(&mut self, inside: &str, at: usize) -> Result<usize, Wrong> {
        let mut parts = inside.split('|');
        let name = parts.next().unwrap_or_default().trim();
        let (entity, column) = name.rsplit_once('.').unwrap_or_default();
        if entity.is_empty() || column.is_empty() {
            let what = format!("`{name}` is not an entity and a column");
            return Err(wrong(at, what, "write `{tenant.id}`: an entity or table, a dot, a column"));
        }
        let mut transforms = Vec::new();
        for part in parts {
            let Some(transform) = Transform::named(part.trim()) else {
                let what = format!("`{}` is nothing that can be done to a value", part.trim());
                return Err(wrong(at, what, format!("use one of {}", Transform::names())));
            };
            transforms.push(transform);
        }
        match &self.entity {
            Some(known) if known != entity => {
                let what = format!("`{entity}` and `{known}` are rows of two kinds");
                let hint = "a pattern may use several columns, but of one entity; write one pattern for each";
                return Err(wrong(at, what, hint));
            }
            Some(_) => {}
            None => self.entity = Some(entity.to_owned()),
        }
        let field = Field { column: column.to_owned(), transforms };
        Ok(self.fields.iter().position(|known| *known == field).unwrap_or_else(|| {
            self.fields.push(field);
            self.fields.len() - 1
        }))
    }
}

/// What stands between the brace at `at` and its other half.
fn inside<'a>(text: &'a str, at: usize, rest: &mut Peekable<CharIndices<'a>>) -> Result<&'a str, Wrong> {
    for (end, character) in rest.by_ref() {
        match character {
            '}' => return Ok(&text[at + 1..end]),
            '{' => break,
            _ => {}
        }
    }
    Err(wrong(at, "a `{` without its `}`", "write `{tenant.id}`, or `\\{` for a brace"))
}
