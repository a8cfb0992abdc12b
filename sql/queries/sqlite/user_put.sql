INSERT INTO users (id, uuid, name, status, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?5)
ON CONFLICT (id) DO UPDATE SET
    uuid = excluded.uuid,
    name = excluded.name,
    status = excluded.status,
    updated_at = excluded.updated_at
