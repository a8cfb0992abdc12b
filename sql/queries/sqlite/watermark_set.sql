INSERT INTO flush_watermarks (journal_id, instance_id, position, updated_at)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (journal_id) DO UPDATE SET
    instance_id = excluded.instance_id,
    position = excluded.position,
    updated_at = coalesce(excluded.updated_at, flush_watermarks.updated_at)
