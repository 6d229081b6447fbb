//! The database of the demo: an application with real customers, and what tests and a seed script left.
//!
//! Invariants
//! - the same script every time: no clock, no randomness;
//! - it holds every shape that makes a removal hard: rows of test data that real rows point at, a cycle, a
//!   self reference, references without a cascade, references that are set to null.
//!
//! Not here: what is then done with it (`demo`).

use std::fmt::Write;

/// What a reader should know.
pub(super) const STORY: &str = "An application with three real tenants (one customer, two of the system) and about forty real users.\n\
    End-to-end tests have left 60 tenants behind, with users, projects and invoices. A seed script that was\n\
    run against production has made a hundred demo users within milliseconds, with sessions, payments and\n\
    reports. Real people have worked with some of it: a demo user is named as reviewer of real reports.";

/// Rows that must stay.
pub(super) const PROTECT: [&str; 2] = [
    "tenants.id=7d1f0c52-3b9e-4c58-9f4e-2a6b8e51c0d7,00000000-0000-4000-8000-000000000001",
    "users.email=admin@statusboard.io",
];

/// Small batches, so that there are several.
pub(super) const BATCH_ROWS: u64 = 400;

const SCHEMA: &str = "
CREATE TABLE tenants (
  id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, subdomain TEXT NOT NULL UNIQUE, billing_email TEXT,
  created_at TEXT NOT NULL);
CREATE TABLE users (
  id INTEGER PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id),
  email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, role TEXT NOT NULL DEFAULT 'member',
  invited_by INTEGER REFERENCES users (id) ON DELETE SET NULL,
  default_project_id INTEGER REFERENCES projects (id),
  last_login_at TEXT, created_at TEXT NOT NULL);
