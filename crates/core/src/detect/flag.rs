//! The row says itself that it is test data: `is_test`, `isDemo`, `sandbox`, `livemode = false`.
//!
//! Someone set the flag on purpose, so it is the strongest signal there is; only real money outweighs it.

use super::record::FlagValue;
use super::{Detector, Found, Group, Subject};
use crate::entity::fields::FlagMeaning;

pub(super) const DETECTOR: Detector = Detector {
    id: "flag.explicit",
    title: "a column says that it is test data",
    group: Group::Flag,
    examine,
};

const TRUE: &[&str] = &["t", "true", "1", "yes", "y", "on"];
const FALSE: &[&str] = &["f", "false", "0", "no", "n", "off"];
/// Values of `environment`, `account_type` and the like, with their weight.
const VALUES: &[(&str, f64)] = &[
    ("test", 6.5),
    ("testing", 6.5),
    ("e2e", 6.5),
    ("dummy", 6.5),
    ("fake", 6.5),
    ("synthetic", 6.5),
    ("loadtest", 6.5),
    ("qa", 5.0),
    ("demo", 5.0),
    ("sandbox", 5.0),
    ("staging", 5.0),
    ("development", 4.0),
    ("dev", 4.0),
    ("test_account", 6.5),
    ("demo_account", 6.0),
    ("internal_test", 6.5),
];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let (weight, _) = strongest(subject)?;
    Some(Found::told(weight, |s| {
        strongest(s)
            .map_or_else(String::new, |(_, flag)| format!("column `{}` is `{}`", flag.column, flag.value))
    }))
}

/// The flag that says most, with its weight.
fn strongest<'a>(subject: &Subject<'a>) -> Option<(f64, &'a FlagValue<'a>)> {
    let set = subject.record.flags.iter().filter_map(|flag| Some((weight(flag.meaning, flag.value)?, flag)));
    set.max_by(|a, b| a.0.total_cmp(&b.0))
}

fn weight(meaning: FlagMeaning, value: &str) -> Option<f64> {
    let is = |list: &[&str]| list.iter().any(|w| value.eq_ignore_ascii_case(w));
    match meaning {
        FlagMeaning::TrueIsTest => is(TRUE).then_some(7.5),
        FlagMeaning::FalseIsTest => is(FALSE).then_some(5.0),
        FlagMeaning::WordIsTest => {
            VALUES.iter().find(|(w, _)| value.eq_ignore_ascii_case(w)).map(|(_, weight)| *weight)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::*;

    #[track_caller]
    fn weigh(meaning: FlagMeaning, value: &str) -> f64 {
        let flags = [FlagValue { column: "c", value, meaning }];
        let record = Record { flags: &flags, ..check::user("Jane Smith", "") };
        check::weight(&DETECTOR, &record, &Context::default())
    }

    #[test]
    fn a_set_flag_is_enough_in_every_spelling() {
        for value in ["t", "true", "1", "TRUE"] {
            assert!(weigh(FlagMeaning::TrueIsTest, value) > 6.0);
        }
        assert!(weigh(FlagMeaning::WordIsTest, "test") > 6.0);
        assert!(weigh(FlagMeaning::FalseIsTest, "false") > 4.0);
    }

    #[test]
    fn an_unset_flag_says_nothing() {
        for (meaning, value) in [
            (FlagMeaning::TrueIsTest, "f"),
            (FlagMeaning::FalseIsTest, "t"),
            (FlagMeaning::WordIsTest, "production"),
            (FlagMeaning::TrueIsTest, ""),
        ] {
            assert!(weigh(meaning, value).abs() < 1e-9, "{value}");
        }
    }
}
