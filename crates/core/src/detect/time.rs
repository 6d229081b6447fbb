//! Reads points in time as stores print them, to the second.
//!
//! Understood: `2026-03-14 09:26:53.1+00`, `2026-03-14T09:26:53.100Z`, `2026-03-14`, and counts of seconds or
//! milliseconds since 1970. A time without a zone is taken as UTC, which is enough for spans and bursts.
//!
//! Invariants
//! - never fails: anything else is `None`;
//! - seconds since 1970, rounded down.
//!
//! Not here: clocks; core cannot tell the time.

/// Seconds of one day.
pub const DAY_S: i64 = 86_400;

/// Seconds since 1970.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() >= 10 && bytes[4] == b'-' && bytes[7] == b'-' {
        return parse_calendar(text);
    }
    parse_count(text)
}

/// Counts between 2001 and 2286, in seconds, milliseconds or microseconds.
fn parse_count(text: &str) -> Option<i64> {
    let whole = text.split('.').next()?;
    let count: i64 = whole.parse().ok()?;
    match count {
        1_000_000_000..=9_999_999_999 => Some(count),
        1_000_000_000_000..=9_999_999_999_999 => Some(count / 1_000),
        1_000_000_000_000_000..=9_999_999_999_999_999 => Some(count / 1_000_000),
        _ => None,
    }
}

/// So many digits from a place on.
fn number<const DIGITS: usize>(bytes: &[u8], from: usize) -> Option<i64> {
    let digits = bytes.get(from..)?.first_chunk::<DIGITS>()?;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

fn parse_calendar(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (year, month, day) = (number::<4>(bytes, 0)?, number::<2>(bytes, 5)?, number::<2>(bytes, 8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let midnight = days_from_civil(year, month, day) * DAY_S;
    let Some(rest) = bytes.get(19..) else { return Some(midnight) };
    let (hour, minute, second) = (number::<2>(bytes, 11)?, number::<2>(bytes, 14)?, number::<2>(bytes, 17)?);
    Some(midnight + hour * 3_600 + minute * 60 + second - offset(rest))
}

/// Seconds east of Greenwich, from `.123+02`, `+05:30`, `Z` or nothing.
fn offset(rest: &[u8]) -> i64 {
    let Some(sign) = rest.iter().position(|b| matches!(b, b'+' | b'-')) else { return 0 };
    let mut digits = rest[sign + 1..].iter().filter(|b| **b != b':').map(|b| i64::from(b.wrapping_sub(b'0')));
    let mut two = || match (digits.next(), digits.next()) {
        (Some(tens @ 0..=9), Some(ones @ 0..=9)) => tens * 10 + ones,
        (_, _) => 0,
    };
    let seconds = two() * 3_600 + two() * 60;
    if rest[sign] == b'-' { -seconds } else { seconds }
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of so many days since 1970-01-01 in the Gregorian calendar, where the year before 1 is 0.
///
/// Years are taken to begin in March, so that the odd day comes last (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The month of a point in time, counted from the year 0.
pub fn month(seconds: i64) -> i64 {
    let (year, month, _) = civil(seconds.div_euclid(DAY_S));
    year * 12 + month - 1
}

/// `2026-03` of a month.
pub fn month_text(month: i64) -> String {
    format!("{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1)
}

/// `2026-03-14` of a point in time.
pub fn day_text(seconds: i64) -> String {
    let (_, _, day) = civil(seconds.div_euclid(DAY_S));
    format!("{}-{day:02}", month_text(month(seconds)))
}

/// `2026-03-14T09:26:53.000Z` of a point in time, as clocks print it.
pub fn clock_text(seconds: i64) -> String {
    let second = seconds.rem_euclid(DAY_S);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{}T{hour:02}:{minute:02}:{:02}.000Z", day_text(seconds), second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for seconds in [0, 951_827_696, 1_773_480_413, 4_102_444_799] {
            assert_eq!(parse(&clock_text(seconds)), Some(seconds));
        }
        assert_eq!(clock_text(1_773_480_413), "2026-03-14T09:26:53.000Z");
    }

    #[test]
    fn the_forms_of_several_stores_agree() {
        let at = Some(1_773_480_413);
        for text in [
            "2026-03-14 09:26:53.1+00",
            "2026-03-14T09:26:53.100Z",
            "2026-03-14 11:26:53+02:00",
            "1773480413",
            "1773480413100",
        ] {
            assert_eq!(parse(text), at, "{text}");
        }
        assert_eq!(parse("1970-01-02"), Some(DAY_S));
    }

    #[test]
    fn anything_else_is_none() {
        for text in ["", "infinity", "yesterday", "12", "2026-13-40", "äöü-ab-cd-ef"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn months_turn_at_midnight() {
        assert_eq!(month_text(month(parse("2026-02-28 23:59:59").unwrap())), "2026-02");
        assert_eq!(month_text(month(parse("2026-03-01 00:00:00").unwrap())), "2026-03");
        assert_eq!(month_text(month(-1)), "1969-12");
        assert_eq!(day_text(1_773_480_413), "2026-03-14");
    }
}
