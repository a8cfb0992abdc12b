//! Which entries were counted before: the unique key on (node, call, identity) decides, inside the flush's transaction.

use std::collections::{BTreeMap, HashMap};

use super::{fault::Fault, line::Line};
use crate::model::{
    NodeId, Time,
    entry::{Entry, REPEAT_WINDOW, ReportKind},
};

/// What is asked of the key: a request, and when it was taken.
type Asked = (NodeId, ReportKind, [u8; 32]);

/// The entries that were not seen before, in order, and how many were.
///
/// An identity may stand in one batch more than once: a repeat, or another request that only looks the same and came after the window.
/// Each is judged by what came before it, so the first of all identities are asked together, then the second, and so on.
pub(super) async fn without_repeats(line: &Line, entries: Vec<Entry>) -> Result<(Vec<Entry>, u64), Fault> {
    let mut rounds: Vec<Round> = Vec::new();
    let mut seen: HashMap<Asked, usize> = HashMap::with_capacity(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        let Some((kind, identity)) = entry.payload.identity() else {
            continue;
        };
        let asked = (entry.node, kind, identity.hash);
        let times = seen.entry(asked).or_default();
        if rounds.len() == *times {
            rounds.push(Round::default());
        }
        let window = i64::try_from(identity.window.as_millis()).unwrap_or(i64::MAX);
        rounds[*times]
            .windows
            .entry(window)
            .or_default()
            .insert(asked, (place, entry.received_at));
        *times += 1;
    }
    let mut is_repeat = vec![false; entries.len()];
    for round in rounds {
        for (window, asked) in round.windows {
            note(line, window, asked, &mut is_repeat).await?;
        }
    }
    let all = entries.len();
    let mut repeats = is_repeat.into_iter();
    let mut entries = entries;
    entries.retain(|_| !repeats.next().unwrap_or(false));
    let count = all - entries.len();
    Ok((entries, count as u64))
}

/// The n-th of every identity, by the window in which a repeat is known, in milliseconds. Sorted, so that two who flush take locks in one order.
#[derive(Default)]
struct Round {
    windows: BTreeMap<i64, BTreeMap<Asked, (usize, Time)>>,
}

/// Notes identities. A repeat inside the window changes nothing, so that a window does not grow by repeats.
async fn note(
    line: &Line,
    window: i64,
    asked: BTreeMap<Asked, (usize, Time)>,
    is_repeat: &mut [bool],
) -> Result<(), Fault> {
    let nodes: Vec<NodeId> = asked.keys().map(|(node, ..)| *node).collect();
    let kinds: Vec<&str> = asked.keys().map(|(_, kind, _)| kind.as_str()).collect();
    let hashes: Vec<&[u8]> = asked.keys().map(|(.., hash)| hash.as_slice()).collect();
    let times: Vec<Time> = asked.values().map(|(_, at)| *at).collect();
    let noted = line
        .query(
            include_str!("../../../sql/queries/postgres/report_ids_note.sql"),
            &[&nodes, &kinds, &hashes, &times, &window],
        )
        .await?;
    if noted.len() == asked.len() {
        return Ok(());
    }
    let mut repeated = asked;
    for row in noted {
        let kind: &str = row.try_get(1)?;
        let hash: &[u8] = row.try_get(2)?;
        if let (Ok(kind), Ok(hash)) = (kind.parse::<ReportKind>(), <[u8; 32]>::try_from(hash)) {
            repeated.remove(&(row.try_get(0)?, kind, hash));
        }
    }
    for (place, _) in repeated.into_values() {
        is_repeat[place] = true;
    }
    Ok(())
}

/// Forgets identities whose window is over, at most so many.
pub(super) async fn prune(line: &Line, now: Time, at_most: i64) -> Result<(), Fault> {
    line.execute(
        include_str!("../../../sql/queries/postgres/report_ids_prune.sql"),
        &[&now.minus(REPEAT_WINDOW), &at_most],
    )
    .await?;
    Ok(())
}
