-- One wide table of accounts for timing scans: `copies` per tenant; about one row in `one_in` looks like test data.
-- The others have names of their own, as real companies do, and came when they came.
SET client_min_messages = warning;
CREATE TABLE accounts AS
SELECT md5(t.id::text || copy)::uuid AS id,
       CASE WHEN pick.is_test THEN t.name ELSE initcap(real.word) || ' ' || real.trade END AS name,
       CASE WHEN pick.is_test THEN t.subdomain || '-' || copy
            ELSE real.word || '-' || lower(real.trade) || '-' || real.suffix END AS subdomain,
       CASE WHEN pick.is_test THEN t.email
            ELSE real.person || '@' || real.word || lower(real.trade) || '.com' END AS email,
       t.created_at + CASE WHEN pick.is_test THEN copy * interval '1 hour'
                           ELSE real.seconds * interval '1 second' END AS created_at,
       '{"locale": "en-US", "theme": "dark", "plan": "free"}'::jsonb AS settings,
       repeat('x', 60) AS note
FROM tenants t
CROSS JOIN generate_series(1, :copies) AS copy
CROSS JOIN LATERAL (SELECT decode(md5(copy || t.id::text), 'hex') AS bytes) AS dice
CROSS JOIN LATERAL (
    SELECT s.syllables[1 + get_byte(bytes, 0) % 32] || s.syllables[1 + get_byte(bytes, 1) % 32]
               || s.syllables[1 + get_byte(bytes, 2) % 32] AS word,
           s.trades[1 + get_byte(bytes, 3) % 16] AS trade,
           s.people[1 + get_byte(bytes, 4) % 16] AS person,
           translate(encode(substr(bytes, 6, 4), 'hex'), '0123456789', 'ghijklmnop') AS suffix,
           get_byte(bytes, 10) * 65536 + get_byte(bytes, 11) * 256 + get_byte(bytes, 12) AS seconds
    FROM (SELECT '{ba,bren,cal,dor,el,far,gan,hart,il,jor,kel,lan,mar,nor,ok,pel,quin,ros,sal,tor,ul,ver,wes,yar,zim,and,bel,cor,den,ham,lor,win}'::text[] AS syllables,
                 '{Foods,Freight,Dental,Works,Marine,Legal,Roofing,Optics,Farms,Paper,Motors,Clinic,Energy,Textiles,Labs,Partners}'::text[] AS trades,
                 '{maria,jonas,aisha,pierre,helen,kofi,ingrid,tomas,leila,oscar,nadia,victor,ruth,diego,emma,li}'::text[] AS people) AS s
) AS real
CROSS JOIN LATERAL (SELECT (get_byte(bytes, 13) * 256 + get_byte(bytes, 14)) % :one_in = 0 AS is_test) AS pick;
ALTER TABLE accounts ADD PRIMARY KEY (id);
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
                AND relnamespace = 'public'::regnamespace AND relname <> 'accounts'
    LOOP EXECUTE format('DROP TABLE %I CASCADE', name); END LOOP;
END $$;
VACUUM ANALYZE accounts;
