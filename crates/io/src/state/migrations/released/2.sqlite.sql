PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT;
INSERT INTO schema_version VALUES(1,'2026-11-21T11:17:34.111Z');
INSERT INTO schema_version VALUES(2,'2026-11-21T11:17:34.111Z');
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
    , consent TEXT NOT NULL DEFAULT '{"by":"id"}') STRICT;
INSERT INTO runs VALUES('r-1',1,'15eeb1a2','blake3:15eeb1a22bb02c67cc5df66eef0da577f44c66e080daa7caa736b5ff12b6aa7f','verified','2026-11-21T11:17:34.158Z','2026-11-21T11:17:34.359Z','root',1,'{"archive":".unseed/archive/r-1","baseline":{"orphans":{},"protected":[]},"batches":{"done":1,"total":1},"batches_total":1,"changed_by_triggers":{},"finished_at":"2026-11-21T11:17:34.359Z","format":"unseed.run/1","inserted_by_triggers":{},"path":"checked","plan":"15eeb1a2","protected_after":[],"restores":[],"retries":0,"rows":{"deleted":2,"detached":0},"run":"r-1","started_at":"2026-11-21T11:17:34.158Z","statements":{"archive":0,"longest_transaction_us":31923,"total":20},"store":"main","tables":{"tenants":{"after":4,"before":5,"deleted":1,"detached":0},"users":{"after":4,"before":5,"deleted":1,"detached":0}},"timings":{"archive_ms":28,"close_ms":1,"finish_ms":44,"prepare_ms":39,"remove_ms":32,"verify_ms":2},"verification":{"archive_bytes":174,"archive_differs":[],"archive_parts":2,"at":"2026-11-21T11:17:34.876Z","orphans":{},"protected_changed":[],"protected_rows":0,"references_checked":1,"roots_checked":1,"roots_present":0}}','{"by":"id"}');
INSERT INTO runs VALUES('r-2',2,'bacf40e9','blake3:bacf40e96faa874cac4fc5718cdf8f339b79fd49d0ff79d1864babb9628dfad4','restored','2026-11-21T11:17:34.530Z','2026-11-21T11:17:34.823Z','root',2,'{"archive":".unseed/archive/r-2","baseline":{"orphans":{},"protected":[]},"batches":{"done":2,"total":2},"batches_total":2,"changed_by_triggers":{},"finished_at":"2026-11-21T11:17:34.947Z","format":"unseed.run/1","inserted_by_triggers":{},"path":"checked","plan":"bacf40e9","protected_after":[],"restores":[{"at":"2026-11-21T11:17:34.926Z","committed":true,"inserted":{"tenants":2,"users":2},"reattached":{},"scope":"everything","statements":{"archive":0,"longest_transaction_us":0,"total":11},"token":"restore"}],"retries":0,"rows":{"deleted":4,"detached":0},"run":"r-2","started_at":"2026-11-21T11:17:34.530Z","statements":{"archive":0,"longest_transaction_us":28008,"total":29},"store":"main","tables":{"tenants":{"after":2,"before":4,"deleted":2,"detached":0},"users":{"after":2,"before":4,"deleted":2,"detached":0}},"timings":{"archive_ms":64,"close_ms":1,"finish_ms":48,"prepare_ms":14,"remove_ms":56,"verify_ms":0},"verification":null}','{"by":"id"}');
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
INSERT INTO journal VALUES(1,'2026-11-21T11:17:34.165Z','r-1','{"plan":"blake3:15eeb1a22bb02c67cc5df66eef0da577f44c66e080daa7caa736b5ff12b6aa7f","run":"running"}');
INSERT INTO journal VALUES(2,'2026-11-21T11:17:34.223Z','r-1','{"run":"running"}');
INSERT INTO journal VALUES(3,'2026-11-21T11:17:34.228Z','r-1','{"run":"running"}');
INSERT INTO journal VALUES(4,'2026-11-21T11:17:34.267Z','r-1','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:c0b5af63ad3aa5df3a0307765ac987625d7d81ceb705e1672f902d8ccec26c92","state":"archived","tags":{"first":0,"last":0},"token":""}');
INSERT INTO journal VALUES(5,'2026-11-21T11:17:34.272Z','r-1','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:c0b5af63ad3aa5df3a0307765ac987625d7d81ceb705e1672f902d8ccec26c92","state":"committing","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(6,'2026-11-21T11:17:34.307Z','r-1','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:c0b5af63ad3aa5df3a0307765ac987625d7d81ceb705e1672f902d8ccec26c92","state":"committed","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(7,'2026-11-21T11:17:34.359Z','r-1','{"run":"done"}');
INSERT INTO journal VALUES(8,'2026-11-21T11:17:34.551Z','r-2','{"plan":"blake3:bacf40e96faa874cac4fc5718cdf8f339b79fd49d0ff79d1864babb9628dfad4","run":"running"}');
INSERT INTO journal VALUES(9,'2026-11-21T11:17:34.579Z','r-2','{"run":"running"}');
INSERT INTO journal VALUES(10,'2026-11-21T11:17:34.588Z','r-2','{"run":"running"}');
INSERT INTO journal VALUES(11,'2026-11-21T11:17:34.627Z','r-2','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:528113d90a3e4f4d8eec326a13c5203dbe115f1a2b4ab079bf2f5efad27c3076","state":"archived","tags":{"first":0,"last":0},"token":""}');
INSERT INTO journal VALUES(12,'2026-11-21T11:17:34.648Z','r-2','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:528113d90a3e4f4d8eec326a13c5203dbe115f1a2b4ab079bf2f5efad27c3076","state":"committing","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(13,'2026-11-21T11:17:34.683Z','r-2','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:528113d90a3e4f4d8eec326a13c5203dbe115f1a2b4ab079bf2f5efad27c3076","state":"committed","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(14,'2026-11-21T11:17:34.727Z','r-2','{"batch":2,"segment":"batch-0002","segment_hash":"blake3:65167889ea6c45005226d5e91fba96bb591298a06c4c134cffdaa3cb99d12863","state":"archived","tags":{"first":1,"last":1},"token":""}');
INSERT INTO journal VALUES(15,'2026-11-21T11:17:34.732Z','r-2','{"batch":2,"segment":"batch-0002","segment_hash":"blake3:65167889ea6c45005226d5e91fba96bb591298a06c4c134cffdaa3cb99d12863","state":"committing","tags":{"first":1,"last":1},"token":"1..1"}');
INSERT INTO journal VALUES(16,'2026-11-21T11:17:34.767Z','r-2','{"batch":2,"segment":"batch-0002","segment_hash":"blake3:65167889ea6c45005226d5e91fba96bb591298a06c4c134cffdaa3cb99d12863","state":"committed","tags":{"first":1,"last":1},"token":"1..1"}');
INSERT INTO journal VALUES(17,'2026-11-21T11:17:34.823Z','r-2','{"run":"done"}');
INSERT INTO journal VALUES(18,'2026-11-21T11:17:34.877Z','r-1','{"run":"verified"}');
INSERT INTO journal VALUES(19,'2026-11-21T11:17:34.926Z','r-2','{"run":"done"}');
INSERT INTO journal VALUES(20,'2026-11-21T11:17:34.934Z','r-2','{"batch":1,"segment":"batch-0001","segment_hash":"blake3:528113d90a3e4f4d8eec326a13c5203dbe115f1a2b4ab079bf2f5efad27c3076","state":"restored","tags":{"first":0,"last":0},"token":"0..0"}');
INSERT INTO journal VALUES(21,'2026-11-21T11:17:34.943Z','r-2','{"batch":2,"segment":"batch-0002","segment_hash":"blake3:65167889ea6c45005226d5e91fba96bb591298a06c4c134cffdaa3cb99d12863","state":"restored","tags":{"first":1,"last":1},"token":"1..1"}');
INSERT INTO journal VALUES(22,'2026-11-21T11:17:34.948Z','r-2','{"run":"restored"}');
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
INSERT INTO audit VALUES(1,'2026-11-21T11:17:34.159Z','root','purge.plan','blake3:15eeb1a22bb02c67cc5df66eef0da577f44c66e080daa7caa736b5ff12b6aa7f','used by r-1, confirmed by its id','a5e6a04bed6993138b3865c94f4b415f8f991dee666124393422e481967adc52');
INSERT INTO audit VALUES(2,'2026-11-21T11:17:34.179Z','root','purge.run','r-1','started','5aa54b9901d8e7f453b78aff692f4085e31a554f8a14970a65932ea1e5728d15');
INSERT INTO audit VALUES(3,'2026-11-21T11:17:34.232Z','root','purge.batch','r-1/1','started','a5934f477469ec86a936197d1399e277d55fd864869aa1b1459f8c23f3b1b5f7');
INSERT INTO audit VALUES(4,'2026-11-21T11:17:34.303Z','root','purge.batch','r-1/1','committed','06e93835bc891ca283d98503b728cbe431c36e8a43e2bfead755f8c02376b91d');
INSERT INTO audit VALUES(5,'2026-11-21T11:17:34.362Z','root','purge.run','r-1','done','efdca5fb5fc825311e45894d85d4a587bb3151e35c95d60ae7f2a67a63737d11');
INSERT INTO audit VALUES(6,'2026-11-21T11:17:34.437Z','root','purge.refused','q.json','refused: `wrong` is not the id of this plan','875f3abd4f67c4de80fe6f6c320c6219dff73f94c99d9896f7631effb7d7c610');
INSERT INTO audit VALUES(7,'2026-11-21T11:17:34.531Z','root','purge.plan','blake3:bacf40e96faa874cac4fc5718cdf8f339b79fd49d0ff79d1864babb9628dfad4','used by r-2, confirmed by its id','ea6034fb74582be0789cf05712a49f0cc0fbde8f5463a8b7444b1a46230500c2');
INSERT INTO audit VALUES(8,'2026-11-21T11:17:34.555Z','root','purge.run','r-2','started','214e778149cd20446bff4aab315b73df8d292fe4ddeeaebe6cacb8375b7b4281');
INSERT INTO audit VALUES(9,'2026-11-21T11:17:34.588Z','root','purge.batch','r-2/1','started','6fe9a9502626dfe755a7502d348cf2a868e2fc5ccaa1237c46bcdf14f36a71f5');
INSERT INTO audit VALUES(10,'2026-11-21T11:17:34.675Z','root','purge.batch','r-2/1','committed','ef9759e06e40721aef09c1ae8264888d3bbea0fbd9a0f88fb3836dc1204b960c');
INSERT INTO audit VALUES(11,'2026-11-21T11:17:34.687Z','root','purge.batch','r-2/2','started','0608e56d073a7dfa56115977ff2537f88e2a0b923cfb0f3be5b49ce7e5e1b9a6');
INSERT INTO audit VALUES(12,'2026-11-21T11:17:34.759Z','root','purge.batch','r-2/2','committed','2d8b616a552489af43e539fe96fdf4d7de9d4eec1763a8ad518d81d20280bc77');
INSERT INTO audit VALUES(13,'2026-11-21T11:17:34.826Z','root','purge.run','r-2','done','439ccbb50c94a1e1d03371c843d9f116afb73f56407485d47659224f84cfa30e');
INSERT INTO audit VALUES(14,'2026-11-21T11:17:34.874Z','root','verify.run','r-1','started','7d6883092ac6d2a58da68fbb81a4804fe33b86f795410e37ab03f1ffdd35df8d');
INSERT INTO audit VALUES(15,'2026-11-21T11:17:34.877Z','root','verify.run','r-1','clean','d71926c2711b6d1ef0387883e43382d337c373bb438209caed8ffd2cca496218');
INSERT INTO audit VALUES(16,'2026-11-21T11:17:34.917Z','root','restore.run','r-2','started, everything, confirmed by its id','1a13c17582c95af977c622b6b070cc57738a667b8fe50cff61a5226a745dfaee');
INSERT INTO audit VALUES(17,'2026-11-21T11:17:34.951Z','root','restore.run','r-2','committed','f21806f88359e342efba2a1919c93f984828c77a7f94838dd5efcc5930f2616e');
INSERT INTO audit VALUES(18,'2026-11-21T11:17:35.029Z','root','audit.checkpoint','SHA256:0lyqmjgplBjfFoJ3YffbWdqQMrPArdXNdPSObLo0l5E','started','2d88ec66e72607feb7acd88e63aafa968a3cbafff7e0669c91e394929c49885d');
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
CREATE TABLE approvals (
        sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
        id           TEXT NOT NULL,
        plan_digest  TEXT NOT NULL,
        body         TEXT NOT NULL,
        UNIQUE (plan_digest, id)
    ) STRICT;
INSERT INTO approvals VALUES(1,'a1','blake3:15eeb1a22bb02c67cc5df66eef0da577f44c66e080daa7caa736b5ff12b6aa7f','{"format":"unseed.approval/1","statement":"text","signature":"none"}');
CREATE TABLE revocations (
        sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
        plan_digest  TEXT NOT NULL,
        approval     TEXT NOT NULL,
        at           TEXT NOT NULL,
        actor        TEXT NOT NULL
    ) STRICT;
INSERT INTO revocations VALUES(1,'blake3:15eeb1a22bb02c67cc5df66eef0da577f44c66e080daa7caa736b5ff12b6aa7f','a1','2026-01-01T00:00:00.000Z','kim');
CREATE TABLE checkpoints (
        sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
        statement  TEXT NOT NULL,
        signature  TEXT NOT NULL
    ) STRICT;
INSERT INTO checkpoints VALUES(1,replace('unseed audit checkpoint 1\nsequence: 18\nhash: 2d88ec66e72607feb7acd88e63aafa968a3cbafff7e0669c91e394929c49885d\nat: 2026-11-21T11:17:35.033Z\n','\n',char(10)),replace('-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAglTrzcs8phyeijaLpxvPvlS9/A8\n4DgUuLkze9jAI27WEAAAAMdW5zZWVkLWF1ZGl0AAAAAAAAAAZzaGE1MTIAAABTAAAAC3Nz\naC1lZDI1NTE5AAAAQLyElSQ0mzHk8jF54A4OtvWKJEp8dVe8XAeSXA0obC3yavBHhGniAK\nvehI/CBCg0Op8jkshvwrIHkdBvUSy/CAI=\n-----END SSH SIGNATURE-----\n','\n',char(10)));
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('audit',18);
INSERT INTO sqlite_sequence VALUES('journal',22);
INSERT INTO sqlite_sequence VALUES('checkpoints',1);
INSERT INTO sqlite_sequence VALUES('approvals',1);
INSERT INTO sqlite_sequence VALUES('revocations',1);
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
CREATE TRIGGER approvals_are_never_changed BEFORE UPDATE ON approvals
        BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;
CREATE TRIGGER approvals_are_never_removed BEFORE DELETE ON approvals
        BEGIN SELECT RAISE(ABORT, 'approvals are append-only'); END;
CREATE INDEX revocations_plan ON revocations (plan_digest);
CREATE TRIGGER revocations_are_never_changed BEFORE UPDATE ON revocations
        BEGIN SELECT RAISE(ABORT, 'revocations are append-only'); END;
CREATE TRIGGER revocations_are_never_removed BEFORE DELETE ON revocations
        BEGIN SELECT RAISE(ABORT, 'revocations are append-only'); END;
CREATE TRIGGER checkpoints_are_never_changed BEFORE UPDATE ON checkpoints
        BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
CREATE TRIGGER checkpoints_are_never_removed BEFORE DELETE ON checkpoints
        BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
COMMIT;
