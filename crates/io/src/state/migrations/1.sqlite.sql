-- Runs, batches, journal, audit log, leases.
CREATE TABLE runs (
    id           TEXT PRIMARY KEY,
    number       INTEGER NOT NULL UNIQUE,
    plan         TEXT NOT NULL,
    plan_digest  TEXT NOT NULL,
    state        TEXT NOT NULL,
    started_at   TEXT NOT NULL,
    finished_at  TEXT,
    actor        TEXT NOT NULL,
    batches_total INTEGER NOT NULL,
    report       TEXT NOT NULL
) STRICT;
-- A plan is used once.
CREATE UNIQUE INDEX runs_plan_digest ON runs (plan_digest);

CREATE TABLE batches (
    run     TEXT NOT NULL REFERENCES runs (id),
    number  INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;

CREATE TABLE journal (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    at        TEXT NOT NULL,
    run       TEXT NOT NULL,
    entry     TEXT NOT NULL
) STRICT;
CREATE INDEX journal_run ON journal (run, sequence);
CREATE TRIGGER journal_is_never_changed BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_is_never_shortened BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TABLE audit (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    at        TEXT NOT NULL,
    actor     TEXT NOT NULL,
    action    TEXT NOT NULL,
    object    TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    -- Hash of the previous entry and this one: an edit anywhere breaks every later hash.
    hash      TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TABLE leases (
    run            TEXT PRIMARY KEY,
    holder         TEXT NOT NULL,
    -- Tells two connections of one process apart.
    ticket         TEXT NOT NULL,
    host           TEXT NOT NULL,
    pid            INTEGER NOT NULL,
    process_start  INTEGER NOT NULL,
    heartbeat_ms   INTEGER NOT NULL
) STRICT;
