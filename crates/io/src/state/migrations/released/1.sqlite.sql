PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT;
INSERT INTO schema_version VALUES(1,'2026-11-21T11:17:07.865Z');
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
INSERT INTO runs VALUES('r-1',1,'d35f1aa7','blake3:d35f1aa7501a7d20a225b206fcbccb47cab7b0148b5f0f41782a13543631db7b','verified','2026-11-21T11:17:07.910Z','2026-11-21T11:17:08.009Z','dana',1,'{"archive":".unseed/archive/r-1","baseline":{"orphans":{},"protected":[]},"batches":{"done":1,"total":1},"batches_total":1,"changed_by_triggers":{},"finished_at":"2026-11-21T11:17:08.007Z","format":"unseed.run/1","inserted_by_triggers":{},"path":"checked","plan":"d35f1aa7","protected_after":[],"restores":[],"retries":0,"rows":{"deleted":2,"detached":0},"run":"r-1","started_at":"2026-11-21T11:17:07.910Z","statements":{"archive":0,"longest_transaction_us":11164,"total":20},"store":"main","tables":{"tenants":{"after":4,"before":5,"deleted":1,"detached":0},"users":{"after":4,"before":5,"deleted":1,"detached":0}},"timings":{"archive_ms":11,"close_ms":4,"finish_ms":25,"prepare_ms":13,"remove_ms":11,"verify_ms":4},"verification":{"archive_bytes":174,"archive_differs":[],"archive_parts":2,"at":"2026-11-21T11:17:08.254Z","orphans":{},"protected_changed":[],"protected_rows":0,"references_checked":1,"roots_checked":1,"roots_present":0}}');
INSERT INTO runs VALUES('r-2',2,'4073ac01','blake3:4073ac01ccbff7e1188e1229aa088fea640722c99802ca87343e1648fcae4b48','restored','2026-11-21T11:17:08.139Z','2026-11-21T11:17:08.224Z','dana',2,'{"archive":".unseed/archive/r-2","baseline":{"orphans":{},"protected":[]},"batches":{"done":2,"total":2},"batches_total":2,"changed_by_triggers":{},"finished_at":"2026-11-21T11:17:08.317Z","format":"unseed.run/1","inserted_by_triggers":{},"path":"checked","plan":"4073ac01","protected_after":[],"restores":[{"at":"2026-11-21T11:17:08.300Z","committed":true,"inserted":{"tenants":2,"users":2},"reattached":{},"scope":"everything","statements":{"archive":0,"longest_transaction_us":0,"total":11}}],"retries":0,"rows":{"deleted":4,"detached":0},"run":"r-2","started_at":"2026-11-21T11:17:08.139Z","statements":{"archive":0,"longest_transaction_us":11546,"total":29},"store":"main","tables":{"tenants":{"after":2,"before":4,"deleted":2,"detached":0},"users":{"after":2,"before":4,"deleted":2,"detached":0}},"timings":{"archive_ms":23,"close_ms":1,"finish_ms":10,"prepare_ms":11,"remove_ms":16,"verify_ms":0},"verification":null}');
CREATE TABLE batches (
        run     TEXT NOT NULL REFERENCES runs (id),
        number  INTEGER NOT NULL,
        body    TEXT NOT NULL,
        PRIMARY KEY (run, number)
    ) STRICT;
INSERT INTO batches VALUES('r-1',1,'{"number":1,"state":"committed","tags":{"first":0,"last":0},"roots":[[0,0]],"segment":"batch-0001","segment_hash":"blake3:c0b5af63ad3aa5df3a0307765ac987625d7d81ceb705e1672f902d8ccec26c92","token":"0..0","removed":{"removed":{"0":1,"1":1},"detached":{},"inserted":{},"effects":{},"token":"0..0"}}');
INSERT INTO batches VALUES('r-2',1,'{"number":1,"state":"restored","tags":{"first":0,"last":0},"roots":[[0,0]],"segment":"batch-0001","segment_hash":"blake3:528113d90a3e4f4d8eec326a13c5203dbe115f1a2b4ab079bf2f5efad27c3076","token":"0..0","removed":{"removed":{"0":1,"1":1},"detached":{},"inserted":{},"effects":{},"token":"0..0"}}');
INSERT INTO batches VALUES('r-2',2,'{"number":2,"state":"restored","tags":{"first":1,"last":1},"roots":[[1,1]],"segment":"batch-0002","segment_hash":"blake3:65167889ea6c45005226d5e91fba96bb591298a06c4c134cffdaa3cb99d12863","token":"1..1","removed":{"removed":{"0":1,"1":1},"detached":{},"inserted":{},"effects":{},"token":"1..1"}}');
CREATE TABLE journal (
        sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
        at        TEXT NOT NULL,
        run       TEXT NOT NULL,
        entry     TEXT NOT NULL
    ) STRICT;
