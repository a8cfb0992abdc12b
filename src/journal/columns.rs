//! The rows of a usage report on their side, as records hold them.

use prost::encoding::{WireType, encode_key, encode_varint};

use crate::{
    model::{ProtocolId, SubscriptionId, Time, UserId, suspect::Suspicion, usage::UsageRow},
    proto::journal as wire,
};

/// What a row takes at most, if its ids and bytes are those of a busy fleet.
const ROW: usize = 28;

/// The longest varint.
pub(super) const VARINT_MAX: usize = 10;

/// Adds the columns of these rows to a message, of an entry that was received at this time. As prost would, of a [`wire::UsageColumns`]
/// without collecting each column and without asking each number twice how long it is.
pub(super) fn write(rows: &[UsageRow], received_at: Time, message: &mut Vec<u8>) {
    if rows.is_empty() {
        return;
    }
    let from = received_at.minute().millis();
    message.reserve(rows.len() * ROW);
    let mut column = Column {
        rows,
        bytes: vec![0; rows.len() * VARINT_MAX],
        message,
    };
    column.write(3, |row| row.user.0.cast_unsigned());
    column.write(4, |row| row.subscription.map_or(0, |it| it.0).cast_unsigned());
    column.write(5, |row| row.protocol.0.cast_unsigned());
    column.write(6, |row| zigzag(row.minute.millis() - from));
    column.write(7, |row| row.bytes_up.cast_unsigned());
    column.write(8, |row| row.bytes_down.cast_unsigned());
    if rows.iter().any(|row| row.suspect.is_some()) {
        column.write(9, |row| suspicion_to_wire(row.suspect) as u64);
    }
}

struct Column<'a> {
    rows: &'a [UsageRow],
    /// Room for the longest column.
    bytes: Vec<u8>,
    message: &'a mut Vec<u8>,
}

impl Column<'_> {
    fn write(&mut self, field: u32, number: impl Fn(&UsageRow) -> u64) {
        let mut end = 0;
        for row in self.rows {
            end += put_varint(number(row), &mut self.bytes[end..]);
        }
        encode_key(field, WireType::LengthDelimited, self.message);
        encode_varint(end as u64, self.message);
        self.message.extend_from_slice(&self.bytes[..end]);
    }
}

