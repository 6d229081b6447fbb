-- One wide table of accounts for timing scans; `copies` per tenant, one of `one_in` looks like test data.
CREATE TABLE accounts AS
SELECT md5(t.id::text || copy)::uuid AS id,
       CASE WHEN copy % :one_in = 0 THEN t.name ELSE 'Hartley ' || substr(md5(t.id::text || copy), 1, 6) || ' Works' END AS name,
       CASE WHEN copy % :one_in = 0 THEN t.subdomain ELSE 'hartley' END || '-' || copy || '-' || left(t.id::text, 8) AS subdomain,
       CASE WHEN copy % :one_in = 0 THEN t.email ELSE 'maria.' || left(t.id::text, 4) || copy || '@brennanmachinery.com' END AS email,
       t.created_at + copy * interval '1 hour' AS created_at,
       '{"locale": "en-US", "theme": "dark", "plan": "free"}'::jsonb AS settings,
       repeat('x', 60) AS note
FROM tenants t CROSS JOIN generate_series(1, :copies) AS copy;
ALTER TABLE accounts ADD PRIMARY KEY (id);
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
                AND relnamespace = 'public'::regnamespace AND relname <> 'accounts'
    LOOP EXECUTE format('DROP TABLE %I CASCADE', name); END LOOP;
END $$;
VACUUM ANALYZE accounts;
