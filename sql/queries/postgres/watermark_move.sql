UPDATE flush_watermarks
SET
    instance_id = $2,
    position = $4,
    updated_at = coalesce($5, updated_at)
WHERE journal_id = $1 AND position = $3
