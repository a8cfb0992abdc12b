SELECT DISTINCT ip_key
FROM user_ips
WHERE ip_key > coalesce(?1, x'') AND (info IS NULL OR info_fetched_at IS NULL OR info_fetched_at < ?2)
ORDER BY ip_key
LIMIT ?3
