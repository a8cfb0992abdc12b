//! Every credential comes from the `lsUuid` alone, so that a panel can build the user's link too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The methods of Shadowsocks 2022 that know users, and the length of their keys in bytes.
pub const SHADOWSOCKS_2022: &[(&str, usize)] = &[("2022-blake3-aes-128-gcm", 16), ("2022-blake3-aes-256-gcm", 32)];

/// The key of a Shadowsocks 2022 user: the first bytes of SHA-256("ss2022:" + lsUuid), base64.
pub fn shadowsocks_2022_key(uuid: Uuid, length: usize) -> String {
    STANDARD.encode(&digest("ss2022:", uuid)[..length])
}

/// The public key of a WireGuard user, whose private key is clamp(SHA-256("wireguard:" + lsUuid)); base64.
pub fn wireguard_public_key(uuid: Uuid) -> String {
    // The multiplication clamps the scalar itself.
    STANDARD.encode(x25519_dalek::x25519(
        digest("wireguard:", uuid),
        x25519_dalek::X25519_BASEPOINT_BYTES,
    ))
}

/// The address of a client in an inbound's network: the network's base plus the client's slot. `None`: the network has no such place.
pub fn wireguard_address(network: &str, slot: i64) -> Option<String> {
    let (ip, length) = network.split_once('/')?;
    let (slot, length) = (u128::try_from(slot).ok()?, length.parse::<u32>().ok()?);
    match ip.parse().ok()? {
        IpAddr::V4(ip) => {
            let room = 32_u32
                .checked_sub(length)
                .filter(|bits| slot < (1 << bits).max(1) - 1)?;
            let base = u32::from(ip) & u32::MAX.checked_shl(room).unwrap_or(0);
            Some(format!("{}/32", Ipv4Addr::from(base + u32::try_from(slot).ok()?)))
        }
        IpAddr::V6(ip) => {
            let room = 128_u32
                .checked_sub(length)
                .filter(|bits| *bits >= 64 || slot < 1 << bits)?;
            let base = u128::from(ip) & u128::MAX.checked_shl(room).unwrap_or(0);
            Some(format!("{}/128", Ipv6Addr::from(base + slot)))
        }
    }
}

fn digest(purpose: &str, uuid: Uuid) -> [u8; 32] {
    Sha256::new()
        .chain_update(purpose)
        .chain_update(uuid.to_string())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_length_of_their_method() {
        let uuid = Uuid::from_u128(7);
        for (_, length) in SHADOWSOCKS_2022 {
            assert_eq!(
                STANDARD.decode(shadowsocks_2022_key(uuid, *length)).unwrap().len(),
                *length
            );
        }
        assert_eq!(STANDARD.decode(wireguard_public_key(uuid)).unwrap().len(), 32);
        assert_ne!(wireguard_public_key(uuid), wireguard_public_key(Uuid::from_u128(8)));
    }

    #[test]
    fn addresses_stay_within_their_network() {
        assert_eq!(wireguard_address("10.8.0.1/24", 2).unwrap(), "10.8.0.2/32");
        assert_eq!(wireguard_address("10.8.0.1/24", 254).unwrap(), "10.8.0.254/32");
        assert_eq!(wireguard_address("10.8.0.1/24", 255), None);
        assert_eq!(wireguard_address("fd00::1/64", 300).unwrap(), "fd00::12c/128");
        for bad in ["10.8.0.1", "10.8.0.1/33", "x/24", "10.8.0.1/32"] {
            assert_eq!(wireguard_address(bad, 2), None, "{bad}");
        }
    }
}
