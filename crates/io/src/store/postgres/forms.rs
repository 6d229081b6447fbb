//! What the binary form of a value means, as the text that the server would write: it formats times and ids more slowly
//! than they are formatted here.
//!
//! Invariants
//! - the text is the server's own, with dates as ISO writes them and times in UTC, as the session has them pinned;
//! - types of which the binary form is not known here are sent as text.
//!
//! Not here: cutting a stream into values (`rows`).

use std::fmt::Write;
use unseed_core::detect::time;

/// The form of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Bytes in the server's encoding for us, UTF-8.
    Text,
    /// Two, four or eight bytes.
    Integer,
    Boolean,
    Uuid,
    /// Days since 2000.
    Date,
    /// Microseconds since 2000.
    Time,
    /// The same, in UTC.
    TimeInUtc,
}

/// What stands for a value whose bytes are not of its form.
const UNKNOWN: char = char::REPLACEMENT_CHARACTER;
/// Days from 1970 to 2000.
const DAYS_TO_2000: i64 = 10_957;
const DAY_US: i64 = 86_400_000_000;

/// The expression by which a value of this type (`pg_catalog.format_type`) is asked for, and its form.
pub(super) fn asked(expression: &str, type_name: &str) -> (String, Form) {
    let base = type_name.split('(').next().unwrap_or_default().trim_end();
    let form = match base {
        _ if type_name.ends_with("[]") => None,
        "text" | "character varying" | "character" | "name" => Some(Form::Text),
        "smallint" | "integer" | "bigint" => Some(Form::Integer),
        "boolean" => Some(Form::Boolean),
        "uuid" => Some(Form::Uuid),
        "date" => Some(Form::Date),
        _ if !base.starts_with("timestamp") => None,
        _ if type_name.ends_with("without time zone") => Some(Form::Time),
        _ if type_name.ends_with("with time zone") => Some(Form::TimeInUtc),
        _ => None,
    };
    match (form, base) {
        (Some(form), _) => (expression.to_owned(), form),
        // A cast of these writes what the server would.
        (None, "json" | "jsonb" | "numeric" | "real" | "double precision" | "citext")
            if base == type_name =>
        {
            (format!("({expression})::text"), Form::Text)
        }
        // A cast may have a function of its own. A row of nothing but nulls is a value too.
        (None, _) => (
            format!("CASE WHEN {expression} IS DISTINCT FROM NULL THEN format('%s', {expression}) END"),
            Form::Text,
        ),
    }
}

impl Form {
    /// Appends the text of a value.
    pub(super) fn write(self, bytes: &[u8], into: &mut String) {
        let written = match self {
            Self::Text => std::str::from_utf8(bytes).ok().map(|text| into.push_str(text)),
            Self::Integer => integer(bytes).and_then(|n| write!(into, "{n}").ok()),
            Self::Boolean => bytes.first().map(|byte| into.push(if *byte == 0 { 'f' } else { 't' })),
            Self::Uuid => uuid(bytes, into),
            Self::Date => bytes.try_into().ok().map(|days| date(i32::from_be_bytes(days).into(), into)),
            Self::Time => bytes.try_into().ok().map(|us| point(i64::from_be_bytes(us), "", into)),
            Self::TimeInUtc => bytes.try_into().ok().map(|us| point(i64::from_be_bytes(us), "+00", into)),
        };
        if written.is_none() {
            into.push(UNKNOWN);
        }
    }
}

fn integer(bytes: &[u8]) -> Option<i64> {
    if let Ok(four) = bytes.try_into() {
        return Some(i32::from_be_bytes(four).into());
    }
    let eight = bytes.try_into().map(i64::from_be_bytes);
    eight.or_else(|_| bytes.try_into().map(|two| i16::from_be_bytes(two).into())).ok()
}

fn uuid(bytes: &[u8], into: &mut String) -> Option<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes: &[u8; 16] = bytes.try_into().ok()?;
    let (mut text, mut at) = ([b'-'; 36], 0);
    for (n, byte) in bytes.iter().enumerate() {
        at += usize::from(matches!(n, 4 | 6 | 8 | 10));
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    into.push_str(std::str::from_utf8(&text).ok()?);
    Some(())
}

/// A date; the largest and the smallest number stand for infinity.
fn date(days: i64, into: &mut String) {
    if days == i64::from(i32::MAX) || days == i64::from(i32::MIN) {
        return into.push_str(if days > 0 { "infinity" } else { "-infinity" });
    }
    day(days, into);
    into.push_str(era(days));
}

