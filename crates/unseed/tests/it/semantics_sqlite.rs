//! What SQLite really does, and where a naive purge loses rows because of it: foreign keys that are off, changes
//! that are not counted, columns that hold anything.

mod locks;
mod references;
mod search;
mod triggers;
mod values;

/// A test tenant with two users, one session each, and a real one; nothing unusual.
const SHOP: &str = "
    CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE users (id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL REFERENCES tenants, email TEXT);
    CREATE TABLE sessions (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE, agent TEXT);
    INSERT INTO tenants VALUES (1, 'Brennan'), (2, 'Test 2');
    INSERT INTO users VALUES (1, 1, 'maria@brennan.com'), (2, 2, 'a@test.com'), (3, 2, 'b@test.com');
    INSERT INTO sessions VALUES (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z');";

const LEFT: [(&str, usize); 3] = [("tenants", 1), ("users", 2), ("sessions", 2)];
