INSERT INTO users (id, uuid, name, status, created_at, updated_at)
SELECT
    put.id,
    put.uuid,
    put.name,
    put.status,
    $5::timestamptz,
    $5::timestamptz
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[]) AS put (id, uuid, name, status)
ON CONFLICT (id) DO UPDATE SET
    uuid = excluded.uuid,
    name = excluded.name,
    status = excluded.status,
    updated_at = excluded.updated_at
