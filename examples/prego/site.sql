-- The MariaDB database that the sites share: one row per site, and what belongs to it.
CREATE TABLE sites (name VARCHAR(140) PRIMARY KEY, plan VARCHAR(20) NOT NULL) ENGINE = InnoDB;
CREATE TABLE documents (
    id INT AUTO_INCREMENT PRIMARY KEY, site VARCHAR(140) NOT NULL, title VARCHAR(140) NOT NULL,
    FOREIGN KEY (site) REFERENCES sites (name) ON DELETE RESTRICT) ENGINE = InnoDB;
CREATE TABLE attachments (
    id INT AUTO_INCREMENT PRIMARY KEY, document_id INT NOT NULL, path VARCHAR(140) NOT NULL,
    FOREIGN KEY (document_id) REFERENCES documents (id)) ENGINE = InnoDB;
INSERT INTO sites VALUES
    ('hanbit', 'paid'), ('kowalski', 'paid'), ('brennan', 'paid'), ('qa-trial-1', 'trial'), ('qa-trial-2', 'trial');
INSERT INTO documents (site, title) SELECT name, CONCAT('Invoice of ', name) FROM sites;
INSERT INTO documents (site, title) SELECT name, CONCAT('Notes of ', name) FROM sites;
INSERT INTO attachments (document_id, path) SELECT id, CONCAT('files/', id, '.pdf') FROM documents;