/// A point in time, with what stands behind its clock; the largest and the smallest number stand for infinity.
fn point(us: i64, zone: &str, into: &mut String) {
    if us == i64::MAX || us == i64::MIN {
        return into.push_str(if us > 0 { "infinity" } else { "-infinity" });
    }
    let (days, us) = (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
    day(days, into);
    let (second, mut part) = (us / 1_000_000, us % 1_000_000);
    let mut clock = *b" 00:00:00.000000";
    for (at, number) in [(1, second / 3_600), (4, second / 60 % 60), (7, second % 60)] {
        clock[at] = digit(number / 10);
        clock[at + 1] = digit(number);
    }
    let mut end = 9;
    if part > 0 {
        for at in (10..16).rev() {
            clock[at] = digit(part);
            part /= 10;
        }
        end = 1 + clock.iter().rposition(|byte| *byte != b'0').unwrap_or(0);
    }
    into.push_str(std::str::from_utf8(&clock[..end]).unwrap_or_default());
    into.push_str(zone);
    into.push_str(era(days));
}

/// The last decimal digit.
fn digit(number: i64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

/// `2026-03-14`, without the era.
fn day(days: i64, into: &mut String) {
    let (year, month, day) = time::civil(days + DAYS_TO_2000);
    if !(1..=9_999).contains(&year) {
        let year = if year > 0 { year } else { 1 - year };
        return write!(into, "{year:04}-{month:02}-{day:02}").unwrap_or_default();
    }
    let mut text = *b"0000-00-00";
    for (at, number) in [(0, year / 100), (2, year), (5, month), (8, day)] {
        text[at] = digit(number / 10);
        text[at + 1] = digit(number);
    }
    into.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

fn era(days: i64) -> &'static str {
    // The first day of the year 1.
    const FIRST: i64 = -730_119;
    if days < FIRST { " BC" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(form: Form, bytes: &[u8], text: &str) {
        let mut written = String::new();
        form.write(bytes, &mut written);
        assert_eq!(written, text, "{form:?}");
    }

    // Read off PostgreSQL 15 (`timestamp_send` beside the text).
    #[test]
    fn times_are_written_as_the_server_does() {
        let at = |us: i64, text: &str| is(Form::TimeInUtc, &us.to_be_bytes(), text);
        at(0, "2000-01-01 00:00:00+00");
        at(-1, "1999-12-31 23:59:59.999999+00");
        at(794_883_600_017_000, "2025-03-10 01:00:00.017+00");
        at(i64::MAX, "infinity");
        at(i64::MIN, "-infinity");
        is(Form::Time, &1_500_000_i64.to_be_bytes(), "2000-01-01 00:00:01.5");
        is(Form::Time, &(-211_813_488_000_000_000_i64).to_be_bytes(), "4714-11-24 00:00:00 BC");
        is(Form::Time, &9_223_371_331_199_999_999_i64.to_be_bytes(), "294276-12-31 23:59:59.999999");
        let on = |days: i32, text: &str| is(Form::Date, &days.to_be_bytes(), text);
        on(-730_119, "0001-01-01");
        on(-730_120, "0001-12-31 BC");
        on(59, "2000-02-29");
        on(i32::MAX, "infinity");
    }

    #[test]
    fn other_values_are_written_as_the_server_does() {
        is(Form::Integer, &[128, 0], "-32768");
        is(Form::Integer, &i32::MIN.to_be_bytes(), "-2147483648");
        is(Form::Integer, &i64::MAX.to_be_bytes(), "9223372036854775807");
        is(Form::Boolean, &[1], "t");
        is(Form::Boolean, &[0], "f");
        let id: Vec<u8> = (0..16).map(|n| n * 17).collect();
        is(Form::Uuid, &id, "00112233-4455-6677-8899-aabbccddeeff");
        for form in [Form::Integer, Form::Uuid, Form::Date, Form::Time, Form::Boolean] {
            is(form, &[], "\u{fffd}");
        }
        is(Form::Date, &i64::MAX.to_be_bytes(), "\u{fffd}");
        is(Form::TimeInUtc, &[127, 0, 0, 1], "\u{fffd}");
    }

    #[test]
    fn types_that_are_not_known_are_asked_for_as_text() {
        assert_eq!(asked("x", "character varying(20)"), ("x".to_owned(), Form::Text));
        assert_eq!(asked("x", "timestamp(3) with time zone"), ("x".to_owned(), Form::TimeInUtc));
        assert_eq!(asked("x", "timestamp without time zone"), ("x".to_owned(), Form::Time));
        assert_eq!(asked("x", "jsonb"), ("(x)::text".to_owned(), Form::Text));
        for unknown in
            ["character varying(20)[]", "text[]", "inet", "public.uuid", "timestamp", "numeric(4)[]"]
        {
            let (expression, form) = asked("x", unknown);
            assert!(expression.contains("format") && form == Form::Text, "{unknown}: {expression}");
        }
    }
}
