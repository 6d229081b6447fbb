//! A user whose tenant does not exist: left behind by an earlier removal.

use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "graph.orphan", title: "its tenant no longer exists", group: Group::Graph, examine };

fn examine(subject: &Subject<'_>) -> Option<Found> {
    subject.context.orphan.then(|| Found::new(3.3, "belongs to a tenant that does not exist"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::super::score::Verdict;
    use super::*;

    #[test]
    fn an_orphan_is_suspect_and_no_more() {
        let user = check::user("Maria Okafor", "maria@brennan.com");
        let orphan = Context { orphan: true, ..Context::default() };
        assert_eq!(check::verdict(&user, &orphan), Verdict::Suspect);
        assert!(check::weight(&DETECTOR, &user, &Context::default()).abs() < 1e-9);
    }
}
