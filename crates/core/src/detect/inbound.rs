//! Evidence against: rows of a protected tenant refer to it, as colleagues, customers or partners are referred to.
//!
//! A test tenant may well have been made beside a real one, so this alone outweighs no flag and no test name with a
//! test address; it keeps what only looks a little like test data from being called so.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector = Detector {
    id: "graph.protected",
    title: "rows of protected tenants refer to it",
    group: Group::Inbound,
    examine,
};

/// One or two rows may be somebody's mistake.
const SEVERAL_MIN: u64 = 3;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let weight = match subject.context.vouching_rows {
        0 => return None,
        1..SEVERAL_MIN => -2.0,
        SEVERAL_MIN.. => -3.5,
    };
    Some(Found::told(weight, |s| match s.context.vouching_rows {
        1 => "a row of a protected tenant refers to it".to_owned(),
        rows => format!("{rows} rows of protected tenants refer to it"),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::super::score::Verdict;
    use super::*;

    fn by(vouching_rows: u64) -> Context {
        Context { vouching_rows, ..Context::default() }
    }

    #[test]
    fn references_from_protected_tenants_speak_against_and_none_say_nothing() {
        let weigh = |rows| check::weight(&DETECTOR, &check::user("Jane Smith", ""), &by(rows));
        assert!(weigh(1) < -1.0 && weigh(40) < weigh(1));
        assert!(weigh(0).abs() < 1e-9);
    }

    #[test]
    fn what_only_looks_a_little_like_a_test_is_no_longer_one_and_a_plain_test_stays_one() {
        let asked = check::user("Demo Lewis", "demo@mailinator.com");
        let (alone, vouched) = (check::verdict(&asked, &by(0)), check::verdict(&asked, &by(9)));
        assert!(alone < vouched, "{alone:?} and {vouched:?}");
        let plain = check::tenant("Test Tenant 1741564800", "test-tenant-1741564800", "test@example.com");
        assert_eq!(check::verdict(&plain, &by(9)), Verdict::Test);
    }
}
