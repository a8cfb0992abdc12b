-- A network sorts before its addresses: 0.0.0.0/0 is before all.
SELECT DISTINCT ip
FROM user_ips
WHERE ip > coalesce($1, inet '0.0.0.0/0') AND (info IS NULL OR info_fetched_at IS NULL OR info_fetched_at < $2)
ORDER BY ip
LIMIT $3
