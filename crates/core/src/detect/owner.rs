//! A user by its tenant: in a test tenant everybody is a test, in a paying one hardly anybody.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "graph.tenant", title: "its tenant looks like test data", group: Group::Graph, examine };

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let log_odds = subject.context.owner?;
    if log_odds >= 2.9 {
        return Some(Found::new(3.5, "belongs to a tenant that looks like test data"));
    }
    if log_odds >= 0.0 {
        return Some(Found::new(1.2, "belongs to a suspect tenant"));
    }
    (log_odds <= -5.0).then(|| Found::new(-2.0, "belongs to a tenant in real use"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[test]
    fn the_tenant_counts_both_ways_and_an_unclear_one_does_not() {
        let weigh = |owner| {
            check::weight(
                &DETECTOR,
                &check::user("Jane Smith", ""),
                &Context { owner: Some(owner), ..Context::default() },
            )
        };
        assert!(weigh(4.0) > 3.0 && weigh(-8.0) < -1.5);
        assert!(weigh(-3.0).abs() < 1e-9);
    }
}
