UPDATE nodes
SET
    state_at = ?2,
    applied_revision = ?3,
    sync_status = CASE WHEN revision = ?3 THEN 'synced' ELSE 'pending' END,
    status = CASE status WHEN 'error' THEN 'online' ELSE status END
WHERE id = ?1 AND state_at <= ?2
