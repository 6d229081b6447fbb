//! The values of one JSON object.
//!
//! Invariants
//! - values that play no part are skipped, whatever they are;
//! - numbers and truth values are read as their text, so that `"is_test": true` and a Unix time are understood.

use super::columns::{Part, Values, part};
use super::csv::trimmed;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The names that were met, and which of them stood at each place of the last record: the next one's mostly stand
/// there too.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: Vec<(String, Option<Part>)>,
    places: [usize; PLACES],
}

/// Places that are remembered.
const PLACES: usize = 32;

/// Names that are kept, and the bytes of the longest of them.
const NAMES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 64;

/// The values of an object that play a part.
#[derive(Debug, Default)]
pub(super) struct Object<'a> {
    values: Vec<(Part, Cow<'a, str>)>,
}

/// Reads one object.
pub(super) fn read<'a>(text: &'a str, names: &mut Names) -> Result<Object<'a>, serde_json::Error> {
    if let Some(values) = plain(text, names) {
        return Ok(Object { values });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let values = deserializer.deserialize_map(ObjectVisitor { names })?;
    deserializer.end()?;
    Ok(Object { values })
}

/// The values of an object of nothing but texts without escapes, truth values and nulls, as most are; none of any
/// other text, right or wrong.
fn plain<'a>(text: &'a str, names: &mut Names) -> Option<Vec<(Part, Cow<'a, str>)>> {
    let mut values = Vec::with_capacity(8);
    let mut rest = space(text).strip_prefix('{')?;
    for place in 0.. {
        let (name, behind) = string(space(rest))?;
        let value = space(space(behind).strip_prefix(':')?);
        let (value, behind) = match value.as_bytes().first()? {
            b'"' => string(value)?,
            b't' => ("true", value.strip_prefix("true")?),
            b'f' => ("false", value.strip_prefix("false")?),
            b'n' => ("", value.strip_prefix("null")?),
            _ => return None,
        };
        if let Some(part) = names.part(place, name) {
            values.push((part, Cow::Borrowed(value)));
        }
        rest = space(behind);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    space(rest.strip_prefix('}')?).is_empty().then_some(values)
}

/// What stands behind the spaces of JSON.
fn space(text: &str) -> &str {
    match text.as_bytes().first() {
        Some(b' ' | b'\t' | b'\r' | b'\n') => text.trim_start_matches([' ', '\t', '\r', '\n']),
        Some(_) | None => text,
    }
}

/// A text at the beginning, and what stands behind it; none where something in it is escaped or should be.
fn string(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let end = memchr::memchr2(b'"', b'\\', text.as_bytes())?;
    let (value, behind) = (&text[..end], text[end..].strip_prefix('"')?);
    let control = value.bytes().fold(false, |found, byte| found | (byte < b' '));
    (!control).then_some((value, behind))
}

impl Names {
    /// Names that play no part.
    pub(super) fn ignored(&self) -> Vec<&str> {
        self.known.iter().filter(|(_, part)| part.is_none()).map(|(name, _)| name.as_str()).collect()
    }

    /// The part that the value at this place of a record plays.
    fn part(&mut self, place: usize, name: &str) -> Option<Part> {
        let last = self.places.get(place).and_then(|at| self.known.get(*at));
        if let Some((_, part)) = last.filter(|(known, _)| known == name) {
            return *part;
        }
        let at = self.known.iter().position(|(known, _)| known == name);
        let at = match at {
            Some(at) => at,
            None if self.known.len() < NAMES_MAX && name.len() <= NAME_BYTES_MAX => {
                self.known.push((name.to_owned(), part(name)));
                self.known.len() - 1
            }
            None => return part(name),
        };
        if let Some(last) = self.places.get_mut(place) {
            *last = at;
        }
        self.known[at].1
    }
}

impl Object<'_> {
    /// The values by their parts.
    pub(super) fn values(&self) -> Values<'_> {
        let mut values = Values::empty();
        self.values.iter().for_each(|(part, value)| values.set(*part, trimmed(value)));
        values.finish();
        values
    }
}

struct ObjectVisitor<'n> {
    names: &'n mut Names,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = Vec<(Part, Cow<'de, str>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::with_capacity(8);
        let mut place = 0;
        while let Some(Text(name)) = map.next_key()? {
            match self.names.part(place, &name) {
                Some(part) => values.push((part, map.next_value::<Scalar<'de>>()?.0)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
            place += 1;
        }
        Ok(values)
    }
}

/// A key, borrowed where nothing in it is escaped.
struct Text<'a>(Cow<'a, str>);

/// A value as text; empty where it is null, a list or an object.
struct Scalar<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Scalar)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_bool<E>(self, is: bool) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(if is { "true" } else { "false" }))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cow::Borrowed(""))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cow::Borrowed(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_reads_what_the_long_way_reads_and_nothing_else() {
        for text in [
            r#"{"name":"a","email":"b","x":"c","is_test":true,"phone":null}"#,
            " {\t\"name\" : \"ü\" , \"x\":false }\r",
            r#"{"name":"a","name":"b"}"#,
        ] {
            let long: Object<'_> = {
                let mut names = Names::default();
                let mut deserializer = serde_json::Deserializer::from_str(text);
                let values = deserializer.deserialize_map(ObjectVisitor { names: &mut names }).unwrap();
                Object { values }
            };
            assert_eq!(plain(text, &mut Names::default()), Some(long.values), "{text}");
        }
        for text in [
            "",
            "{",
            "{}",
            "{\"name\"}",
            "{\"name\":}",
            "{\"name\":\"a\",}",
            "{\"name\":\"a\"} x",
            "{\"name\":\"a",
            "{\"name\":\"a\u{1}\"}",
            "{\"name\":\"a\\n\"}",
            "{\"name\":1}",
            "{\"name\":[]}",
            "{\"name\":tru}",
            "[1]",
        ] {
            assert_eq!(plain(text, &mut Names::default()), None, "{text}");
        }
    }
}
