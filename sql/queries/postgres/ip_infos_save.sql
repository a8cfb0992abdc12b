-- Locked in the order of the key first, so that whoever notes sightings and this never wait for each other.
WITH held AS (
    SELECT
        user_ips.user_id,
        user_ips.ip,
        found.info
    FROM unnest($1::inet[], $2::jsonb[]) AS found (ip, info)
    INNER JOIN user_ips ON found.ip = user_ips.ip
    ORDER BY user_ips.user_id, user_ips.ip
    FOR NO KEY UPDATE OF user_ips
)
UPDATE user_ips
SET info = held.info, info_fetched_at = $3
FROM held
WHERE user_ips.user_id = held.user_id AND user_ips.ip = held.ip
