-- Each part in the order of an index, so that a page costs a page.
(
    SELECT DISTINCT ip
    FROM user_ips
    WHERE info IS NULL AND ip > coalesce($1, inet '0.0.0.0/0')
    ORDER BY ip
    LIMIT $3
)
UNION
(
    SELECT DISTINCT ip
    FROM user_ips
    WHERE
        first_seen_at > $2
        AND ip > coalesce($1, inet '0.0.0.0/0')
        AND (info_fetched_at IS NULL OR info_fetched_at <= $2)
    ORDER BY ip
    LIMIT $3
)
ORDER BY ip
LIMIT $3
