//! Evidence against, and the last word: somebody has to keep the row for a court, an audit or the tax office.
//!
//! What a hold is put on may well be test data; that is for those to say who lift it.

use super::record::FlagValue;
use super::{Detector, Found, Group, Subject};
use crate::entity::fields::FlagMeaning;

pub(super) const DETECTOR: Detector =
    Detector { id: "hold.legal", title: "held for a court or an audit", group: Group::Hold, examine };

/// Log-odds of a row on hold; nothing but a rule of the same weight outweighs it.
const HELD_WEIGHT: f64 = -60.0;
/// What says that there is no hold; everything else, a date or a number of a case, says that there is.
const FREE: &[&str] = &["", "f", "false", "0", "no", "n", "off", "none", "null", "released", "lifted"];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    held(subject)?;
    Some(Found::told(HELD_WEIGHT, |s| {
        held(s).map_or_else(String::new, |flag| format!("column `{}` says that it is on hold", flag.column))
    }))
}

fn held<'a>(subject: &Subject<'a>) -> Option<&'a FlagValue<'a>> {
    let free = |value: &str| FREE.iter().any(|word| value.trim().eq_ignore_ascii_case(word));
    subject.record.flags.iter().find(|flag| flag.meaning == FlagMeaning::SetIsHeld && !free(flag.value))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::super::score::Verdict;
    use super::*;

    #[test]
    fn a_held_row_is_never_test_and_a_lifted_hold_says_nothing() {
        let verdict = |value: &str| {
            let flags = [FlagValue { column: "legal_hold", value, meaning: FlagMeaning::SetIsHeld }];
            let row =
                Record { flags: &flags, ..check::tenant("Test Tenant 5", "test-5", "test@example.com") };
            check::verdict(&row, &Context::default())
        };
        for value in ["true", "t", "1", "2026-03-14", "case 4711"] {
            assert_eq!(verdict(value), Verdict::Real, "{value}");
        }
        for value in ["false", "", "0", "released"] {
            assert_eq!(verdict(value), Verdict::Test, "{value}");
        }
    }
}
