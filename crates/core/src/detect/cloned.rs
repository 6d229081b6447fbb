//! The same salted password hash, telephone number, device or IP in many rows.
//!
//! Scripts copy values; so do families, offices and mobile networks. It supports other signals and never suffices:
//! a scan only asks for rows for which something else speaks too. A constant that most rows share, such as the hash
//! of people who log in elsewhere, says nothing and is not reported as cloned.

use super::record::{Cloned, Shared};
use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "value.cloned", title: "shares a value with other rows", group: Group::Clone, examine };

/// What a shared value can add at most.
pub const WEIGHT_MAX: f64 = 2.2;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let weight = weight(subject.context.cloned?);
    (weight > 0.0).then(|| Found::told(weight, |s| s.context.cloned.map_or_else(String::new, says)))
}

/// What a shared value weighs; 0 for little enough to be chance.
pub fn weight(cloned: Cloned) -> f64 {
    match (cloned.what, cloned.rows) {
        (_, ..3) => 0.0,
        (Shared::Password, 3..10) => 1.5,
        (Shared::Password, _) => WEIGHT_MAX,
        // One office has one telephone.
        (_, _) if !cloned.tenants => 0.0,
        (Shared::Phone | Shared::Device, 3..10) => 1.5,
        (Shared::Phone | Shared::Device, _) => 2.0,
        (Shared::Ip, ..10) => 0.0,
        (Shared::Ip, _) => 1.0,
        // Importers and resellers make customers for others.
        (Shared::Creator, ..25) => 0.0,
        (Shared::Creator, _) => 1.0,
    }
}

fn says(cloned: Cloned) -> String {
    let what = match cloned.what {
        Shared::Password => "password hash",
        Shared::Phone => "telephone number",
        Shared::Device => "device",
        Shared::Ip => "IP address",
        Shared::Creator => "creator or API key",
    };
    format!("{} rows share its {what}", cloned.rows)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::super::score::Verdict;
    use super::*;

    #[test]
    fn a_copied_hash_counts_and_a_shared_office_does_not() {
        let weigh = |what, rows, tenants| {
            let cloned = Some(Cloned { what, rows, tenants });
            check::weight(&DETECTOR, &check::user("Jane", ""), &Context { cloned, ..Context::default() })
        };
        assert!(weigh(Shared::Password, 40, false) > 2.0 && weigh(Shared::Phone, 12, true) > 1.5);
        assert!(weigh(Shared::Phone, 12, false).abs() < 1e-9 && weigh(Shared::Ip, 5, true).abs() < 1e-9);
        assert!(weigh(Shared::Password, 2, true).abs() < 1e-9);
        assert!(weigh(Shared::Creator, 300, true) > 0.5);
        assert!(
            weigh(Shared::Creator, 300, false).abs() < 1e-9 && weigh(Shared::Creator, 9, true).abs() < 1e-9
        );
    }

    #[test]
    fn a_shared_value_alone_makes_nobody_a_test() {
        let cloned = Some(Cloned { what: Shared::Password, rows: 900, tenants: true });
        let maria = check::user("Maria Okafor", "maria@brennan.com");
        assert_eq!(check::verdict(&maria, &Context { cloned, ..Context::default() }), Verdict::Real);
    }
}
