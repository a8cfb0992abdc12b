DELETE FROM report_ids
WHERE
    ctid = ANY(
        ARRAY(
            SELECT ctid
            FROM report_ids
            WHERE seen_at < $1
            ORDER BY seen_at
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        )
    )