INSERT INTO journal VALUES(1,'2026-11-21T11:17:07.911Z','r-1','{"plan":"blake3:d35f1aa7501a7d20a225b206fcbccb47cab7b0148b5f0f41782a13543631db7b","run":"running"}');
INSERT INTO journal VALUES(2,'2026-11-21T11:17:07.939Z','r-1','{"run":"running"}');
INSERT INTO journal VALUES(3,'2026-11-21T11:17:07.946Z','r-1','{"run":"running"}');
INSERT INTO journal VALUES(4,'2026-11-21T11:17:07.961Z','r-1','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:c0b5af63ad3aa5df3a0307765ac987625d7d81ceb705e1672f902d8ccec26c92","state":"archived","tags":{"first":0,"last":0},"token":""}');
INSERT INTO journal VALUES(5,'2026-11-21T11:17:07.969Z','r-1','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:c0b5af63ad3aa5df3a0307765ac987625d7d81ceb705e1672f902d8ccec26c92","state":"committing","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(6,'2026-11-21T11:17:07.979Z','r-1','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:c0b5af63ad3aa5df3a0307765ac987625d7d81ceb705e1672f902d8ccec26c92","state":"committed","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(7,'2026-11-21T11:17:08.009Z','r-1','{"run":"done"}');
INSERT INTO journal VALUES(8,'2026-11-21T11:17:08.140Z','r-2','{"plan":"blake3:4073ac01ccbff7e1188e1229aa088fea640722c99802ca87343e1648fcae4b48","run":"running"}');
INSERT INTO journal VALUES(9,'2026-11-21T11:17:08.157Z','r-2','{"run":"running"}');
INSERT INTO journal VALUES(10,'2026-11-21T11:17:08.160Z','r-2','{"run":"running"}');
INSERT INTO journal VALUES(11,'2026-11-21T11:17:08.182Z','r-2','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:528113d90a3e4f4d8eec326a13c5203dbe115f1a2b4ab079bf2f5efad27c3076","state":"archived","tags":{"first":0,"last":0},"token":""}');
INSERT INTO journal VALUES(12,'2026-11-21T11:17:08.189Z','r-2','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:528113d90a3e4f4d8eec326a13c5203dbe115f1a2b4ab079bf2f5efad27c3076","state":"committing","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(13,'2026-11-21T11:17:08.200Z','r-2','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:528113d90a3e4f4d8eec326a13c5203dbe115f1a2b4ab079bf2f5efad27c3076","state":"committed","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(14,'2026-11-21T11:17:08.207Z','r-2','{"batch":2,"segment":"batch-0002","segment_hash":"blake3:65167889ea6c45005226d5e91fba96bb591298a06c4c134cffdaa3cb99d12863","state":"archived","tags":{"first":1,"last":1},"token":""}');
INSERT INTO journal VALUES(15,'2026-11-21T11:17:08.209Z','r-2','{"batch":2,"segment":"batch-0002","segment_hash":"blake3:65167889ea6c45005226d5e91fba96bb591298a06c4c134cffdaa3cb99d12863","state":"committing","tags":{"first":1,"last":1},"token":"1..1"}');
INSERT INTO journal VALUES(16,'2026-11-21T11:17:08.213Z','r-2','{"batch":2,"segment":"batch-0002","segment_hash":"blake3:65167889ea6c45005226d5e91fba96bb591298a06c4c134cffdaa3cb99d12863","state":"committed","tags":{"first":1,"last":1},"token":"1..1"}');
INSERT INTO journal VALUES(17,'2026-11-21T11:17:08.224Z','r-2','{"run":"done"}');
INSERT INTO journal VALUES(18,'2026-11-21T11:17:08.255Z','r-1','{"run":"verified"}');
INSERT INTO journal VALUES(19,'2026-11-21T11:17:08.300Z','r-2','{"run":"done"}');
INSERT INTO journal VALUES(20,'2026-11-21T11:17:08.310Z','r-2','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:528113d90a3e4f4d8eec326a13c5203dbe115f1a2b4ab079bf2f5efad27c3076","state":"restored","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(21,'2026-11-21T11:17:08.315Z','r-2','{"batch":2,"segment":"batch-0002","segment_hash":"blake3:65167889ea6c45005226d5e91fba96bb591298a06c4c134cffdaa3cb99d12863","state":"restored","tags":{"first":1,"last":1},"token":"1..1"}');
INSERT INTO journal VALUES(22,'2026-11-21T11:17:08.317Z','r-2','{"run":"restored"}');
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
INSERT INTO audit VALUES(1,'2026-11-21T11:17:07.919Z','dana','purge.run','r-1','started','2a50d5ff462e8bbc3c668715cbe6ebc64067c4499152805c7afb2e946cff8817');
INSERT INTO audit VALUES(2,'2026-11-21T11:17:07.948Z','dana','purge.batch','r-1/1','started','3c8fa05bca93eec59022e722b114cdbe0e8b1f4b42873427e6603be83a813c95');
INSERT INTO audit VALUES(3,'2026-11-21T11:17:07.976Z','dana','purge.batch','r-1/1','committed','fbd50a4315470e31f9bdd9260e0c62e0f28c8403412321fc7df4e4a9d06a079e');
INSERT INTO audit VALUES(4,'2026-11-21T11:17:08.013Z','dana','purge.run','r-1','done','c9dd505aa6e5364bd1d9c18d8ad22a02854ee98d8667c65f71e4414b95c8b599');
INSERT INTO audit VALUES(5,'2026-11-21T11:17:08.143Z','dana','purge.run','r-2','started','2269c2faef8003d47e40f6054d3f2733727c5dc05e9eb8a332289a2792f393a8');
INSERT INTO audit VALUES(6,'2026-11-21T11:17:08.161Z','dana','purge.batch','r-2/1','started','fabcb9047ca7f56cd2e638b6d7b8d63c7ee67f447658e88db36d49c16f76bf86');
INSERT INTO audit VALUES(7,'2026-11-21T11:17:08.199Z','dana','purge.batch','r-2/1','committed','8a12c8e7038d81d04ef593e84637c54096903c2e6a633b1cbbeb268cbf6bbecd');
INSERT INTO audit VALUES(8,'2026-11-21T11:17:08.200Z','dana','purge.batch','r-2/2','started','a443b478d1c4d02b3f1ef73fd49bd57080bc98eb5cbe9c0975370dd1cdb623af');
INSERT INTO audit VALUES(9,'2026-11-21T11:17:08.212Z','dana','purge.batch','r-2/2','committed','87da6a0fa7d03ec62c8e77da46797c628ae0aaa2e93301b429eaae32c4a74c4e');
INSERT INTO audit VALUES(10,'2026-11-21T11:17:08.227Z','dana','purge.run','r-2','done','683101e49aca9aa407dd92467cb14f485b90d4766a01fd80c9403da87fe0c612');
INSERT INTO audit VALUES(11,'2026-11-21T11:17:08.250Z','dana','verify.run','r-1','started','57c3404bdba9a00d1a25b321ac1cc855d8e094211bb4cb078b3a06031ec94351');
INSERT INTO audit VALUES(12,'2026-11-21T11:17:08.256Z','dana','verify.run','r-1','clean','fc31dd757f79e3ef0a7ee12fc1ff9eb8b6ac4940b16b0e86831ccb9fd7c6a414');
INSERT INTO audit VALUES(13,'2026-11-21T11:17:08.288Z','dana','restore.run','r-2','started','d7380582375c1a69f808aa6f49e51cfbfdfd17c518c8e0986e90cb1d6b0a4ee2');
INSERT INTO audit VALUES(14,'2026-11-21T11:17:08.343Z','dana','restore.run','r-2','committed','ac45657a49f4b0d3ab63d3740b40dd857ad2193cc4c5d05ac50504628508fe59');
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
INSERT INTO leases VALUES('r-1','dana@elsewhere','elsewhere/4711/99/1','elsewhere',4711,99,1763724000000);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('journal',22);
INSERT INTO sqlite_sequence VALUES('audit',14);
CREATE UNIQUE INDEX runs_plan_digest ON runs (plan_digest);
CREATE INDEX journal_run ON journal (run, sequence);
CREATE TRIGGER journal_is_never_changed BEFORE UPDATE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_is_never_shortened BEFORE DELETE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
COMMIT;
