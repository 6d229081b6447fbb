//! Telephone numbers that belong to nobody: ranges kept free for films and documentation, and digits typed in a row.
//!
//! Sources: North America 555-0100 to 555-0199 (NANPA); United Kingdom 01632 960, 020 7946 0, 07700 900 (Ofcom);
//! Australia 5550 and 0491 570 (ACMA); France 01 99 00 and 06 39 98 (ARCEP); the numbers with which Twilio tests.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "phone.reserved", title: "telephone number of nobody", group: Group::Phone, examine };

/// Digits of the longest number.
const DIGITS_MAX: usize = 15;
/// Beginnings of free ranges, with the code of their country.
const RANGES: &[&str] = &[
    "15005550",
    "441632960",
    "442079460",
    "447700900",
    "448081570",
    "61255501",
    "61491570",
    "33199000",
    "33639980",
];
/// The same as people of the country write them.
const LOCAL: &[&str] = &["01632960", "02079460", "07700900", "0491570", "0199000", "0639980"];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let phone = subject.record.phone;
    if phone.is_empty() {
        return None;
    }
    let (mut digits, mut count) = ([0; DIGITS_MAX], 0);
    for digit in phone.bytes().filter(u8::is_ascii_digit) {
        // A longer number is no number.
        *digits.get_mut(count)? = digit;
        count += 1;
    }
    if count < 7 {
        return None;
    }
    let digits = std::str::from_utf8(&digits[..count]).expect("digits are text");
    let mut plain = digits;
    while let Some(rest) = plain.strip_prefix("00") {
        plain = rest;
    }
    if RANGES.iter().any(|range| plain.starts_with(range))
        || LOCAL.iter().any(|range| digits.starts_with(range))
    {
        return Some(Found::new(5.0, "telephone number is kept free for films and tests"));
    }
    if is_typed(digits) {
        return Some(Found::new(4.2, "telephone number is typed in a row"));
    }
    north_american(digits)
}

/// `555-0123` with or without an area code and `1` before it.
fn north_american(digits: &str) -> Option<Found> {
    let national = match digits.len() {
        7 | 10 => digits,
        8 => digits.strip_prefix('1')?,
        11 => digits.strip_prefix('1')?,
        _ => return None,
    };
    let local = &national[national.len() - 7..];
    let line: u32 = local.strip_prefix("555")?.parse().ok()?;
    match line {
        100..=199 => Some(Found::new(5.0, "telephone number is kept free for films (555-01xx)")),
        1234 | 5555 | 0 => Some(Found::new(4.2, "telephone number is typed in a row")),
        // Directory services aside, nobody is reached under 555.
        _ => Some(Found::new(2.5, "telephone number begins with 555")),
    }
}

/// `1234567890`, `0000000000`, with or without a country code before.
fn is_typed(digits: &str) -> bool {
    let bytes = digits.as_bytes();
    let tail = &bytes[bytes.len() - 7..];
    let held = tail.windows(2).all(|pair| pair[0] == pair[1]);
    let up = bytes
        .windows(2)
        .filter(|pair| pair[1] == pair[0] + 1 || (pair[0] == b'9' && pair[1] == b'0'))
        .count();
    held || up + 2 >= bytes.len()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::*;

    #[track_caller]
    fn weigh(phone: &str) -> f64 {
        check::weight(&DETECTOR, &Record { phone, ..check::user("", "") }, &Context::default())
    }

    #[test]
    fn numbers_of_nobody_are_found() {
        for phone in [
            "(212) 555-0147",
            "+1 555 555 0100",
            "+44 7700 900123",
            "01632 960001",
            "+33 6 39 98 01 02",
            "1234567890",
            "000-000-0000",
        ] {
            assert!(weigh(phone) > 4.0, "{phone}");
        }
    }

    #[test]
    fn numbers_of_people_are_not() {
        for phone in ["(212) 736-5000", "+44 20 7946 1234", "+49 30 227 0", "+82 2 1234 8765", "12", ""] {
            assert!(weigh(phone).abs() < 1e-9, "{phone}");
        }
    }
}
