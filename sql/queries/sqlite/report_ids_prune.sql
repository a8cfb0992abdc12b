DELETE FROM report_ids
WHERE
    (node_id, kind, hash) IN (
        SELECT
            node_id,
            kind,
            hash
        FROM report_ids
        WHERE seen_at < ?1
        ORDER BY seen_at
        LIMIT ?2
    )
