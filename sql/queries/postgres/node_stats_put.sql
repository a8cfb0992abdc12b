-- In the order of the key, so that two who write never wait for each other.
INSERT INTO node_stats (
    node_id, at, uptime_seconds, cpu_percent, cpu_cores, ram_used, ram_total, disk_used, disk_total,
    net_rx_per_sec, net_tx_per_sec, net_rx_total, net_tx_total
)
SELECT *
FROM unnest(
    $1::bigint[], $2::timestamptz[], $3::bigint[], $4::double precision[], $5::integer[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[]
) AS sample (node_id, at)
ORDER BY sample.node_id, sample.at
ON CONFLICT (node_id, at) DO UPDATE SET
    uptime_seconds = excluded.uptime_seconds,
    cpu_percent = excluded.cpu_percent,
    cpu_cores = excluded.cpu_cores,
    ram_used = excluded.ram_used,
    ram_total = excluded.ram_total,
    disk_used = excluded.disk_used,
    disk_total = excluded.disk_total,
    net_rx_per_sec = excluded.net_rx_per_sec,
    net_tx_per_sec = excluded.net_tx_per_sec,
    net_rx_total = excluded.net_rx_total,
    net_tx_total = excluded.net_tx_total
