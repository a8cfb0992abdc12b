INSERT INTO subscriptions (
    id, user_id, status, starts_at, expires_at, traffic_limit_bytes, reset_strategy, max_ips, rate_up_bps, rate_down_bps,
    created_at
)
SELECT
    put.*,
    $11::timestamptz
FROM unnest(
    $1::bigint[],
    $2::bigint[],
    $3::text[],
    $4::timestamptz[],
    $5::timestamptz[],
    $6::bigint[],
    $7::text[],
    $8::bigint[],
    $9::bigint[],
    $10::bigint[]
) AS put
ON CONFLICT (id) DO UPDATE SET
    user_id = excluded.user_id,
    status = excluded.status,
    starts_at = excluded.starts_at,
    expires_at = excluded.expires_at,
    traffic_limit_bytes = excluded.traffic_limit_bytes,
    reset_strategy = excluded.reset_strategy,
    max_ips = excluded.max_ips,
    rate_up_bps = excluded.rate_up_bps,
    rate_down_bps = excluded.rate_down_bps
