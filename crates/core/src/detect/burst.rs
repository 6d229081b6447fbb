//! Many rows of one table created within the same second.
//!
//! A script did it. Imports of real customers do it too, so a burst alone never makes a row test.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector = Detector {
    id: "created.burst",
    title: "created in the same second as many others",
    group: Group::Creation,
    examine,
};

/// Rows within a second from which it counts.
pub(super) const ROWS_MIN: u64 = 8;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let rows = subject.context.burst_rows;
    let weight = match rows {
        0..ROWS_MIN => return None,
        ROWS_MIN..25 => 2.0,
        25.. => 2.6,
    };
    Some(Found::told(weight, |s| {
        format!("created in the same second as {} other rows", s.context.burst_rows - 1)
    }))
}

#[cfg(test)]
mod tests {
    use super::super::check::{self, verdict};
    use super::super::record::Context;
    use super::super::score::Verdict;
    use super::*;

    #[test]
    fn a_burst_counts_but_an_import_of_real_people_is_not_test() {
        let context = |burst_rows| Context { burst_rows, ..Context::default() };
        let maria = check::user("Maria Okafor", "maria@brennan.com");
        assert!(check::weight(&DETECTOR, &maria, &context(100)) > 2.0);
        assert!(check::weight(&DETECTOR, &maria, &context(3)).abs() < 1e-9);
        assert_ne!(verdict(&maria, &context(500)), Verdict::Test);
    }
}
