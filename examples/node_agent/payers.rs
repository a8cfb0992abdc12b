//! Whom the bytes of a client belong to.

use std::collections::HashMap;

use serde_json::Value;

/// Somebody who used an inbound, and what pays for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payer {
    /// The user.
    pub user: i64,
    /// His subscription; none = nothing pays.
    pub subscription: Option<i64>,
    /// The inbound.
    pub protocol: i64,
}

/// The client map of a config: `lsId` to the subscription. It keeps what older configs said, because a client that was taken out
/// goes on counting until its last connection is closed.
#[derive(Debug, Clone, Default)]
pub struct Payers(HashMap<i64, Option<i64>>);

impl Payers {
    /// Reads `clientMap`.
    pub fn read(json: &str) -> Result<Self, String> {
        let map: HashMap<String, Value> =
            serde_json::from_str(json).map_err(|error| format!("clientMap can't be read: {error}"))?;
        let entries = map.iter().map(|(ls, payer)| {
            let ls = ls.parse().map_err(|_| format!("clientMap has the key {ls}"))?;
            Ok((ls, payer["subscriptionId"].as_i64()))
        });
        entries.collect::<Result<_, String>>().map(Self)
    }

    /// Takes over what a newer config says.
    pub fn update(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }

    /// Who is behind an email (Xray) or a username (telemt), both `u{userId}.l{linkId}.s{lsId}.i{protoId}`.
    pub fn of(&self, email: &str) -> Option<Payer> {
        let mut parts = email.split('.');
        let mut number = |letter: char| parts.next()?.strip_prefix(letter)?.parse::<i64>().ok();
        let (user, _link, credentials, protocol) = (number('u')?, number('l')?, number('s')?, number('i')?);
        let payer = Payer {
            user,
            subscription: self.0.get(&credentials).copied().flatten(),
            protocol,
        };
        parts.next().is_none().then_some(payer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_the_map_say_who_pays() {
        let mut payers = Payers::read(r#"{"7": {"userId": 1, "subscriptionId": 5}, "8": {"userId": 2}}"#).unwrap();
        let payer = |user, subscription, protocol| {
            Some(Payer {
                user,
                subscription,
                protocol,
            })
        };
        assert_eq!(payers.of("u1.l3.s7.i11"), payer(1, Some(5), 11));
        assert_eq!(payers.of("u2.l4.s8.i11"), payer(2, None, 11));
        for other in ["", "ada@example.test", "u1.l3.s7", "u1.l3.s7.i11.x1", "l1.u3.s7.i11"] {
            assert_eq!(payers.of(other), None, "{other}");
        }
        payers.update(Payers::read(r#"{"8": {"subscriptionId": 6}}"#).unwrap());
        assert_eq!(payers.of("u1.l3.s7.i11"), payer(1, Some(5), 11));
        assert_eq!(payers.of("u2.l4.s8.i11"), payer(2, Some(6), 11));
    }
}
