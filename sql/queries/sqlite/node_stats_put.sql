INSERT INTO node_stats (
    node_id, at, uptime_seconds, cpu_percent, cpu_cores, ram_used, ram_total, disk_used, disk_total,
    net_rx_per_sec, net_tx_per_sec, net_rx_total, net_tx_total
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
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
