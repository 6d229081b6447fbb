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

/// The names of the last record, whose places the next one's mostly share.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: Vec<(String, Option<Part>)>,
}

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
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let values = deserializer.deserialize_map(ObjectVisitor { names })?;
    deserializer.end()?;
    Ok(Object { values })
}

impl Names {
    /// Names that play no part.
    pub(super) fn ignored(&self) -> Vec<&str> {
        self.known.iter().filter(|(_, part)| part.is_none()).map(|(name, _)| name.as_str()).collect()
    }

    /// The part that the value at this place of a record plays.
    fn part(&mut self, place: usize, name: &str) -> Option<Part> {
        match self.known.get_mut(place) {
            Some((known, part)) if known == name => *part,
            Some(other) if name.len() <= NAME_BYTES_MAX => {
                *other = (name.to_owned(), part(name));
                other.1
            }
            None if place < NAMES_MAX && name.len() <= NAME_BYTES_MAX => {
                self.known.push((name.to_owned(), part(name)));
                part(name)
            }
            Some(_) | None => part(name),
        }
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
