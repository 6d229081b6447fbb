-- The database that the sites share: one row per site, and what belongs to it.
CREATE TABLE sites (name TEXT PRIMARY KEY, plan TEXT NOT NULL);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, site TEXT NOT NULL REFERENCES sites (name) ON DELETE RESTRICT, title TEXT NOT NULL);
CREATE TABLE attachments (
    id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL REFERENCES documents (id), path TEXT NOT NULL);
CREATE INDEX documents_site ON documents (site);
CREATE INDEX attachments_document ON attachments (document_id);
INSERT INTO sites VALUES
    ('hanbit', 'paid'), ('kowalski', 'paid'), ('brennan', 'paid'), ('qa-trial-1', 'trial'), ('qa-trial-2', 'trial');
INSERT INTO documents (site, title) SELECT name, 'Invoice of ' || name FROM sites;
INSERT INTO documents (site, title) SELECT name, 'Notes of ' || name FROM sites;
INSERT INTO attachments (document_id, path) SELECT id, 'files/' || id || '.pdf' FROM documents;
