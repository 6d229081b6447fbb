-- Tables that purges touch: name, key columns, whether it says itself to which tenant a row belongs.
-- Reference data (plans, currencies, catalogs) belongs to everybody and is left out by the caller.
SELECT t.relname,
       (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY k.place)
        FROM pg_constraint c, unnest(c.conkey) WITH ORDINALITY AS k (number, place), pg_attribute a
        WHERE c.conrelid = t.oid AND c.contype = 'p' AND a.attrelid = t.oid AND a.attnum = k.number),
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
FROM pg_class t
WHERE t.relkind IN ('r', 'p') AND NOT t.relispartition AND t.relnamespace = 'public'::regnamespace
ORDER BY 1;
