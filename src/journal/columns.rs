//! The rows of a usage report on their side, as records hold them.

use crate::{
    model::{ProtocolId, SubscriptionId, Time, UserId, suspect::Suspicion, usage::UsageRow},
    proto::journal as wire,
};

/// The columns of these rows, of an entry that was received at this time.
pub(super) fn to_wire(rows: &[UsageRow], received_at: Time) -> wire::UsageColumns {
    let from = received_at.minute().millis();
    let numbers = |of: fn(&UsageRow) -> i64| rows.iter().map(of).collect();
    let is_suspect = rows.iter().any(|row| row.suspect.is_some());
    let suspicion = |row: &UsageRow| suspicion_to_wire(row.suspect).into();
    wire::UsageColumns {
        user_ids: numbers(|row| row.user.0),
        subscription_ids: numbers(|row| row.subscription.map_or(0, |it| it.0)),
        node_protocol_ids: numbers(|row| row.protocol.0),
        minutes: rows.iter().map(|row| row.minute.millis() - from).collect(),
        bytes_up: numbers(|row| row.bytes_up),
        bytes_down: numbers(|row| row.bytes_down),
        suspicions: rows.iter().filter(|_| is_suspect).map(suspicion).collect(),
        ..wire::UsageColumns::default()
    }
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
    (0..length).map(row).collect()
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

    #[test]
    fn columns_that_do_not_fit_together_are_no_rows() {
        let at = Time::from_millis(125_000);
        let rows = [row(1, None), row(2, Some(Suspicion::NoClient))];
        let whole = to_wire(&rows, at);
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
        let columns = to_wire(&[row(1, None)], at);
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
        let (columns, alone) = (to_wire(&rows, at).encoded_len(), alone.encoded_len());
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
