//! What MariaDB really does, and where a naive purge loses rows because of it: checks row by row, cascades that
//! nobody counts, collations, statements that commit.

mod leaves;
mod references;
mod runs;
mod sessions;
mod triggers;
mod values;

/// A test tenant with two users, one session each, and a real one; nothing unusual.
const SHOP: &str = "
    CREATE TABLE tenants (id INT PRIMARY KEY, name VARCHAR(60) NOT NULL);
    CREATE TABLE users (id INT PRIMARY KEY, tenant_id INT NOT NULL, email VARCHAR(60), FOREIGN KEY (tenant_id) REFERENCES tenants (id));
    CREATE TABLE sessions (id INT PRIMARY KEY, user_id INT NOT NULL, agent TEXT, FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE);
    INSERT INTO tenants VALUES (1, 'Brennan'), (2, 'Test 2');
    INSERT INTO users VALUES (1, 1, 'maria@brennan.com'), (2, 2, 'a@test.com'), (3, 2, 'b@test.com');
    INSERT INTO sessions VALUES (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z');";

const LEFT: [(&str, usize); 3] = [("tenants", 1), ("users", 2), ("sessions", 2)];

/// The same, where sessions refer to two tables: their rows are kept as keys and hashes, and not locked while they are
/// archived.
const SHOP_BY_KEYS: &str = "
    CREATE TABLE tenants (id INT PRIMARY KEY, name VARCHAR(60) NOT NULL);
    CREATE TABLE users (id INT PRIMARY KEY, tenant_id INT NOT NULL, email VARCHAR(60), FOREIGN KEY (tenant_id) REFERENCES tenants (id));
    CREATE TABLE sessions (id INT PRIMARY KEY, user_id INT NOT NULL, agent TEXT, tenant_id INT, FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id) REFERENCES tenants (id));
    INSERT INTO tenants VALUES (1, 'Brennan'), (2, 'Test 2');
    INSERT INTO users VALUES (1, 1, 'maria@brennan.com'), (2, 2, 'a@test.com'), (3, 2, 'b@test.com');
    INSERT INTO sessions VALUES (1, 1, 'x', 1), (2, 2, 'y', NULL), (3, 3, 'z', 2);";
