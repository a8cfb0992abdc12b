-- Locked in the order of the key first, so that whoever notes sightings and this never wait for each other.
WITH held AS (
    SELECT user_id, ip
    FROM user_ips
    WHERE ip = ANY($1::inet[])
    ORDER BY user_id, ip
    FOR NO KEY UPDATE
)
UPDATE user_ips
SET info = found.info, info_fetched_at = $3
FROM held, unnest($1::inet[], $2::jsonb[]) AS found (ip, info)
WHERE user_ips.user_id = held.user_id AND user_ips.ip = held.ip AND found.ip = held.ip
