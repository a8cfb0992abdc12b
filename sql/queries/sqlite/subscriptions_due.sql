-- A subscription without a reset is as old as itself; a panel that began a period by itself has reset it.
SELECT
    id,
    status,
    period_bytes
FROM subscriptions
WHERE
    reset_strategy = ?1
    AND max(coalesce(last_reset_at, created_at), coalesce(period_started_at, 0)) < ?2
ORDER BY id
LIMIT ?3
