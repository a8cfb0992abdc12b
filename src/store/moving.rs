//! Moving everything from the embedded store into PostgreSQL: what there is to move. One reads it, the other writes it; both count it, and
//! only what both count alike stays.

use std::collections::BTreeMap;

/// A table that is moved whole.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name in both stores.
    pub name: &'static str,
    /// Its columns in both stores.
    pub columns: &'static [(&'static str, Kind)],
}

/// How a column's values are kept: in SQLite, and in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `bigint` in PostgreSQL.
    Int,
    /// `integer` in PostgreSQL.
    Small,
    /// 0 or 1 in SQLite.
    Bool,
    /// Milliseconds in SQLite, `timestamptz` in PostgreSQL.
    Time,
    /// `double precision`.
    Float,
    Text,
    /// Text in SQLite.
    Uuid,
    /// Text in SQLite, `jsonb` in PostgreSQL.
    Json,
    /// Text in SQLite, `inet` in PostgreSQL.
    Ip,
    Bytes,
}

impl Kind {
    /// Its values are summed up to be compared.
    pub(super) const fn is_summed(self) -> bool {
        matches!(self, Self::Int | Self::Small)
    }
}

impl Table {
    /// Its columns as SQL lists them.
    pub(super) fn column_list(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// The columns that are summed up.
    pub(super) fn summed(&self) -> impl Iterator<Item = &'static str> {
        self.columns
            .iter()
            .filter(|(_, kind)| kind.is_summed())
            .map(|(name, _)| *name)
    }

    /// It gives its rows numbers by itself.
    pub(super) fn has_id(&self) -> bool {
        self.columns.first().is_some_and(|(name, _)| *name == "id")
    }
}

/// What a table holds: its rows, and for each of its numbers how many are there and what they sum up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub rows: i64,
    pub sums: BTreeMap<&'static str, (i64, i128)>,
}

use Kind::{Bool, Bytes, Float, Int, Ip, Json, Small, Text, Time, Uuid};

