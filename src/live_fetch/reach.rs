//! Where a live look may go. A node says itself what its address is, so it could send Core to what only Core can reach: its own host, its network, a
//! cloud's metadata.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::address::reserved;

/// What kind of address this is, if Core must not go there.
pub(super) fn refused(ip: IpAddr, allow: &[IpNet]) -> Option<&'static str> {
    let ip = ip.to_canonical();
    if allow.iter().any(|net| net.contains(&ip)) {
        return None;
    }
    reserved(ip)
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
            "64:ff9b::8.8.8.8",
            "64:ff9b::127.0.0.1",
            "2002:808:808::1",
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
