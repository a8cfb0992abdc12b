SELECT
    (SELECT least(coalesce(sum(bytes_up), 0), 9223372036854775807)::bigint FROM usage_minutes) AS usage_up,
    (SELECT least(coalesce(sum(bytes_down), 0), 9223372036854775807)::bigint FROM usage_minutes) AS usage_down,
    (SELECT least(coalesce(sum(bytes_up), 0), 9223372036854775807)::bigint FROM usage_hours) AS hours_up,
    (SELECT least(coalesce(sum(bytes_down), 0), 9223372036854775807)::bigint FROM usage_hours) AS hours_down,
    (SELECT least(coalesce(sum(bytes_up), 0), 9223372036854775807)::bigint FROM usage_days) AS days_up,
    (SELECT least(coalesce(sum(bytes_down), 0), 9223372036854775807)::bigint FROM usage_days) AS days_down,
    (SELECT least(coalesce(sum(traffic_bytes_up), 0), 9223372036854775807)::bigint FROM subscriptions) AS subscriptions_up,
    (SELECT least(coalesce(sum(traffic_bytes_down), 0), 9223372036854775807)::bigint FROM subscriptions) AS subscriptions_down,
    (SELECT least(coalesce(sum(traffic_bytes_up), 0), 9223372036854775807)::bigint FROM node_outbounds) AS outbounds_up,
    (SELECT least(coalesce(sum(traffic_bytes_down), 0), 9223372036854775807)::bigint FROM node_outbounds) AS outbounds_down,
    (SELECT count(*) FROM session_events) AS session_events
