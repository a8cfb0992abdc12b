INSERT INTO links (id, user_id, name, enabled, revoked_at, created_at)
SELECT
    put.*,
    $6::timestamptz
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::boolean[], $5::timestamptz[]) AS put
ON CONFLICT (id) DO UPDATE SET
    user_id = excluded.user_id,
    name = excluded.name,
    enabled = excluded.enabled,
    revoked_at = excluded.revoked_at
