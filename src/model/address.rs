//! Which addresses mean something outside of their own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    reserved(ip).is_none()
}

/// What an address is that is not of the public internet: private, loopback, link-local, shared, documentation, multicast, reserved, or a way into
/// another protocol.
pub fn reserved(ip: IpAddr) -> Option<&'static str> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => reserved_v4(ip),
        IpAddr::V6(ip) => reserved_v6(ip),
    }
}

fn reserved_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        (0, ..) => Some("unspecified"),
        (127, ..) => Some("loopback"),
        _ if ip.is_private() => Some("private"),
        (100, 64..=127, _) => Some("private (carrier-grade NAT)"),
        // 169.254.169.254 tells a machine's secrets in most clouds.
        (169, 254, _) => Some("link-local (metadata)"),
        (192, 0, 0) => Some("reserved for protocols (metadata)"),
        (192, 88, 99) => Some("reserved (6to4)"),
        (198, 18..=19, _) => Some("reserved for benchmarks"),
        _ if ip.is_documentation() => Some("reserved for documentation"),
        (224..=239, ..) => Some("multicast"),
        (240.., ..) => Some("reserved"),
        _ => None,
    }
}

fn reserved_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let parts = ip.segments();
    let v4 = |at: usize| reserved_v4(((u32::from(parts[at]) << 16) | u32::from(parts[at + 1])).into());
    let hollow = parts[2..6] == [0; 4];
    match (parts[0], parts[1]) {
        _ if ip.is_unspecified() => Some("unspecified"),
        _ if ip.is_loopback() => Some("loopback"),
        // IPv4 addresses in other clothes: mapped ones were undressed before; compatible, NAT64 and 6to4 ones lead to what is in them.
        (0, 0) if hollow => Some("reserved (IPv4-compatible)"),
        (0x64, 0xff9b) if hollow => v4(6).or(Some("reserved (NAT64)")),
        (0x64, 0xff9b) => Some("private (NAT64)"),
        (0x2002, _) => v4(1).or(Some("reserved (6to4)")),
        (0x2001, 0) => Some("a tunnel (Teredo)"),
        (0x2001, 0xdb8) | (0x3fff, 0..=0xfff) => Some("reserved for documentation"),
        (0x100, 0) if parts[2..4] == [0; 2] => Some("a black hole"),
        (0xfc00..=0xfdff, _) => Some("private (unique local)"),
        (0xfe80..=0xfebf, _) => Some("link-local"),
        (0xfec0..=0xfeff, _) => Some("private (site-local)"),
        (0xff00.., _) => Some("multicast"),
        (0x2001, 1..=0x1ff) => Some("reserved for protocols"),
        // Only 2000::/3 is given out.
        (0x2000..=0x3fff, _) => None,
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_internet_is_known() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::8.8.8.8",
            "64:ff9b::808:808",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_of_the_internet_is_known() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db9::1",
            "2606:4700::1111",
            "2a00::1",
            "3fff:1000::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
