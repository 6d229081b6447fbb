//! Ids that payment providers give in test mode, and the card numbers of their documentation.
//!
//! Sources: Stripe (`cs_test_…`, `pm_card_visa`, `tok_visa`, test keys and cards), PayPal, Braintree and Adyen (cards).
//! Live and test customers of Stripe are both `cus_…`, so such an id says nothing.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector = Detector {
    id: "payment.test-id",
    title: "payment id or card of a provider's test mode",
    group: Group::Payment,
    examine,
};

/// Digits of a card number.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// Cards that every provider's documentation lists.
const CARDS: &[&str] = &[
    "4242424242424242",
    "4111111111111111",
    "4012888888881881",
    "4000056655665556",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "5200828282828210",
    "5105105105105100",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "6011981111111113",
    "3056930009020004",
    "36227206271667",
    "38520000023237",
    "30569309025904",
    "3530111333300000",
    "3566002020360505",
    "6200000000000005",
    "4917610000000000",
    "4988438843884305",
    "2222400070000005",
    "6759649826438453",
];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let id = subject.record.payment.trim();
    let bytes = id.as_bytes();
    let first = bytes.first()?;
    if first.is_ascii_digit() {
        return card(id);
    }
    let tested = bytes.windows(6).any(|part| part == b"_test_");
    if tested || id.starts_with("pm_card_") || is_token(id) || id.starts_with("test_") {
        return Some(Found::new(6.2, "payment id is one of a provider's test mode"));
    }
    None
}

/// `tok_visa`: real tokens end in letters and digits that mean nothing.
fn is_token(id: &str) -> bool {
    let Some(rest) = id.strip_prefix("tok_") else { return false };
    let brand = ["visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "charge", "us"];
    rest.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') && brand.iter().any(|b| rest.starts_with(b))
}

fn card(id: &str) -> Option<Found> {
    if id == "4242" {
        return Some(Found::new(2.5, "card ends like the best known test card"));
    }
    if id.len() > 32 || !id.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-')) {
        return None;
    }
    let digits: String = id.chars().filter(char::is_ascii_digit).collect();
    // Stripe's other cards: a bank number that nobody has, and zeros.
    let declined = digits.len() == 16
        && digits.starts_with("400000")
        && digits[6..12].bytes().filter(|b| *b == b'0').count() >= 4;
    let known = CARDS.contains(&digits.as_str()) || declined;
    (CARD_DIGITS.contains(&digits.len()) && known)
        .then(|| Found::new(6.2, "card is one of a provider's documentation"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::*;

    #[test]
    fn ids_and_cards_of_test_mode_are_found_and_live_ones_are_not() {
        let weigh = |payment| {
            check::weight(
                &DETECTOR,
                &Record { payment, ..check::user("Maria Keller", "") },
                &Context::default(),
            )
        };
        for id in [
            "cs_test_a1B2c3",
            "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
            "pm_card_visa",
            "tok_visa",
            "tok_chargeDeclined",
            "4242 4242 4242 4242",
            "4242424242424242",
            "5555-5555-5555-4444",
            "4000000000000002",
        ] {
            assert!(weigh(id) > 6.0, "{id}");
        }
        for id in [
            "cus_NffrFeUfNV2Hib",
            "cs_live_a1B2c3",
            "tok_1NvPmL2eZvKYlo2C",
            "pi_3MtwBwLkdIwHu7ix",
            "4539578763621486",
            "contest_entry",
            "latest",
            "12",
            "",
        ] {
            assert!(weigh(id).abs() < 1e-9, "{id}");
        }
        assert!(weigh("4242") < 3.0);
    }
}