CREATE TABLE projects (
  id INTEGER PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  owner_id INTEGER NOT NULL REFERENCES users (id), name TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE invoices (
  id INTEGER PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE RESTRICT,
  number TEXT NOT NULL UNIQUE, amount_cents INTEGER NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  ip TEXT, started_at TEXT NOT NULL);
CREATE TABLE payments (
  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id),
  amount_cents INTEGER NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE reports (
  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  reviewer_id INTEGER REFERENCES users (id) ON DELETE SET NULL, title TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE INDEX users_tenant ON users (tenant_id);
CREATE INDEX users_invited_by ON users (invited_by);
CREATE INDEX users_default_project ON users (default_project_id);
CREATE INDEX projects_tenant ON projects (tenant_id);
CREATE INDEX projects_owner ON projects (owner_id);
CREATE INDEX invoices_tenant ON invoices (tenant_id);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX reports_user ON reports (user_id);
CREATE INDEX reports_reviewer ON reports (reviewer_id);
";

const BRENNAN: &str = "7d1f0c52-3b9e-4c58-9f4e-2a6b8e51c0d7";
const SYSTEM: &str = "00000000-0000-4000-8000-000000000001";
const DEFAULT: &str = "00000000-0000-4000-8000-000000000002";

const FIRST: [&str; 12] = [
    "Maria", "James", "Sofia", "Daniel", "Hannah", "Marco", "Ines", "Oliver", "Priya", "Thomas", "Jin",
    "Elena",
];
const LAST: [&str; 11] = [
    "Keller",
    "Okafor",
    "Brandt",
    "Silva",
    "Novak",
    "Tester",
    "Haddad",
    "Moreau",
    "Lindqvist",
    "Park",
    "Demopoulos",
];

/// The whole database.
pub(super) fn script() -> String {
    let mut script = Script { sql: SCHEMA.to_owned(), users: 0, projects: 0, invoices: 0 };
    script.real();
    script.tests();
    script.seeds();
    script.mixed();
    script.sql
}

struct Script {
    sql: String,
    users: u64,
    projects: u64,
    invoices: u64,
}

impl Script {
    fn add(&mut self, statement: std::fmt::Arguments<'_>) {
        self.sql.write_fmt(statement).expect("writing to a string cannot fail");
        self.sql.push_str(";\n");
    }

    fn tenant(&mut self, id: &str, name: &str, subdomain: &str, mail: &str, at: &str) {
        self.add(format_args!(
            "INSERT INTO tenants VALUES ('{id}', '{name}', '{subdomain}', '{mail}', '{at}')"
        ));
    }

    fn user(&mut self, tenant: &str, email: &str, name: &str, at: &str) -> u64 {
        self.users += 1;
        let id = self.users;
        self.add(format_args!(
            "INSERT INTO users (id, tenant_id, email, name, created_at) VALUES ({id}, '{tenant}', '{email}', '{name}', '{at}')"
        ));
        id
    }

    fn project(&mut self, tenant: &str, owner: u64, name: &str, at: &str) -> u64 {
        self.projects += 1;
        let id = self.projects;
        self.add(format_args!("INSERT INTO projects VALUES ({id}, '{tenant}', {owner}, '{name}', '{at}')"));
        self.add(format_args!("UPDATE users SET default_project_id = {id} WHERE id = {owner}"));
        id
    }

    fn invoice(&mut self, tenant: &str, cents: u64, status: &str, at: &str) {
        self.invoices += 1;
        let id = self.invoices;
        self.add(format_args!(
            "INSERT INTO invoices VALUES ({id}, '{tenant}', 'INV-{id:05}', {cents}, '{status}', '{at}')"
        ));
    }

    /// Customers and staff, spread over two years of work.
    fn real(&mut self) {
        self.tenant(
            BRENNAN,
            "Brennan Machinery",
            "brennan",
            "accounts@brennan-machinery.com",
            "2024-02-05 09:12:44",
        );
        self.tenant(SYSTEM, "System Management", "system", "ops@statusboard.io", "2023-11-01 08:00:00");
        self.tenant(DEFAULT, "System Default Tenant", "default", "ops@statusboard.io", "2023-11-01 08:00:03");
        let admin = self.user(SYSTEM, "admin@statusboard.io", "Administrator", "2023-11-01 08:05:10");
        self.add(format_args!(
            "UPDATE users SET role = 'admin', last_login_at = '2026-01-11 17:40:02' WHERE id = {admin}"
        ));
        for number in 0..40_usize {
            let (first, last) = (FIRST[number * 5 % FIRST.len()], LAST[number * 7 % LAST.len()]);
            let (month, day) = (number % 12 + 1, number * 3 % 27 + 1);
            let year = 2024 + number / 25;
            let (tenant, domain) =
                if number % 3 == 0 { (DEFAULT, "posteo.net") } else { (BRENNAN, "brennan-machinery.com") };
            let mail = format!("{}.{}{}@{domain}", first.to_lowercase(), last.to_lowercase(), number % 4 + 1);
            let at = format!(
                "{year}-{month:02}-{day:02} {:02}:{:02}:{:02}",
                8 + number % 9,
                number * 11 % 60,
                number * 17 % 60
            );
            let user = self.user(tenant, &mail, &format!("{first} {last}"), &at);
            self.add(format_args!(
                "UPDATE users SET last_login_at = '2026-01-{:02} 10:{:02}:00' WHERE id = {user}",
                number % 11 + 1,
                number % 60
            ));
            self.work_of(user, number, &at);
            if number % 4 == 1 {
                let project = self.project(BRENNAN, user, &format!("Line {} retrofit", number + 3), &at);
                assert!(project > 0, "projects are numbered from 1");
            }
        }
        for month in 1..=12 {
            self.invoice(BRENNAN, 48_900, "paid", &format!("2025-{month:02}-01 06:00:00"));
        }
    }

    /// Sessions, payments and reports of a person who really works here.
    fn work_of(&mut self, user: u64, number: usize, at: &str) {
        for visit in 0..6 {
            self.add(format_args!(
                "INSERT INTO sessions (user_id, ip, started_at) VALUES ({user}, '81.20.{}.{}', '2025-{:02}-{:02} {:02}:05:00')",
                number, visit + 2, visit * 2 + 1, (number * 5 + visit * 3) % 27 + 1, 7 + (number + visit) % 11
            ));
        }
        self.add(format_args!(
            "INSERT INTO payments (user_id, amount_cents, status, created_at) VALUES ({user}, {}, 'succeeded', '{at}')",
            1900 + number * 100
        ));
        self.add(format_args!(
            "INSERT INTO reports (user_id, title, created_at) VALUES ({user}, 'Downtime week {}', '{at}')",
            number + 1
        ));
    }

    /// What end-to-end tests left: tenants with machine-made names, in bursts.
    fn tests(&mut self) {
        for number in 0..60_u64 {
            let stamp = 1_767_000_000 + number * 61;
            let hex = format!("{:06x}", (number + 17) * 0x0003_1337 % 0x00ff_ffff);
            let (name, subdomain) = match number % 4 {
                0 => (format!("Test Tenant {stamp}"), format!("test-{stamp}")),
                1 => (format!("E2E Org {hex}"), format!("e2e-{hex}")),
                2 => (format!("Load Test {number}"), format!("load-test-{number}")),
                _ => (format!("demo-{hex}"), format!("demo-{hex}")),
            };
            let id = format!("5e57{number:04}-0000-4000-8000-0000000{number:05}");
            let at = format!("2026-01-05 03:1{}:0{}", number / 20, number % 3);
            self.tenant(&id, &name, &subdomain, &format!("{subdomain}@example.com"), &at);
            for person in 0..3 {
                let user = self.user(
                    &id,
                    &format!("user{person}+{subdomain}@example.com"),
                    &format!("Test User {person}"),
                    &at,
                );
                if person == 0 {
                    self.project(&id, user, &format!("Project {stamp}"), &at);
                } else {
                    self.add(format_args!("UPDATE users SET invited_by = {} WHERE id = {user}", user - 1));
                }
                self.add(format_args!(
                    "INSERT INTO sessions (user_id, ip, started_at) VALUES ({user}, '127.0.0.1', '{at}')"
                ));
            }
            self.invoice(&id, 100, "draft", &at);
        }
    }

    /// What the seed script made: a hundred users within one second.
    fn seeds(&mut self) {
        for number in 1..=100_u64 {
            let at = format!("2026-01-12 02:14:07.{:03}", number * 7);
            let user =
                self.user(DEFAULT, &format!("user{number}@test.com"), &format!("Demo User {number}"), &at);
            for _ in 0..3 {
                self.add(format_args!("INSERT INTO sessions (user_id, ip, started_at) VALUES ({user}, '10.0.0.{number}', '{at}')"));
            }
            self.add(format_args!(
                "INSERT INTO payments (user_id, amount_cents, status, created_at) VALUES ({user}, 999, 'pending', '{at}')"
            ));
            self.add(format_args!(
                "INSERT INTO reports (user_id, reviewer_id, title, created_at) VALUES ({user}, NULL, 'Sample report {number}', '{at}')"
            ));
        }
    }

    /// Real rows that point at test data: they stay, without the reference.
    fn mixed(&mut self) {
        self.add(format_args!(
            "UPDATE reports SET reviewer_id = (SELECT id FROM users WHERE email = 'user7@test.com') WHERE id IN (3, 8, 21)"
        ));
    }
}
