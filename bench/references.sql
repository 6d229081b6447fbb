-- Foreign keys: child, its columns, parent, its columns, what ON DELETE says, whether an index leads with the columns.
SELECT child.relname,
       (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY k.place)
        FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number),
       parent.relname,
       (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY k.place)
        FROM unnest(c.confkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number),
       c.confdeltype,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indpred IS NULL
               AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)
FROM pg_constraint c
JOIN pg_class child ON child.oid = c.conrelid
JOIN pg_class parent ON parent.oid = c.confrelid
WHERE c.contype = 'f' AND c.conparentid = 0 AND NOT child.relispartition
  AND c.connamespace = 'public'::regnamespace
ORDER BY 1, 2, 3;
