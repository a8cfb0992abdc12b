-- What is known of the address comes with it.
INSERT INTO user_ips (user_id, ip, ip_key, first_seen_at, last_seen_at, info, info_fetched_at)
SELECT ?1, ?2, ?3, ?4, ?5, known.info, known.info_fetched_at
FROM (SELECT 1)
LEFT JOIN (
    SELECT info, info_fetched_at
    FROM user_ips
    WHERE ip_key = ?3 AND info IS NOT NULL AND info_fetched_at IS NOT NULL
    ORDER BY info_fetched_at DESC
    LIMIT 1
) AS known ON true
ON CONFLICT (user_id, ip_key) DO NOTHING
