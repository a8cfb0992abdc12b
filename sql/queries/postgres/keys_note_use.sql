UPDATE node_keys
SET first_used_at = used.at
FROM unnest($1::bytea[], $2::timestamptz[]) AS used (key_hash, at)
WHERE node_keys.key_hash = used.key_hash AND node_keys.first_used_at IS NULL
