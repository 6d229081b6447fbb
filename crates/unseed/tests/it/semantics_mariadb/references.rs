//! Foreign keys: row-by-row checks, cycles, cascades, what is only detached.

use super::{LEFT, SHOP};
use crate::lab::Lab;

#[test]
fn a_tenant_with_children_goes_and_comes_back() {
    Lab::mariadb(SHOP).circle("tenants: id = 2", &[], &LEFT);
}

#[test]
fn a_tenant_goes_with_the_servers_own_checks_on() {
    Lab::mariadb(SHOP).circle("tenants: id = 2", &["--path", "checked"], &LEFT);
}

/// The server checks row by row: one DELETE of a chain fails, and a row that refers to itself can never go.
#[test]
fn self_references_go_in_one_batch() {
    let lab = Lab::mariadb(
        "CREATE TABLE nodes (id INT PRIMARY KEY, parent INT NOT NULL, FOREIGN KEY (parent) REFERENCES nodes (id));
         INSERT INTO nodes VALUES (1, 1); INSERT INTO nodes VALUES (2, 2);
         INSERT INTO nodes SELECT seq, seq - 1 FROM seq_3_to_40;",
    );
    assert!(lab.maria().sql("DELETE FROM nodes WHERE id = 2").is_err(), "a naive DELETE fails");
    lab.circle("nodes: id = 2", &[], &[("nodes", 39)]);
}
