-- Each part in the order of an index, so that a page costs a page.
SELECT ip_key
FROM (
    SELECT * FROM (
        SELECT DISTINCT ip_key FROM user_ips WHERE info IS NULL AND ip_key > coalesce(?1, x'') ORDER BY ip_key LIMIT ?3
    )
    UNION
    SELECT * FROM (
        SELECT DISTINCT ip_key
        FROM user_ips
        WHERE first_seen_at > ?2 AND ip_key > coalesce(?1, x'') AND (info_fetched_at IS NULL OR info_fetched_at <= ?2)
        ORDER BY ip_key
        LIMIT ?3
    )
)
ORDER BY ip_key
LIMIT ?3
