INSERT INTO subscription_links (id, uuid, link_id, subscription_id, enabled, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (id) DO UPDATE SET
    uuid = excluded.uuid,
    link_id = excluded.link_id,
    subscription_id = excluded.subscription_id,
    enabled = excluded.enabled
