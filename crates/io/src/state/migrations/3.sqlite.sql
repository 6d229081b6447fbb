-- Leases that end by the clock of the database, and fencing tokens; numbers that several processes give out.

ALTER TABLE leases ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0;
UPDATE leases SET epoch = 1, expires_ms = heartbeat_ms + 60000;
-- A process of an earlier version that is still at work misses these, and stops.
ALTER TABLE leases DROP COLUMN ticket;
ALTER TABLE leases DROP COLUMN heartbeat_ms;

CREATE TABLE issued (
    name    TEXT PRIMARY KEY,
    -- The highest number that was ever given out, even if its entry is gone.
    number  INTEGER NOT NULL
) STRICT;
INSERT INTO issued VALUES ('run', 0), ('audit', coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0));
