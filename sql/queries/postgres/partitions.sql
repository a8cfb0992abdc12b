SELECT child.relname::text
FROM pg_inherits
INNER JOIN pg_class AS child ON pg_inherits.inhrelid = child.oid
WHERE pg_inherits.inhparent = to_regclass($1::text)
ORDER BY child.relname
