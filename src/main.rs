//! The `vpn-core` command.

fn main() {}
