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
    ("qa", 6.2),
    ("demo", 5.0),
    ("sandbox", 6.2),
    ("staging", 6.2),
    ("development", 6.0),
    ("dev", 6.0),
    ("seed", 6.0),
    ("seeder", 6.2),
    ("seeds", 6.0),
    ("db_seed", 6.2),
    ("fixture", 6.2),
    ("fixtures", 6.2),
    ("factory", 5.0),
    ("faker", 6.5),
    ("cypress", 6.2),
    ("playwright", 6.2),
    ("selenium", 6.2),
    ("k6", 6.2),
    ("postman", 5.0),
    ("e2e-tests", 6.5),
    ("load-test", 6.5),
    ("load_test", 6.5),
    ("smoke-test", 6.5),
    ("automation", 3.5),
    ("ci", 5.0),
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
    let set = subject.record.flags.iter().filter_map(|flag| Some((weight(flag)?, flag)));
    set.max_by(|a, b| a.0.total_cmp(&b.0))
}

fn weight(flag: &FlagValue<'_>) -> Option<f64> {
    let value = flag.value;
    let is = |list: &[&str]| list.iter().any(|w| value.eq_ignore_ascii_case(w));
    match flag.meaning {
        FlagMeaning::TrueIsTest => is(TRUE).then_some(7.5),
        // `livemode` is a provider's word; `is_live` may be false before a customer has begun.
        FlagMeaning::FalseIsTest => {
            let provider = flag.column.to_ascii_lowercase().contains("mode");
            is(FALSE).then_some(if provider { 6.2 } else { 5.0 })
        }
        // Said by `hold`.
        FlagMeaning::SetIsHeld => None,
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
