-- In the order of the key, so that two who write never wait for each other. What is known of an address comes with a pair that is new; it is not
-- looked for where the pair is there.
INSERT INTO user_ips AS there (user_id, ip, first_seen_at, last_seen_at, info, info_fetched_at)
SELECT
    seen.user_id,
    seen.ip,
    seen.first_seen_at,
    seen.last_seen_at,
    known.info,
    known.info_fetched_at
FROM unnest($1::bigint[], $2::inet[], $3::timestamptz[], $4::timestamptz[])
    AS seen (user_id, ip, first_seen_at, last_seen_at)
LEFT JOIN LATERAL (
    SELECT info, info_fetched_at
    FROM user_ips
    WHERE
        ip = seen.ip
        AND info IS NOT NULL
        AND info_fetched_at IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM user_ips AS own WHERE own.user_id = seen.user_id AND own.ip = seen.ip)
    ORDER BY info_fetched_at DESC
    LIMIT 1
) AS known ON true
ORDER BY seen.user_id, seen.ip
ON CONFLICT (user_id, ip) DO UPDATE SET last_seen_at = excluded.last_seen_at
WHERE there.last_seen_at < excluded.last_seen_at
