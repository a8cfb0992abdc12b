DELETE FROM usage_unrolled
WHERE
    batch IN (
        SELECT batch
        FROM usage_unrolled
        ORDER BY batch
        LIMIT $1
        FOR UPDATE SKIP LOCKED
    )
RETURNING
    batch,
    from_minute,
    to_minute
