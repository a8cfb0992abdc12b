//! Whose call it is when proxies stand between.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Those of these networks.
    pub const fn new(trusted: Vec<IpNet>) -> Self {
        Self(trusted)
    }

    /// The address that a call came from: the last one in `X-Forwarded-For` that is no trusted proxy's, as long as everybody behind it is one. What can't be
    /// read is not believed, nor what stands before it.
    pub fn caller<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut caller = peer.to_canonical();
        let mut hops = forwarded.rev().flat_map(|line| line.rsplit(','));
        while self.trusts(caller)
            && let Some(hop) = hops.next().and_then(address)
        {
            caller = hop;
        }
        caller
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse().ok().map(|it: SocketAddr| it.ip());
    let address = bare.parse().ok().or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let trusted = trusted.split_whitespace().map(|net| net.parse().unwrap()).collect();
        let caller = Proxies::new(trusted).caller(peer.parse().unwrap(), forwarded.iter().copied());
        caller.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = "10.0.0.0/8 2001:db8:1::/48";
        for (peer, forwarded, who) in [
            ("192.0.2.1", &["198.51.100.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, 10.0.0.7"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.1,10.0.0.7"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("2001:db8:1::1", &["[2001:db8:7::5]:443"], "2001:db8:7::5"),
            ("2001:db8:1::1", &["[2001:db8:7::5]"], "2001:db8:7::5"),
            ("10.0.0.1", &["10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["", " , "], "10.0.0.1"),
        ] {
            assert_eq!(caller(proxies, peer, forwarded), who, "{peer} {forwarded:?}");
        }
        assert_eq!(caller("", "10.0.0.1", &["198.51.100.1"]), "10.0.0.1");
    }
}
