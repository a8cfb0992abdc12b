UPDATE nodes
SET
    state_at = ?2,
    status = ?3,
    sync_status = ?4,
    applied_revision = ?5,
    last_seen_at = ?6
WHERE id = ?1 AND state_at <= ?2
