INSERT INTO links (id, user_id, name, enabled, revoked_at, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (id) DO UPDATE SET
    user_id = excluded.user_id,
    name = excluded.name,
    enabled = excluded.enabled,
    revoked_at = excluded.revoked_at
