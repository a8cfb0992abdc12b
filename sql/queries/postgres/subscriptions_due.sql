-- A subscription without a reset is as old as itself; a panel that began a period by itself has reset it. Rows that somebody else changes
-- now are due at the next look.
SELECT
    id,
    status,
    period_bytes
FROM subscriptions
WHERE
    reset_strategy = $1
    AND greatest(coalesce(last_reset_at, created_at), period_started_at) < $2
ORDER BY id
LIMIT $3
FOR NO KEY UPDATE SKIP LOCKED
