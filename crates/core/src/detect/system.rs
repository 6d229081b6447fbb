//! Evidence against: rows that belong to the application itself, and its administrators.
//!
//! `System Default Tenant`, `default`, `root`: nobody pays for them and nothing works without them. The role
//! `admin` counts where it rules the application, not within one tenant, where test users have it as well.

use super::{Detector, Found, Group, Subject};
use crate::entity::Entity;

pub(super) const DETECTOR: Detector =
    Detector { id: "role.system", title: "belongs to the application itself", group: Group::Role, examine };

/// Words of rows that the application made for itself.
pub(super) const WORDS: &str = "\
    system default root superadmin sysadmin administrator anonymous internal platform management global \
    public support noreply webmaster postmaster daemon nobody service_account";

const ROLES: &[&str] = &[
    "admin",
    "superadmin",
    "super_admin",
    "superuser",
    "administrator",
    "root",
    "system",
    "staff",
    "sysadmin",
];
const TRUE: &[&str] = &["t", "true", "1"];

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let name = &subject.words.name;
    let handle = if name.is_empty() { &subject.words.slug } else { name };
    let handle = if handle.is_empty() { &subject.words.username } else { handle };
    let c = &handle.counts;
    if c.system > 0 && c.strong + c.soft + c.junk + c.content + c.trade == 0 {
        return Some(Found::new(-3.0, "row belongs to the application itself"));
    }
    let role = subject.record.role;
    if role.is_empty() {
        return None;
    }
    let rules = ROLES.iter().chain(TRUE).any(|r| role.eq_ignore_ascii_case(r));
    let applies = rules && subject.record.entity == Entity::User;
    match (applies, subject.context.belongs) {
        (true, false) => Some(Found::new(-3.0, "user administers the application")),
        (true, true) => Some(Found::new(-0.3, "user administers its tenant")),
        (false, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::{Context, Record};
    use super::*;

    #[test]
    fn system_rows_and_administrators_are_kept() {
        let none = Context::default();
        assert!(
            check::weight(&DETECTOR, &check::tenant("System Default Tenant", "default", ""), &none) < -2.0
        );
        let admin = Record { role: "ADMIN", ..check::user("Site Admin", "root@fieldops.app") };
        assert!(check::weight(&DETECTOR, &admin, &none) < -2.0);
    }

    #[test]
    fn a_test_system_and_an_administrator_of_a_tenant_are_not_kept_for_it() {
        let none = Context::default();
        assert!(check::weight(&DETECTOR, &check::tenant("Test System", "", ""), &none).abs() < 1e-9);
        let admin = Record { role: "admin", ..check::user("Jane", "") };
        assert!(check::weight(&DETECTOR, &admin, &Context { belongs: true, ..none }) > -0.5);
    }
}
