INSERT INTO subscription_links (id, uuid, link_id, subscription_id, enabled, created_at)
SELECT
    put.*,
    $6::timestamptz
FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::boolean[]) AS put
ON CONFLICT (id) DO UPDATE SET
    uuid = excluded.uuid,
    link_id = excluded.link_id,
    subscription_id = excluded.subscription_id,
    enabled = excluded.enabled
