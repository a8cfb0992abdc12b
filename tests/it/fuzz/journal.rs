//! What a disk gives back: an entry that is no entry, a segment that is none, read as a look, a replay and a start do.

use std::{fs, path::PathBuf, sync::Arc};

use prost::Message as _;
use tempfile::TempDir;
use vpn_core::{
    clock::Clock,
    journal::{Journal, RealDisk, inspect},
    model::Position,
    proto::journal as wire,
};

use super::{
    engine::{self, Plan, Target, Verdict},
    mutate::Kind,
    world,
};
use crate::journal::{ALL, options};

const ID: [u8; 16] = [7; 16];
const GENERATION: &str = "000001-07070707070707070707070707070707";

/// A segment, or the mark that seals a generation: magic, version, journal, position, checksum.
fn head(magic: &[u8], position: u64) -> Vec<u8> {
    let mut head = [magic, &1_u64.to_le_bytes(), &ID, &position.to_le_bytes(), &[0; 20]].concat();
    head.extend(crc32c::crc32c(&head).to_le_bytes());
    head
}

/// A record that is whole.
fn record(position: u64, payload: &[u8]) -> Vec<u8> {
    let (length, position) = (
        u32::try_from(payload.len()).unwrap().to_le_bytes(),
        position.to_le_bytes(),
    );
    let pieces = [length.as_slice(), &position, payload];
    let sum = pieces
        .iter()
        .fold(crc32c::crc32c(&ID), |sum, piece| crc32c::crc32c_append(sum, piece));
    [length.as_slice(), &sum.to_le_bytes(), &position, payload].concat()
}

fn segment(payloads: &[Vec<u8>]) -> Vec<u8> {
    let records = (1..)
        .zip(payloads)
        .flat_map(|(position, payload)| record(position, payload));
    head(b"CORE-SEG", 1).into_iter().chain(records).collect()
}

fn entries() -> Vec<Vec<u8>> {
    use wire::entry::Payload;
    let identity = Some(wire::Identity {
        hash: vec![5; 32],
        window: 86_400_000,
    });
    let rejected = vec![wire::RejectedItem {
        reason: "bytesUp is negative".to_owned(),
        item_json: r#"{"userId":1}"#.to_owned(),
    }];
    let usage = wire::UsageRow {
        user_id: 1,
        subscription_id: 1,
        node_protocol_id: 11,
        minute: 1_763_985_600_000,
        bytes_up: 5,
        bytes_down: 1 << 40,
        suspicion: 1,
    };
    let outbound = wire::OutboundRow {
        tag: "direct".to_owned(),
        bytes_up: 1,
        bytes_down: 2,
    };
    let session = wire::SessionRow {
        user_id: 1,
        protocol: "vless".to_owned(),
        event_type: "online".to_owned(),
        occurred_at: 1_763_985_600_000,
        ip_address: "198.51.100.7".to_owned(),
    };
    let failure = wire::NodeError {
        revision: 3,
        message: "it failed".to_owned(),
        code: "X".to_owned(),
        details_json: "{}".to_owned(),
    };
    let payloads = [
        Payload::Usage(wire::Usage {
            identity: identity.clone(),
            rows: vec![usage; 2],
            rejected: rejected.clone(),
        }),
        Payload::UsageColumns(wire::UsageColumns {
            identity: identity.clone(),
            rejected: rejected.clone(),
            user_ids: vec![1, 2],
            subscription_ids: vec![1, 0],
            node_protocol_ids: vec![11, 12],
            minutes: vec![0, -60_000],
            bytes_up: vec![5, 0],
            bytes_down: vec![1 << 40, 1],
            suspicions: vec![0, 1],
        }),
        Payload::OutboundUsage(wire::OutboundUsage {
            identity: identity.clone(),
            rows: vec![outbound],
            rejected: rejected.clone(),
        }),
        Payload::SessionEvents(wire::SessionEvents {
            identity,
            rows: vec![session],
            rejected,
        }),
        Payload::ConfigApplied(wire::ConfigApplied { revision: 3 }),
        Payload::NodeError(failure),
    ];
    let entry = |payload| wire::Entry {
        node_id: 1,
        received_at: 1_763_985_600_000,
        payload: Some(payload),
    };
    payloads.map(|payload| entry(payload).encode_to_vec()).into()
}

