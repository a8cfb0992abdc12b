DELETE FROM usage_hours
WHERE
    ctid = ANY(
        ARRAY(
            SELECT ctid
            FROM usage_hours
            WHERE hour < $1
            LIMIT $2
        )
    )
