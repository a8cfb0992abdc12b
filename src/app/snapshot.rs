//! The last good truth about all nodes, kept beside the journal, so that Core can start and serve without its store.

use std::{
    borrow::Cow,
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    catalog::follow::Given,
    clock::Clock,
    data_dir,
    journal::Journal,
    model::{
        JournalId, KeyId, NodeId, Position, Time,
        node::{NodeKey, NodeRecord, NodeStatus, Own, Seed, StoredState, SyncStatus},
        node_config::{CONFIG_LARGE, ConfigHash, NodeConfig, Rendered},
        secrets::SecretHash,
    },
    node::{keys::Keys, registry::Nodes},
};

/// How often it is written, if something changed.
pub const EVERY: Duration = Duration::from_secs(30);

/// The form of the file. A file of another form is not read.
const FORM: u32 = 2;

/// Writes and reads the snapshot.
pub struct Snapshots {
    path: PathBuf,
    nodes: Nodes,
    keys: Arc<Keys>,
    journal: Journal,
    clock: Clock,
    written: Option<(u64, u64, Position)>,
}

#[derive(Serialize, Deserialize)]
struct File<Keys, Lines> {
    form: u32,
    at: Time,
    /// What the journal said up to here is in it.
    journal: String,
    position: u64,
    keys: Keys,
    nodes: Lines,
}

/// Lines that are made while they are written: a large fleet's all at once would take as much memory as the fleet.
struct Each<'a, T, Line>(&'a [T], fn(&'a T) -> Line);

impl<T, Line: Serialize> Serialize for Each<'_, T, Line> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(all, line) = self;
        serializer.collect_seq(all.iter().map(line))
    }
}

/// What of the file says what the nodes were given.
#[derive(Deserialize)]
struct GivenFile {
    form: u32,
    nodes: Vec<GivenLine>,
}

#[derive(Deserialize)]
struct GivenLine {
    id: NodeId,
    revision: i64,
    #[serde(flatten)]
    own: Own,
}

/// What of the file says how large the configs are.
#[derive(Deserialize)]
struct SizedFile {
    form: u32,
    nodes: Vec<SizedLine>,
}

#[derive(Deserialize)]
struct SizedLine {
    id: NodeId,
    client_map: String,
    mtproto_client_map: String,
    services: String,
}

#[derive(Serialize, Deserialize)]
struct KeyLine {
    hash: String,
    id: KeyId,
    node: NodeId,
    used: bool,
}

#[derive(Serialize, Deserialize)]
struct NodeLine<'a> {
    id: NodeId,
    name: Cow<'a, str>,
    ip: IpAddr,
    port: u16,
    region: Cow<'a, str>,
    domain: Option<Cow<'a, str>>,
    enabled: bool,
    traffic_multiplier: f64,
    created_at: Time,
    version: i64,
    status: NodeStatus,
    sync_status: SyncStatus,
    applied_revision: i64,
    last_seen_at: Option<Time>,
    #[serde(flatten)]
    own: Cow<'a, Own>,
    revision: i64,
    client_map: Cow<'a, str>,
    mtproto_client_map: Cow<'a, str>,
    services: Cow<'a, str>,
    structure: String,
    users: String,
}

impl Snapshots {
    /// A snapshot in this file.
    pub const fn new(path: PathBuf, nodes: Nodes, keys: Arc<Keys>, journal: Journal, clock: Clock) -> Self {
        Self {
            path,
            nodes,
            keys,
            journal,
            clock,
            written: None,
        }
    }

    /// Writes it, unless nothing changed since the last time.
    pub async fn save(&mut self) {
        // The position first: what comes between is read again at a start, which does no harm.
        let (journal, position) = (self.journal.id(), self.journal.health().end);
        // Keys before nodes: a key whose node is missing would be refused for good.
        let (keys_edition, keys) = self.keys.export();
        let (edition, nodes) = self.nodes.export();
        let mark = (edition, keys_edition, position);
        if self.written == Some(mark) {
            return;
        }
        let (path, at) = (self.path.clone(), self.clock.now());
        let written = tokio::task::spawn_blocking(move || {
            let file = File {
                form: FORM,
                at,
                journal: journal.to_string(),
                position: position.0,
                keys: Each(&keys, KeyLine::new),
                nodes: Each(&nodes, |(seed, state)| NodeLine::new(seed, *state)),
            };
            data_dir::replace_by(&path, |out| {
                serde_json::to_writer(out, &file).map_err(std::io::Error::other)
            })
        });
        match written.await {
            Ok(Ok(())) => self.written = Some(mark),
            Ok(Err(error)) => tracing::warn!(%error, "the snapshot can't be written"),
            Err(error) => tracing::error!(%error, "the snapshot's writer fell"),
        }
    }

