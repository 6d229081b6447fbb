//! Evidence against: real money came in.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "money.paid", title: "paid with real money", group: Group::Money, examine };

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let money = subject.context.money?;
    let mixed = money.marked > 0;
    let weight = match money.paid {
        0 => return None,
        _ if mixed => -2.5,
        1 | 2 => -3.5,
        3..=9 => -6.0,
        10.. => -9.0,
    };
    Some(Found::told(weight, |s| {
        format!("{} payment records with real money", s.context.money.unwrap_or_default().paid)
    }))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Money};
    use super::super::score::Verdict;
    use super::*;

    #[test]
    fn a_paying_tenant_with_a_test_name_is_not_test() {
        let paid = Context { money: Some(Money { marked: 0, paid: 14 }), ..Context::default() };
        let tenant = check::tenant("Demo Company", "demo", "test@democompany.com");
        assert_ne!(check::verdict(&tenant, &paid), Verdict::Test);
        assert!(check::weight(&DETECTOR, &tenant, &paid) < -4.0);
    }

    #[test]
    fn no_payment_says_nothing() {
        let none = Context { money: Some(Money::default()), ..Context::default() };
        assert!(check::weight(&DETECTOR, &check::tenant("Acme", "", ""), &none).abs() < 1e-9);
    }
}
