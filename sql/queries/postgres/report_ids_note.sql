INSERT INTO report_ids (node_id, kind, hash, seen_at)
SELECT *
FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::timestamptz[])
ON CONFLICT (node_id, kind, hash) DO UPDATE SET seen_at = excluded.seen_at
WHERE excluded.seen_at - report_ids.seen_at >= $5::bigint * interval '1 millisecond'
RETURNING
    node_id,
    kind,
    hash
