UPDATE nodes
SET
    state_at = ?2,
    sync_status = 'failed',
    status = 'error'
WHERE id = ?1 AND state_at <= ?2