/// All that is moved, in the order in which a row's owner comes before it. `catalog_changes` is not: what changed before is nothing to whoever
/// reads all of it first; nor is `job_leases`: who held one is gone. The places of WireGuard clients come after the members, for whom the target's triggers choose places of their own.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "nodes",
        columns: &[
            ("id", Int),
            ("name", Text),
            ("ip", Text),
            ("port", Small),
            ("region", Text),
            ("domain", Text),
            ("enabled", Bool),
            ("status", Text),
            ("sync_status", Text),
            ("revision", Int),
            ("applied_revision", Int),
            ("config_hash", Bytes),
            ("traffic_multiplier", Float),
            ("last_seen_at", Time),
            ("state_at", Time),
            ("created_at", Time),
            ("version", Int),
        ],
    },
    Table {
        name: "node_keys",
        columns: &[
            ("id", Int),
            ("node_id", Int),
            ("key_hash", Bytes),
            ("created_at", Time),
            ("first_used_at", Time),
            ("revoked_at", Time),
        ],
    },
    Table {
        name: "node_errors",
        columns: &[
            ("id", Int),
            ("node_id", Int),
            ("revision", Int),
            ("message", Text),
            ("code", Text),
            ("details", Json),
            ("at", Time),
        ],
    },
    Table {
        name: "registration_codes",
        columns: &[
            ("id", Int),
            ("code_hash", Bytes),
            ("name", Text),
            ("node_id", Int),
            ("created_at", Time),
            ("expires_at", Time),
            ("uses_left", Int),
        ],
    },
    Table {
        name: "registration_code_uses",
        columns: &[
            ("id", Int),
            ("code_id", Int),
            ("node_id", Int),
            ("key_id", Int),
            ("sent_name", Text),
            ("used_at", Time),
        ],
    },
    Table {
        name: "users",
        columns: &[
            ("id", Int),
            ("uuid", Uuid),
            ("name", Text),
            ("status", Text),
            ("created_at", Time),
            ("updated_at", Time),
        ],
    },
    Table {
        name: "subscriptions",
        columns: &[
            ("id", Int),
            ("user_id", Int),
            ("status", Text),
            ("starts_at", Time),
            ("expires_at", Time),
            ("traffic_limit_bytes", Int),
            ("traffic_bytes_up", Int),
            ("traffic_bytes_down", Int),
            ("period_bytes", Int),
            ("period_started_at", Time),
            ("reset_strategy", Text),
            ("last_reset_at", Time),
            ("max_ips", Int),
            ("rate_up_bps", Int),
            ("rate_down_bps", Int),
            ("created_at", Time),
        ],
    },
    Table {
        name: "links",
        columns: &[
            ("id", Int),
            ("user_id", Int),
            ("token", Text),
            ("name", Text),
            ("enabled", Bool),
            ("revoked_at", Time),
            ("created_at", Time),
        ],
    },
    Table {
        name: "subscription_links",
        columns: &[
            ("id", Int),
            ("uuid", Uuid),
            ("link_id", Int),
            ("subscription_id", Int),
            ("enabled", Bool),
            ("created_at", Time),
        ],
    },
    Table {
        name: "node_protocols",
        columns: &[
            ("id", Int),
            ("node_id", Int),
            ("protocol", Text),
            ("tag", Text),
            ("enabled", Bool),
            ("listen", Text),
            ("port", Int),
            ("network", Text),
            ("security", Text),
            ("flow", Text),
            ("settings", Json),
            ("stream_settings", Json),
            ("sniffing", Json),
            ("public_host", Text),
            ("public_port", Int),
            ("position", Int),
            ("traffic_bytes_up", Int),
            ("traffic_bytes_down", Int),
            ("deleted_at", Time),
        ],
    },
    Table {
        name: "node_protocol_links",
        columns: &[("proto_id", Int), ("ls_id", Int)],
    },
    Table {
        name: "wireguard_slots",
        columns: &[("proto_id", Int), ("ls_id", Int), ("slot", Int)],
    },
    Table {
        name: "wireguard_free_slots",
        columns: &[("proto_id", Int), ("slot", Int)],
    },
    Table {
        name: "node_outbounds",
        columns: &[
            ("id", Int),
            ("node_id", Int),
            ("tag", Text),
            ("protocol", Text),
            ("config", Json),
            ("position", Int),
            ("enabled", Bool),
            ("traffic_bytes_up", Int),
            ("traffic_bytes_down", Int),
            ("deleted_at", Time),
        ],
    },
    Table {
        name: "node_routing_rules",
        columns: &[
            ("id", Int),
            ("node_id", Int),
            ("position", Int),
            ("rule", Json),
            ("outbound_id", Int),
            ("balancer_tag", Text),
            ("enabled", Bool),
        ],
    },
    Table {
        name: "node_balancers",
        columns: &[("id", Int), ("node_id", Int), ("tag", Text), ("config", Json)],
    },
    Table {
        name: "usage_minutes",
        columns: &[
            ("node_id", Int),
            ("user_id", Int),
            ("subscription_id", Int),
            ("node_protocol_id", Int),
            ("minute", Time),
            ("bytes_up", Int),
            ("bytes_down", Int),
        ],
    },
    Table {
        name: "usage_hours",
        columns: &[
            ("node_id", Int),
            ("user_id", Int),
            ("subscription_id", Int),
            ("node_protocol_id", Int),
            ("hour", Time),
            ("bytes_up", Int),
            ("bytes_down", Int),
        ],
    },
    Table {
        name: "usage_days",
        columns: &[
            ("node_id", Int),
            ("user_id", Int),
            ("subscription_id", Int),
            ("node_protocol_id", Int),
            ("day", Time),
            ("bytes_up", Int),
            ("bytes_down", Int),
        ],
    },
    Table {
        name: "session_events",
        columns: &[
            ("id", Int),
            ("node_id", Int),
            ("user_id", Int),
            ("protocol", Text),
            ("event_type", Text),
            ("occurred_at", Time),
            ("ip_address", Text),
        ],
    },
    Table {
        name: "user_ips",
        columns: &[
            ("user_id", Int),
            ("ip", Ip),
            ("first_seen_at", Time),
            ("last_seen_at", Time),
            ("info", Json),
            ("info_fetched_at", Time),
        ],
    },
    Table {
        name: "node_stats",
        columns: &[
            ("node_id", Int),
            ("at", Time),
            ("uptime_seconds", Int),
            ("cpu_percent", Float),
            ("cpu_cores", Small),
            ("ram_used", Int),
            ("ram_total", Int),
            ("disk_used", Int),
            ("disk_total", Int),
            ("net_rx_per_sec", Int),
            ("net_tx_per_sec", Int),
            ("net_rx_total", Int),
            ("net_tx_total", Int),
        ],
    },
    Table {
        name: "usage_suspect",
        columns: &[
            ("id", Int),
            ("node_id", Int),
            ("user_id", Int),
            ("subscription_id", Int),
            ("node_protocol_id", Int),
            ("minute", Time),
            ("bytes_up", Int),
            ("bytes_down", Int),
            ("reason", Text),
            ("received_at", Time),
            ("decided_at", Time),
            ("decision", Text),
            ("decided_by", Text),
        ],
    },
    Table {
        name: "usage_rejected",
        columns: REJECTED,
    },
    Table {
        name: "events_rejected",
        columns: REJECTED,
    },
    Table {
        name: "report_ids",
        columns: &[("node_id", Int), ("kind", Text), ("hash", Bytes), ("seen_at", Time)],
    },
    Table {
        name: "flush_watermarks",
        columns: &[
            ("journal_id", Bytes),
            ("instance_id", Text),
            ("position", Int),
            ("updated_at", Time),
        ],
    },
    Table {
        name: "admin_tokens",
        columns: &[
            ("id", Int),
            ("token_hash", Bytes),
            ("name", Text),
            ("role", Text),
            ("created_at", Time),
            ("expires_at", Time),
            ("last_used_at", Time),
        ],
    },
    Table {
        name: "audit_log",
        columns: &[
            ("id", Int),
            ("at", Time),
            ("actor", Text),
            ("action", Text),
            ("subject_id", Int),
            ("details", Json),
            ("address", Text),
            ("request_id", Text),
        ],
    },
];

const REJECTED: &[(&str, Kind)] = &[
    ("id", Int),
    ("node_id", Int),
    ("kind", Text),
    ("reason", Text),
    ("item", Json),
    ("received_at", Time),
];
