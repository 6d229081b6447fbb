-- Approvals, revocations, signatures over the audit log.
-- Who agreed to a run; runs of earlier versions were confirmed by their id.
ALTER TABLE runs ADD COLUMN consent TEXT NOT NULL DEFAULT '{"by":"id"}';

CREATE TABLE approvals (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL,
    plan_digest  TEXT NOT NULL,
    body         TEXT NOT NULL,
    UNIQUE (plan_digest, id)
) STRICT;
CREATE TRIGGER approvals_are_never_changed BEFORE UPDATE ON approvals
    BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;
CREATE TRIGGER approvals_are_never_removed BEFORE DELETE ON approvals
    BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;

CREATE TABLE revocations (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    plan_digest  TEXT NOT NULL,
    approval     TEXT NOT NULL,
    at           TEXT NOT NULL,
    actor        TEXT NOT NULL
) STRICT;
CREATE INDEX revocations_plan ON revocations (plan_digest);
CREATE TRIGGER revocations_are_never_changed BEFORE UPDATE ON revocations
    BEGIN SELECT RAISE(ABORT, 'revocations are append-only'); END;
CREATE TRIGGER revocations_are_never_removed BEFORE DELETE ON revocations
    BEGIN SELECT RAISE(ABORT, 'revocations are append-only'); END;

CREATE TABLE checkpoints (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    statement  TEXT NOT NULL,
    signature  TEXT NOT NULL
) STRICT;
CREATE TRIGGER checkpoints_are_never_changed BEFORE UPDATE ON checkpoints
    BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
CREATE TRIGGER checkpoints_are_never_removed BEFORE DELETE ON checkpoints
    BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