    /// What the nodes were given; nothing if there is no file yet.
    pub fn given(&self) -> anyhow::Result<HashMap<NodeId, Given>> {
        if !self.path.try_exists()? {
            return Ok(HashMap::new());
        }
        let file: GivenFile = serde_json::from_slice(&std::fs::read(&self.path)?)?;
        anyhow::ensure!(file.form == FORM, "the snapshot has form {}, not {FORM}", file.form);
        let given = |line: GivenLine| Given {
            revision: line.revision,
            clients: line.own.clients,
        };
        Ok(file.nodes.into_iter().map(|line| (line.id, given(line))).collect())
    }

    /// Reads it: nodes and keys are there again. Gives up to where the journal is in it.
    pub fn load(&self) -> anyhow::Result<(JournalId, Position)> {
        let file: File<Vec<KeyLine>, Vec<NodeLine<'_>>> = serde_json::from_slice(&std::fs::read(&self.path)?)?;
        anyhow::ensure!(file.form == FORM, "the snapshot has form {}, not {FORM}", file.form);
        let keys = file
            .keys
            .into_iter()
            .map(|line| line.key(file.at))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let known = (JournalId(unhex(&file.journal)?), Position(file.position));
        for line in file.nodes {
            self.nodes.adopt(line.seed()?);
        }
        self.keys.replace(&keys);
        tracing::warn!(nodes = self.nodes.len(), at = %file.at, "nodes were loaded from the snapshot");
        Ok(known)
    }
}

/// The nodes whose configs are above what gRPC clients take by default, and how large those are; by the snapshot of this data folder.
pub(super) fn large_configs(dir: &Path) -> anyhow::Result<Vec<(NodeId, u64)>> {
    let file: SizedFile = serde_json::from_slice(&std::fs::read(data_dir::snapshot(dir))?)?;
    anyhow::ensure!(file.form == FORM, "the snapshot has form {}, not {FORM}", file.form);
    let size = |line: &SizedLine| line.client_map.len() + line.mtproto_client_map.len() + line.services.len();
    let sizes = file.nodes.iter().map(|line| (line.id, size(line)));
    Ok(sizes
        .filter(|(_, bytes)| *bytes > CONFIG_LARGE)
        .map(|(id, bytes)| (id, bytes as u64))
        .collect())
}

impl KeyLine {
    fn new(&(hash, id, node, used): &(SecretHash, KeyId, NodeId, bool)) -> Self {
        Self {
            hash: hex::encode(hash.0),
            id,
            node,
            used,
        }
    }

    fn key(self, at: Time) -> anyhow::Result<NodeKey> {
        Ok(NodeKey {
            id: self.id,
            node_id: self.node,
            hash: SecretHash(unhex(&self.hash)?),
            created_at: at,
            first_used_at: self.used.then_some(at),
            revoked_at: None,
        })
    }
}

impl<'a> NodeLine<'a> {
    fn new(seed: &'a Seed, state: StoredState) -> Self {
        let (record, config) = (&seed.record, &seed.config);
        let rendered = config.rendered();
        Self {
            id: record.id,
            name: record.name.as_str().into(),
            ip: record.ip,
            port: record.port,
            region: record.region.as_str().into(),
            domain: record.domain.as_deref().map(Cow::from),
            enabled: record.enabled,
            traffic_multiplier: record.traffic_multiplier,
            created_at: record.created_at,
            version: record.version,
            status: state.status,
            sync_status: state.sync_status,
            applied_revision: state.applied_revision,
            last_seen_at: state.last_seen_at,
            own: Cow::Borrowed(&seed.own),
            revision: config.revision(),
            client_map: rendered.client_map.into(),
            mtproto_client_map: rendered.mtproto_client_map.into(),
            services: rendered.services.into(),
            structure: config.structure().to_string(),
            users: config.users().to_string(),
        }
    }

    fn seed(self) -> anyhow::Result<Seed> {
        let rendered = Rendered {
            client_map: self.client_map.into_owned(),
            mtproto_client_map: self.mtproto_client_map.into_owned(),
            services: self.services.into_owned(),
            structure: ConfigHash(unhex(&self.structure)?),
            users: ConfigHash(unhex(&self.users)?),
            problems: Vec::new(),
        };
        let config = NodeConfig::new(self.revision, rendered);
        let record = NodeRecord {
            id: self.id,
            name: self.name.into_owned(),
            ip: self.ip,
            port: self.port,
            region: self.region.into_owned(),
            domain: self.domain.map(Cow::into_owned),
            enabled: self.enabled,
            traffic_multiplier: self.traffic_multiplier,
            revision: self.revision,
            config_hash: Some(config.hash()),
            state: StoredState {
                status: self.status,
                sync_status: self.sync_status,
                applied_revision: self.applied_revision,
                last_seen_at: self.last_seen_at,
            },
            created_at: self.created_at,
            version: self.version,
        };
        Ok(Seed {
            record: Arc::new(record),
            own: self.own.into_owned(),
            config: Arc::new(config),
        })
    }
}

fn unhex<const N: usize>(text: &str) -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)?;
    Ok(bytes)
}
