//! Messages before they are decoded: how many items their lists have. An empty item is two bytes on the wire and fifty times as much in memory.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::model::entry::MAX_ITEMS;

use super::nodeservice as wire;

/// The least that an item takes on the wire: the number of its field, and its length.
const ITEM_MIN: usize = 2;

/// What items of a usual message take on the wire, at the least: small numbers, and a time as RFC 3339 has it.
const USAGE_ENTRY: usize = 36;
const ONLINE_USER: usize = 40;

/// A message whose lists have a limit.
pub trait Bounded {
    /// What its lists are called, and the numbers of the fields that lead to each.
    const LISTS: &'static [(&'static str, &'static [u32])] = &[];

    /// An empty one, with room for the items of a usual message of so many bytes: a list that grows is copied each time.
    fn with_room(_bytes: usize) -> Self
    where
        Self: Default,
    {
        Self::default()
    }
}

impl Bounded for wire::ReportUsageRequest {
    const LISTS: &'static [(&'static str, &'static [u32])] = &[("entries", &[2])];

    fn with_room(bytes: usize) -> Self {
        Self {
            entries: room(bytes / USAGE_ENTRY),
            ..Self::default()
        }
    }
}

impl Bounded for wire::ReportOutboundUsageRequest {
    const LISTS: &'static [(&'static str, &'static [u32])] = &[("items", &[2])];
}

impl Bounded for wire::ReportOnlineUsersRequest {
    const LISTS: &'static [(&'static str, &'static [u32])] = &[("users", &[2]), ("ips of all users", &[2, 3])];

    fn with_room(bytes: usize) -> Self {
        Self {
            users: room(bytes / ONLINE_USER),
            ..Self::default()
        }
    }
}

fn room<T>(items: usize) -> Vec<T> {
    Vec::with_capacity(items.min(MAX_ITEMS))
}

macro_rules! without_lists {
    ($($message:ident)+) => { $(impl Bounded for wire::$message {})+ };
}

without_lists! {
    HeartbeatRequest HeartbeatResponse ReportUsageResponse ReportOutboundUsageResponse GetLatestConfigRequest GetLatestConfigResponse
    ConfirmConfigAppliedRequest ConfirmConfigAppliedResponse ReportNodeStatsRequest ReportNodeStatsResponse ReportOnlineUsersResponse
}

/// The name of the first list that is too long. What can't be read is not looked at: the decoder will say so.
pub fn too_long<M: Bounded>(message: &[u8]) -> Option<&'static str> {
    if message.len() <= ITEM_MIN * MAX_ITEMS {
        return None;
    }
    let is_too_long = |fields| {
        let mut items = 0;
        count(message, fields, &mut items);
        items > MAX_ITEMS
    };
    let list = M::LISTS.iter().find(|(_, fields)| is_too_long(*fields))?;
    Some(list.0)
}

/// Counts the items that these fields lead to, until they are too many or something can't be read.
fn count(mut message: &[u8], fields: &[u32], items: &mut usize) -> Option<()> {
    let [field, within @ ..] = fields else { return None };
    while !message.is_empty() && *items <= MAX_ITEMS {
        let (number, kind) = decode_key(&mut message).ok()?;
        if number != *field || kind != WireType::LengthDelimited {
            skip_field(kind, number, &mut message, DecodeContext::default()).ok()?;
            continue;
        }
        let length = decode_varint(&mut message).ok()?;
        let (item, rest) = message.split_at_checked(usize::try_from(length).ok()?)?;
        message = rest;
        if within.is_empty() {
            *items += 1;
        } else {
            count(item, within, items)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn items_are_counted_where_they_are() {
        let users = |users: usize, ips: usize| {
            let user = wire::OnlineUser {
                ips: vec![wire::OnlineIp::default(); ips],
                ..wire::OnlineUser::default()
            };
            let message = wire::ReportOnlineUsersRequest {
                auth_key: "a key".to_owned(),
                users: vec![user; users],
            };
            too_long::<wire::ReportOnlineUsersRequest>(&message.encode_to_vec())
        };
        assert_eq!((users(MAX_ITEMS, 0), users(MAX_ITEMS + 1, 0)), (None, Some("users")));
        assert_eq!((users(5, 10_000), users(5, 10_001)), (None, Some("ips of all users")));
    }

    #[test]
    fn what_can_not_be_read_is_left_to_the_decoder() {
        // A field that nobody knows, so large that the message is looked at.
        let mut large = Vec::new();
        prost::encoding::bytes::encode(15, &vec![0; ITEM_MIN * MAX_ITEMS], &mut large);
        for broken in [&[0x12, 200][..], &[0xff; 40], &[0x12], &[0x0f, 1], &[0x12, 0, 0x9b, 6]] {
            for message in [broken, &[&large, broken].concat()] {
                assert_eq!(too_long::<wire::ReportUsageRequest>(message), None, "{broken:?}");
            }
        }
    }
}
