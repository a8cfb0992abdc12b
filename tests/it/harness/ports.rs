//! Ports for servers that come and go.

use std::net::TcpListener;

/// A free port outside of those that the system gives to outgoing connections (32768 and above): it stays free for its server while that is down.
pub fn quiet_port() -> u16 {
    (0..1_000)
        .map(|_| rand::random_range(15_000..32_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("some port is free")
}