/// Writes a number at the beginning of `room`, and says how many bytes it took.
fn put_varint(mut number: u64, room: &mut [u8]) -> usize {
    let room: &mut [u8; VARINT_MAX] = room.first_chunk_mut().expect("there is room for the longest");
    for (at, byte) in room.iter_mut().enumerate() {
        *byte = number.to_le_bytes()[0];
        if number < 0x80 {
            return at + 1;
        }
        *byte |= 0x80;
        number >>= 7;
    }
    VARINT_MAX
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// The rows of these columns; none if this version of Core can't read them.
pub(super) fn from_wire(columns: &wire::UsageColumns, received_at: Time) -> Option<Vec<UsageRow>> {
    let from = received_at.minute().millis();
    let length = columns.user_ids.len();
    let lengths = [
        columns.subscription_ids.len(),
        columns.node_protocol_ids.len(),
        columns.minutes.len(),
        columns.bytes_up.len(),
        columns.bytes_down.len(),
    ];
    let suspicions = columns.suspicions.len();
    if lengths.iter().any(|it| *it != length) || (suspicions != 0 && suspicions != length) {
        return None;
    }
    let row = |at: usize| {
        Some(UsageRow {
            user: UserId(columns.user_ids[at]),
            subscription: subscription(columns.subscription_ids[at]),
            protocol: ProtocolId(columns.node_protocol_ids[at]),
            minute: Time::from_millis(from.checked_add(columns.minutes[at])?),
            bytes_up: columns.bytes_up[at],
            bytes_down: columns.bytes_down[at],
            suspect: columns
                .suspicions
                .get(at)
                .map_or(Some(None), |it| suspicion_from_wire(*it))?,
        })
    };
    let mut rows = Vec::with_capacity(length);
    for at in 0..length {
        rows.push(row(at)?);
    }
    Some(rows)
}

/// A row as it was written before there were columns.
pub(super) fn from_row(row: &wire::UsageRow) -> Option<UsageRow> {
    Some(UsageRow {
        user: UserId(row.user_id),
        subscription: subscription(row.subscription_id),
        protocol: ProtocolId(row.node_protocol_id),
        minute: Time::from_millis(row.minute),
        bytes_up: row.bytes_up,
        bytes_down: row.bytes_down,
        suspect: suspicion_from_wire(row.suspicion)?,
    })
}

fn subscription(id: i64) -> Option<SubscriptionId> {
    (id != 0).then_some(SubscriptionId(id))
}

const fn suspicion_to_wire(suspect: Option<Suspicion>) -> wire::Suspicion {
    match suspect {
        None => wire::Suspicion::None,
        Some(Suspicion::NotTheUsers) => wire::Suspicion::NotTheUsers,
        Some(Suspicion::NoClient) => wire::Suspicion::NoClient,
        Some(Suspicion::BeyondCarried) => wire::Suspicion::BeyondCarried,
    }
}

/// One that only a later version of Core knows can't be read: as counted bytes it must not end.
fn suspicion_from_wire(number: i32) -> Option<Option<Suspicion>> {
    Some(match wire::Suspicion::try_from(number).ok()? {
        wire::Suspicion::None => None,
        wire::Suspicion::NotTheUsers => Some(Suspicion::NotTheUsers),
        wire::Suspicion::NoClient => Some(Suspicion::NoClient),
        wire::Suspicion::BeyondCarried => Some(Suspicion::BeyondCarried),
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn row(user: i64, suspect: Option<Suspicion>) -> UsageRow {
        UsageRow {
            user: UserId(user),
            subscription: None,
            protocol: ProtocolId(3),
            minute: Time::from_millis(60_000),
            bytes_up: 1,
            bytes_down: 2,
            suspect,
        }
    }

    fn written(rows: &[UsageRow], at: Time) -> wire::UsageColumns {
        let mut message = Vec::new();
        write(rows, at, &mut message);
        let columns = wire::UsageColumns::decode(message.as_slice()).unwrap();
        assert_eq!(columns.encode_to_vec(), message);
        columns
    }

    #[test]
    fn columns_that_do_not_fit_together_are_no_rows() {
        let at = Time::from_millis(125_000);
        let rows = [row(1, None), row(2, Some(Suspicion::NoClient))];
        let whole = written(&rows, at);
        assert_eq!(
            (&whole.minutes[..], whole.suspicions.len()),
            (&[-60_000, -60_000][..], 2)
        );
        assert_eq!(from_wire(&whole, at).as_deref(), Some(&rows[..]));
        let broken = |change: fn(&mut wire::UsageColumns)| {
            let mut columns = whole.clone();
            change(&mut columns);
            from_wire(&columns, at)
        };
        assert_eq!(broken(|it| it.user_ids.truncate(1)), None);
        assert_eq!(broken(|it| it.subscription_ids.clear()), None);
        assert_eq!(broken(|it| it.node_protocol_ids.push(1)), None);
        assert_eq!(broken(|it| it.bytes_down.truncate(1)), None);
        assert_eq!(broken(|it| it.suspicions.truncate(1)), None);
        assert_eq!(
            broken(|it| it.suspicions[1] = 99),
            None,
            "a suspicion of a later version"
        );
        assert_eq!(broken(|it| it.minutes[0] = i64::MAX), None);
    }

    #[test]
    fn nothing_is_said_of_suspicion_where_there_is_none() {
        let at = Time::from_millis(60_000);
        let columns = written(&[row(1, None)], at);
        assert_eq!((columns.suspicions.len(), columns.minutes[0]), (0, 0));
        assert_eq!(from_wire(&columns, at), Some(vec![row(1, None)]));
    }

    /// The ids of a large fleet, and the bytes of a busy minute.
    #[test]
    fn a_row_takes_two_thirds_of_what_it_took_by_itself() {
        let at = Time::from_millis(1_763_985_665_000);
        let rows: Vec<_> = (0..100)
            .map(|user| UsageRow {
                user: UserId(300_000 + user),
                subscription: Some(SubscriptionId(400_000 + user)),
                protocol: ProtocolId(50_000),
                minute: Time::from_millis(1_763_985_600_000),
                bytes_up: 700_000 + user,
                bytes_down: 40_000_000 + user,
                suspect: None,
            })
            .collect();
        let alone = |row: &UsageRow| wire::UsageRow {
            user_id: row.user.0,
            subscription_id: row.subscription.map_or(0, |it| it.0),
            node_protocol_id: row.protocol.0,
            minute: row.minute.millis(),
            bytes_up: row.bytes_up,
            bytes_down: row.bytes_down,
            suspicion: wire::Suspicion::None.into(),
        };
        let alone = wire::Usage {
            rows: rows.iter().map(alone).collect(),
            ..wire::Usage::default()
        };
        let (columns, alone) = (written(&rows, at).encoded_len(), alone.encoded_len());
        assert!(3 * columns <= 2 * alone, "{columns} of {alone} bytes");
    }

    #[test]
    fn rows_from_before_there_were_columns_are_read() {
        let old = wire::UsageRow {
            user_id: 1,
            subscription_id: 0,
            node_protocol_id: 3,
            minute: 60_000,
            bytes_up: 1,
            bytes_down: 2,
            suspicion: wire::Suspicion::NoClient.into(),
        };
        assert_eq!(from_row(&old), Some(row(1, Some(Suspicion::NoClient))));
        assert_eq!(from_row(&wire::UsageRow { suspicion: 99, ..old }), None);
    }
}
