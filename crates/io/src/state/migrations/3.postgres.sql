-- The first version on PostgreSQL; tables and columns are those of SQLite.

CREATE TABLE runs (
    id             text PRIMARY KEY,
    number         bigint NOT NULL UNIQUE,
    plan           text NOT NULL,
    -- A plan is used once.
    plan_digest    text NOT NULL UNIQUE,
    state          text NOT NULL,
    started_at     text NOT NULL,
    finished_at    text,
    actor          text NOT NULL,
    batches_total  bigint NOT NULL,
    report         text NOT NULL,
    consent        text NOT NULL
);

CREATE TABLE batches (
    run     text NOT NULL REFERENCES runs (id),
    number  bigint NOT NULL,
    body    text NOT NULL,
    PRIMARY KEY (run, number)
);

CREATE TABLE journal (
    sequence  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        text NOT NULL,
    run       text NOT NULL,
    entry     text NOT NULL
);
CREATE INDEX journal_run ON journal (run, sequence);

CREATE TABLE audit (
    sequence  bigint PRIMARY KEY,
    at        text NOT NULL,
    actor     text NOT NULL,
    action    text NOT NULL,
    object    text NOT NULL,
    outcome   text NOT NULL,
    -- Hash of the previous entry and this one: an edit anywhere breaks every later hash.
    hash      text NOT NULL
);

CREATE TABLE approvals (
    sequence     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           text NOT NULL,
    plan_digest  text NOT NULL,
    body         text NOT NULL,
    UNIQUE (plan_digest, id)
);

CREATE TABLE revocations (
    sequence     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_digest  text NOT NULL,
    approval     text NOT NULL,
    at           text NOT NULL,
    actor        text NOT NULL
);
CREATE INDEX revocations_plan ON revocations (plan_digest);

CREATE TABLE checkpoints (
    sequence   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    statement  text NOT NULL,
    signature  text NOT NULL
);

CREATE TABLE leases (
    run            text PRIMARY KEY,
    holder         text NOT NULL,
    host           text NOT NULL,
    pid            bigint NOT NULL,
    process_start  bigint NOT NULL,
    epoch          bigint NOT NULL,
    expires_ms     bigint NOT NULL
);

CREATE TABLE issued (
    name    text PRIMARY KEY,
    -- The highest number that was ever given out, even if its entry is gone.
    number  bigint NOT NULL
);
INSERT INTO issued VALUES ('run', 0), ('audit', 0);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME;
END $$;

CREATE TRIGGER journal_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER approvals_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON approvals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER revocations_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON revocations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER checkpoints_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- They fire in sessions that switch ordinary triggers off, too.
ALTER TABLE journal ENABLE ALWAYS TRIGGER journal_is_append_only;
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_is_append_only;
ALTER TABLE approvals ENABLE ALWAYS TRIGGER approvals_are_append_only;
ALTER TABLE revocations ENABLE ALWAYS TRIGGER revocations_are_append_only;
ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_are_append_only;
