//! What PostgreSQL really does, and where a naive purge loses rows because of it: every trap is set up, purged
//! with the real binary, verified and restored.
//!
//! Each test says in its name what must hold. Where both ways of removing must agree, it runs on both: as a
//! superuser, who may skip the server's checks, and as the owner of the tables, who may not.

mod access;
mod ahead;
mod effects;
mod hidden;
mod news;
mod races;
mod references;
mod remainder;
mod restoring;
mod rewrite;
mod server;
mod unchecked;
mod values;

pub(crate) use races::{Holder, wait_for};

use crate::lab::Lab;

/// Runs the whole circle on both ways.
#[track_caller]
fn on_both_ways(ddl: &str, roots: &str, gone: &[(&str, usize)]) {
    Lab::postgres(ddl).circle(roots, &["--path", "fast"], gone);
    Lab::postgres(ddl).owned().circle(roots, &[], gone);
}

/// A test tenant with two users, one session each, and a real one; nothing unusual.
const SHOP: &str = "
    CREATE TABLE tenants (id int PRIMARY KEY, name text NOT NULL);
    CREATE TABLE users (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, email text);
    CREATE TABLE sessions (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE, agent text);
    CREATE INDEX ON users (tenant_id); CREATE INDEX ON sessions (user_id);
    INSERT INTO tenants VALUES (1, 'Brennan'), (2, 'Test 2');
    INSERT INTO users VALUES (1, 1, 'maria@brennan.com'), (2, 2, 'a@test.com'), (3, 2, 'b@test.com');
    INSERT INTO sessions VALUES (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z');";
