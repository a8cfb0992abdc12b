//! Keys that nobody was given.

/// In the form of a key of this node, with its checksum. What is random in a key is what these 43 characters are.
pub fn forged(node: i64, random: &str) -> String {
    let text = format!("core_node_{node}_{random:0>43}");
    format!("{text}_{:08x}", crc32fast::hash(text.as_bytes()))
}
