//! The outbounds that every node has from its start: `direct` and `block`.

/// An outbound that every node has. It can't be deleted or renamed: it counts under its tag.
pub(super) struct ReservedOutbound {
    /// Its tag.
    pub(super) tag: &'static str,
    /// Xray's name for what it does.
    pub(super) protocol: &'static str,
    /// Its place in the config.
    pub(super) position: i64,
}

/// `direct` stands before every outbound without a position of its own, so that it is the default route. `block` stands behind every outbound:
/// whatever else a node has, what drops traffic must never be its default route.
pub(super) const RESERVED_OUTBOUNDS: [ReservedOutbound; 2] = [
    ReservedOutbound {
        tag: "direct",
        protocol: "freedom",
        position: -2,
    },
    ReservedOutbound {
        tag: "block",
        protocol: "blackhole",
        position: 1_000_000_000,
    },
];

/// Whether this tag is one of those that every node has.
pub(super) fn is_reserved_outbound(tag: &str) -> bool {
    RESERVED_OUTBOUNDS.iter().any(|reserved| reserved.tag == tag)
}
