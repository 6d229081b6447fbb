//! Payments or subscriptions that the provider marks as test, and none with real money.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "money.test-mode", title: "only test payments", group: Group::Money, examine };

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let money = subject.context.money?;
    if money.marked == 0 || money.paid > 0 {
        return None;
    }
    let weight = if money.marked > 1 { 3.5 } else { 3.0 };
    Some(Found::told(weight, |s| {
        let marked = s.context.money.unwrap_or_default().marked;
        format!("{marked} payment records are marked as test, none is real")
    }))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Money};
    use super::*;

    #[test]
    fn test_payments_count_and_a_single_real_one_silences_them() {
        let weigh = |marked, paid| {
            let context = Context { money: Some(Money { marked, paid }), ..Context::default() };
            check::weight(&DETECTOR, &check::user("Jane Smith", ""), &context)
        };
        assert!(weigh(3, 0) >= 3.0);
        assert!(weigh(3, 1).abs() < 1e-9 && weigh(0, 0).abs() < 1e-9);
    }
}
