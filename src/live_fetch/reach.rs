//! Where a live look may go. A node says itself what its address is, so it could send Core to what only Core can reach: its own host, its network, a
//! cloud's metadata.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What kind of address this is, if Core must not go there.
pub(super) fn refused(ip: IpAddr, allow: &[IpNet]) -> Option<&'static str> {
    let ip = ip.to_canonical();
    if allow.iter().any(|net| net.contains(&ip)) {
        return None;
    }
    match ip {
        IpAddr::V4(ip) => refused_v4(ip),
        IpAddr::V6(ip) => refused_v6(ip),
    }
}

fn refused_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        (0, ..) => Some("unspecified"),
        (127, ..) => Some("loopback"),
        _ if ip.is_private() => Some("private"),
        (100, 64..=127, _) => Some("private (carrier-grade NAT)"),
        // 169.254.169.254 tells a machine's secrets in most clouds.
        (169, 254, _) => Some("link-local (metadata)"),
        (192, 0, 0) => Some("reserved for protocols (metadata)"),
        (198, 18..=19, _) => Some("reserved for benchmarks"),
        _ if ip.is_documentation() => Some("reserved for documentation"),
        (224..=239, ..) => Some("multicast"),
        (240.., ..) => Some("reserved"),
        _ => None,
    }
}

fn refused_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let parts = ip.segments();
    let v4 = |at: usize| refused_v4(((u32::from(parts[at]) << 16) | u32::from(parts[at + 1])).into());
    let hollow = parts[2..6] == [0; 4];
    match (parts[0], parts[1]) {
        _ if ip.is_unspecified() => Some("unspecified"),
        _ if ip.is_loopback() => Some("loopback"),
        // IPv4 addresses in other clothes: mapped ones were undressed before; compatible, NAT64 and 6to4 ones lead to what is in them.
        (0, 0) if hollow => Some("reserved (IPv4-compatible)"),
        (0x64, 0xff9b) if hollow => v4(6),
        (0x64, 0xff9b) => Some("private (NAT64)"),
        (0x2002, _) => v4(1),
        (0x2001, 0) => Some("a tunnel (Teredo)"),
        (0x2001, 0xdb8) | (0x3fff, 0..=0xfff) => Some("reserved for documentation"),
        (0x100, 0) if parts[2..4] == [0; 2] => Some("a black hole"),
        (0xfc00..=0xfdff, _) => Some("private (unique local)"),
        (0xfe80..=0xfebf, _) => Some("link-local"),
        (0xfec0..=0xfeff, _) => Some("private (site-local)"),
        (0xff00.., _) => Some("multicast"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(ip: &str, allow: &[&str]) -> bool {
        let allow: Vec<IpNet> = allow.iter().map(|net| net.parse().unwrap()).collect();
        refused(ip.parse().unwrap(), &allow).is_none()
    }

    #[test]
    fn public_addresses_are_reached_and_no_others() {
        for public in [
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2a00:1450:4001::1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(goes(public, &[]), "{public}");
        }
        for inner in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "169.254.0.1",
            "169.254.169.254",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "2001:0:1::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!goes(inner, &[]), "{inner}");
        }
    }

    #[test]
    fn what_is_allowed_is_reached_and_nothing_beside_it() {
        let allow = ["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"];
        for good in ["127.0.0.1", "::ffff:127.0.0.1", "10.1.2.3", "fd00::1", "8.8.8.8"] {
            assert!(goes(good, &allow), "{good}");
        }
        for bad in ["10.2.0.1", "169.254.169.254", "::1", "fe80::1"] {
            assert!(!goes(bad, &allow), "{bad}");
        }
    }
}
