INSERT INTO flush_watermarks (journal_id, instance_id, position, updated_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (journal_id) DO NOTHING
