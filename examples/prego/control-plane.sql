-- The control plane: which tenants there are, where their site runs, who may enter.
CREATE TABLE tenants (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, subdomain TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL);
CREATE TABLE tenant_runtime (
    tenant_id TEXT PRIMARY KEY REFERENCES tenants (id), site_name TEXT NOT NULL, node TEXT NOT NULL);
CREATE TABLE users (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE user_tenants (
    user_id TEXT NOT NULL REFERENCES users (id), tenant_id TEXT NOT NULL REFERENCES tenants (id),
    role TEXT NOT NULL, PRIMARY KEY (user_id, tenant_id));
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), created_at TEXT NOT NULL);
CREATE TABLE otps (id INTEGER PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), kind TEXT NOT NULL);
CREATE TABLE contracts (
    id INTEGER PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), cents INTEGER NOT NULL);
CREATE INDEX user_tenants_tenant ON user_tenants (tenant_id);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX otps_user ON otps (user_id);
CREATE INDEX jobs_tenant ON jobs (tenant_id);
CREATE INDEX contracts_tenant ON contracts (tenant_id);

INSERT INTO tenants VALUES
    ('t-001', 'Hanbit Logistics', 'hanbit', '2025-03-04 09:12:44'),
    ('t-002', 'Kowalski Metals', 'kowalski', '2025-06-11 13:01:02'),
    ('t-003', 'Brennan Machinery', 'brennan', '2025-08-20 07:45:31'),
    ('t-101', 'QA Trial 1712345678', 'qa-trial-1', '2026-01-05 03:11:07'),
    ('t-102', 'QA Trial 1712345679', 'qa-trial-2', '2026-01-05 03:11:08');
INSERT INTO tenant_runtime SELECT id, subdomain || '.erp.example', 'node-1' FROM tenants;
INSERT INTO users VALUES
    ('u-001', 'Jiwoo.Han@hanbit.example', 'Jiwoo Han', '2025-03-04 09:20:00'),
    ('u-002', 'a.kowalski@kowalski.example', 'Adam Kowalski', '2025-06-11 13:05:00'),
    ('u-003', 'm.keller@brennan.example', 'Maria Keller', '2025-08-20 08:00:00'),
    ('u-101', 'QA+1@prego-test.example', 'QA One', '2026-01-05 03:11:09'),
    ('u-102', 'qa+2@prego-test.example', 'QA Two', '2026-01-05 03:11:10');
INSERT INTO user_tenants VALUES
    ('u-001', 't-001', 'owner'), ('u-002', 't-002', 'owner'), ('u-003', 't-003', 'owner'),
    ('u-101', 't-101', 'owner'), ('u-102', 't-102', 'owner'), ('u-101', 't-102', 'member');
INSERT INTO sessions (user_id, created_at) SELECT id, created_at FROM users;
INSERT INTO otps (user_id) SELECT id FROM users;
INSERT INTO jobs (tenant_id, kind) SELECT id, 'provision' FROM tenants;
INSERT INTO contracts (tenant_id, cents) SELECT id, 4900 FROM tenants WHERE id < 't-1';