struct Generation {
    dir: TempDir,
    /// It was sealed behind this position.
    sealed: Option<u64>,
    /// The input is an entry in a record that is whole; else it is all of the segment.
    in_record: bool,
    /// A start is tried too, with one input in eight: it writes, and takes ten times as long.
    start: bool,
}

impl Generation {
    fn new(sealed: Option<u64>, in_record: bool, start: bool) -> Self {
        Self {
            dir: world::folder(),
            sealed,
            in_record,
            start,
        }
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn lay(&self, input: &[u8]) {
        let folder = self.journal().join(GENERATION);
        if self.start && self.journal().exists() {
            fs::remove_dir_all(self.journal()).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        let bytes = if self.in_record && !input.is_empty() {
            segment(&[entries()[4].clone(), input.to_vec(), entries()[4].clone()])
        } else {
            input.to_vec()
        };
        fs::write(folder.join("00000000.seg"), bytes).unwrap();
        if let Some(end) = self.sealed {
            fs::write(folder.join("sealed"), head(b"CORE-END", end)).unwrap();
        }
    }
}

impl Target for Generation {
    async fn renew(&mut self) {}

    async fn attempt(&self, input: &[u8]) -> Verdict {
        self.lay(input);
        let looked = inspect(&self.journal());
        let read = Journal::open_to_read(&self.journal(), Clock::system(), Arc::new(RealDisk))
            .and_then(|journal| count(&journal));
        let started = (self.start && crc32c::crc32c(input).is_multiple_of(8)).then(|| {
            let started = Journal::open(&self.journal(), options(), Clock::system(), Arc::new(RealDisk));
            started.and_then(|journal| count(&journal))
        });
        let Ok(entries) = read else { return Ok(false) };
        let whole: u64 = looked
            .map_err(|error| format!("a look fails, a read does not: {error}"))?
            .iter()
            .flat_map(|it| &it.segments)
            .map(|it| it.records)
            .sum();
        match started {
            Some(Err(error)) => Err(format!("a read works, a start does not: {error}")),
            Some(Ok(other)) if other != entries => Err(format!("a read gives {entries} entries, a start {other}")),
            _ if whole != entries => Err(format!("a look finds {whole} entries, a read {entries}")),
            _ => Ok(entries > if self.in_record { 2 } else { 0 }),
        }
    }
}

/// How many entries it gives.
fn count(journal: &Journal) -> Result<u64, vpn_core::journal::JournalError> {
    let mut entries = 0;
    for generation in journal.generations() {
        entries += journal.read_after(generation.id, Position::START, ALL)?.entries.len() as u64;
    }
    Ok(entries)
}

fn run(name: &'static str, kind: Kind, seeds: Vec<Vec<u8>>, target: Generation) {
    engine::run(Plan { name, kind, seeds }, target);
}

#[test]
fn journal_entry() {
    run(
        "journal_entry",
        Kind::Proto,
        entries(),
        Generation::new(Some(3), true, false),
    );
}

fn segments() -> Vec<Vec<u8>> {
    let (all, one) = (entries(), entries()[4].clone());
    let mut seeds = vec![segment(&all), segment(&vec![one; 40]), segment(&[])];
    seeds.iter_mut().for_each(|it| it.resize(it.len().max(900), 0));
    seeds
}

#[test]
fn journal_torn_segment() {
    run(
        "journal_torn_segment",
        Kind::Bytes,
        segments(),
        Generation::new(None, false, true),
    );
}

#[test]
fn journal_sealed_segment() {
    run(
        "journal_sealed_segment",
        Kind::Bytes,
        segments(),
        Generation::new(Some(6), false, false),
    );
}
