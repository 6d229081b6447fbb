//! A tenant by its users: all look like tests, or they are people with log-ins over weeks.

use super::record::Members;
use super::{Detector, Found, Group, Subject};

pub(super) const DETECTOR: Detector =
    Detector { id: "graph.users", title: "its users look like test data", group: Group::Graph, examine };

/// Distinct people from which a tenant is in real use.
const PEOPLE_MIN: u64 = 2;

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let members = subject.context.members?;
    if members.users == 0 {
        return None;
    }
    let weight = weigh(members);
    (weight.abs() >= 0.3).then(|| Found::told(weight, |s| says(s.context.members.unwrap_or_default())))
}

fn says(members: Members) -> String {
    match (members.test_like, members.people) {
        (0, people @ PEOPLE_MIN..) => {
            format!("{people} of its {} users log in over weeks like people", members.users)
        }
        (test_like, _) => format!("{test_like} of its {} users look like test data", members.users),
    }
}

fn weigh(members: Members) -> f64 {
    let people = if members.people >= PEOPLE_MIN { -1.5 } else { 0.0 };
    (members.evidence_mean * 0.6 + people).clamp(-3.5, 3.2)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[track_caller]
    fn weigh_members(members: Members) -> f64 {
        let context = Context { members: Some(members), ..Context::default() };
        check::weight(&DETECTOR, &check::tenant("Bluewater Logistics", "", ""), &context)
    }

    #[test]
    fn users_speak_for_their_tenant_in_both_directions() {
        assert!(weigh_members(Members { users: 2, test_like: 2, people: 0, evidence_mean: 7.0 }) > 2.5);
        assert!(weigh_members(Members { users: 14, test_like: 0, people: 12, evidence_mean: -2.0 }) < -2.0);
    }

    #[test]
    fn no_users_say_nothing() {
        assert!(weigh_members(Members::default()).abs() < 1e-9);
    }
}
