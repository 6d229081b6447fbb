//! The values of one JSON object.
//!
//! Invariants
//! - values that play no part are skipped, whatever they are;
//! - numbers and truth values are read as their text, so that `"is_test": true` and a Unix time are understood.

use super::columns::{Part, Values, part};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use unseed_core::detect::text::trimmed;

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

/// Reads one object and gives its values to `take`.
pub(super) fn read(
    text: &str,
    names: &mut Names,
    take: impl FnOnce(&Values<'_>),
) -> Result<(), serde_json::Error> {
    if let Some(values) = plain(text, names) {
        take(&values);
        return Ok(());
    }
    let values = any(text, names)?;
    take(&gathered(&values));
    Ok(())
}

/// The values of an object that play a part.
fn any<'a>(text: &'a str, names: &mut Names) -> Result<Vec<(Part, Cow<'a, str>)>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let values = deserializer.deserialize_map(ObjectVisitor { names })?;
    deserializer.end()?;
    Ok(values)
}

/// The values by their parts.
fn gathered<'a>(values: &'a [(Part, Cow<'a, str>)]) -> Values<'a> {
    let mut gathered = Values::empty();
    values.iter().for_each(|(part, value)| gathered.set(*part, trimmed(value)));
    gathered.finish();
    gathered
}

/// The values of an object of nothing but texts without escapes, truth values and nulls, as most are; none of any
/// other text, right or wrong.
fn plain<'a>(text: &'a str, names: &mut Names) -> Option<Values<'a>> {
    // Texts must escape control characters, and few objects are spread over tabs.
    if text.bytes().fold(u8::MAX, u8::min) < b' ' {
        return None;
    }
    let mut values = Values::empty();
    let mut cursor = Cursor { text, at: 0 };
    cursor.pass(b'{')?;
    for place in 0.. {
        let name = cursor.string()?;
        cursor.pass(b':')?;
        let value = cursor.value()?;
        if let Some(part) = names.part(place, name) {
            values.set(part, trimmed(value));
        }
        if cursor.pass(b',').is_none() {
            break;
        }
    }
    cursor.pass(b'}')?;
    values.finish();
    cursor.is_at_end().then_some(values)
}

/// A place in a text without control characters. What is asked for and not there is none.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next character that is no space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A text in which nothing is escaped.
    fn string(&mut self) -> Option<&'a str> {
        self.pass(b'"')?;
        let rest = &self.text[self.at..];
        let end = memchr::memchr2(b'"', b'\\', rest.as_bytes())?;
        self.at += end + 1;
        (rest.as_bytes()[end] == b'"').then(|| &rest[..end])
    }

    /// A text, a truth value or a null.
    fn value(&mut self) -> Option<&'a str> {
        let (word, value) = match self.peek()? {
            b'"' => return self.string(),
            b't' => ("true", "true"),
            b'f' => ("false", "false"),
            b'n' => ("null", ""),
            _ => return None,
        };
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())?;
        Some(value)
    }
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
            " { \"name\" : \"ü \" , \"x\":false } ",
            r#"{"name":"a","name":"b"}"#,
        ] {
            let long = any(text, &mut Names::default()).unwrap();
            assert_eq!(plain(text, &mut Names::default()), Some(gathered(&long)), "{text}");
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
            "{\t\"name\":\"a\"}",
            "[1]",
        ] {
            assert_eq!(plain(text, &mut Names::default()), None, "{text}");
        }
    }
}
