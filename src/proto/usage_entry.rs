//! `UsageEntry`, the message that Core reads most of: a report has hundreds. It is as prost would generate it, but short texts stand in the entry itself:
//! a piece of memory for each was a tenth of what a report cost.

use compact_str::CompactString;
use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut},
    encoding::{
        DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint, int64, key_len, skip_field, string,
    },
};

/// Bytes of a user, as an agent reports them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields of proto/node-service.proto")]
pub struct UsageEntry {
    pub user_id: i64,
    pub subscription_id: Option<i64>,
    pub node_protocol_id: i64,
    pub bytes_up: i64,
    pub bytes_down: i64,
    pub recorded_at: CompactString,
}

const USER_ID: u32 = 1;
const SUBSCRIPTION_ID: u32 = 2;
const NODE_PROTOCOL_ID: u32 = 3;
const BYTES_UP: u32 = 4;
const BYTES_DOWN: u32 = 5;
const RECORDED_AT: u32 = 6;

impl UsageEntry {
    /// The numbers that are not there when they are 0.
    const fn numbers(&self) -> [(u32, i64); 4] {
        [
            (USER_ID, self.user_id),
            (NODE_PROTOCOL_ID, self.node_protocol_id),
            (BYTES_UP, self.bytes_up),
            (BYTES_DOWN, self.bytes_down),
        ]
    }
}

impl Message for UsageEntry {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for (field, number) in self.numbers().iter().filter(|it| it.1 != 0) {
            int64::encode(*field, number, buf);
        }
        if let Some(id) = &self.subscription_id {
            int64::encode(SUBSCRIPTION_ID, id, buf);
        }
        if !self.recorded_at.is_empty() {
            encode_key(RECORDED_AT, WireType::LengthDelimited, buf);
            encode_varint(self.recorded_at.len() as u64, buf);
            buf.put_slice(self.recorded_at.as_bytes());
        }
    }

    fn merge_field(
        &mut self,
        field: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let (name, merged) = match field {
            USER_ID => ("user_id", int64::merge(wire_type, &mut self.user_id, buf, context)),
            SUBSCRIPTION_ID => {
                let id = self.subscription_id.get_or_insert_default();
                ("subscription_id", int64::merge(wire_type, id, buf, context))
            }
            NODE_PROTOCOL_ID => {
                let id = &mut self.node_protocol_id;
                ("node_protocol_id", int64::merge(wire_type, id, buf, context))
            }
            BYTES_UP => ("bytes_up", int64::merge(wire_type, &mut self.bytes_up, buf, context)),
            BYTES_DOWN => {
                let bytes = &mut self.bytes_down;
                ("bytes_down", int64::merge(wire_type, bytes, buf, context))
            }
            RECORDED_AT => {
                let text = &mut self.recorded_at;
                ("recorded_at", merge_text(wire_type, text, buf, context))
            }
            _ => return skip_field(wire_type, field, buf, context),
        };
        merged.map_err(|mut error| {
            error.push("UsageEntry", name);
            error
        })
    }

    fn encoded_len(&self) -> usize {
        let numbers = self.numbers();
        let numbers = numbers.iter().filter(|it| it.1 != 0);
        let numbers: usize = numbers.map(|(field, number)| int64::encoded_len(*field, number)).sum();
        let id = self.subscription_id.as_ref();
        let text = self.recorded_at.len();
        let text = (text > 0).then(|| key_len(RECORDED_AT) + encoded_len_varint(text as u64) + text);
        numbers + id.map_or(0, |id| int64::encoded_len(SUBSCRIPTION_ID, id)) + text.unwrap_or(0)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A text that is short, and all there, is taken from where it stands. Others, and those at fault, go prost's way.
fn merge_text(
    wire_type: WireType,
    text: &mut CompactString,
    buf: &mut impl Buf,
    context: DecodeContext,
) -> Result<(), DecodeError> {
    if wire_type == WireType::LengthDelimited
        && let [length @ 0..0x80, rest @ ..] = buf.chunk()
        && let Some(bytes) = rest.get(..usize::from(*length))
        && let Ok(short) = CompactString::from_utf8(bytes)
    {
        *text = short;
        buf.advance(1 + text.len());
        return Ok(());
    }
    let mut long = String::new();
    string::merge(wire_type, &mut long, buf, context)?;
    *text = long.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    /// The message as prost has it.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Generated {
        #[prost(int64, tag = "1")]
        user_id: i64,
        #[prost(int64, optional, tag = "2")]
        subscription_id: Option<i64>,
        #[prost(int64, tag = "3")]
        node_protocol_id: i64,
        #[prost(int64, tag = "4")]
        bytes_up: i64,
        #[prost(int64, tag = "5")]
        bytes_down: i64,
        #[prost(string, tag = "6")]
        recorded_at: String,
    }

    fn ours(it: Generated) -> UsageEntry {
        UsageEntry {
            user_id: it.user_id,
            subscription_id: it.subscription_id,
            node_protocol_id: it.node_protocol_id,
            bytes_up: it.bytes_up,
            bytes_down: it.bytes_down,
            recorded_at: it.recorded_at.into(),
        }
    }

    fn generated() -> impl Strategy<Value = Generated> {
        let number = || prop_oneof![Just(0), Just(-1), any::<i64>()];
        let numbers = [number(), number(), number(), number()];
        let text = prop_oneof![".{0,20}", ".{100,200}"];
        (numbers, option::of(number()), text).prop_map(|(numbers, subscription_id, recorded_at)| Generated {
            user_id: numbers[0],
            subscription_id,
            node_protocol_id: numbers[1],
            bytes_up: numbers[2],
            bytes_down: numbers[3],
            recorded_at,
        })
    }

    /// What both make of these bytes; an error of ours names our fields, and the generated one's the same.
    fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
        let theirs = Generated::decode(bytes).map(ours);
        let said = |error: DecodeError| error.to_string().replace("Generated.", "UsageEntry.");
        prop_assert_eq!(UsageEntry::decode(bytes).map_err(said), theirs.map_err(said));
        Ok(())
    }

    proptest! {
        #[test]
        fn it_is_read_and_written_as_generated(first in generated(), again in generated()) {
            let ours = ours(first.clone());
            prop_assert_eq!(ours.encoded_len(), first.encoded_len());
            prop_assert_eq!(ours.encoded_len(), ours.encode_to_vec().len());
            agree(&ours.encode_to_vec())?;
            // The later of two values of a field counts.
            agree(&[first.encode_to_vec(), again.encode_to_vec()].concat())?;
        }

        #[test]
        fn what_is_broken_is_refused_in_the_same_words(
            whole in generated(), cut in any::<prop::sample::Index>(), bytes in vec(any::<u8>(), 0..40), kind in 0..8_u8, field in 1..8_u8,
        ) {
            let whole = whole.encode_to_vec();
            agree(&whole[..cut.index(whole.len() + 1)])?;
            agree(&[&[field << 3 | kind], &bytes[..]].concat())?;
            agree(&bytes)?;
        }
    }
}
