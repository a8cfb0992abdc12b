//! The composition root: makes the parts, starts them from the bottom up, and stops them from the top down.

mod addresses;
pub mod background;
pub mod commands;
pub mod doctor;
pub mod journals;
pub mod listeners;
mod live;
mod load;
mod mirroring;
pub mod moving;
pub mod restore;
pub mod serve;
mod servers;
pub mod sink;
pub mod snapshot;
pub mod stores;

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use actix::Addr;
use anyhow::Context as _;
use bytesize::ByteSize;
use secrecy::SecretString;

use crate::{
    auth::{
        address::Proxies,
        admins::Admins,
        guard::Guard,
        limits::{Limits, Rates},
    },
    catalog::seat::{RENDERER, Renderer},
    clock::Clock,
    config::{Settings, Switch},
    connection,
    data_dir::DataDir,
    events::Events,
    flush::actor::{Drain, FlushActor},
    http,
    journal::{self, Disk, Journal, RealDisk},
    node::registry::Nodes,
    presence::actor::SaveAll,
    store::{Retention, Store, Totals, in_time::InTime},
};

use self::{
    background::{Background, Materials},
    live::Live,
    mirroring::Mirroring,
    servers::Servers,
    snapshot::Snapshots,
};

pub use self::listeners::Ports;

/// How long a stop waits for each part: for calls in flight, and for the store to take what is in the journal. Together they stay
/// below 10 s; what the store does not take waits in the journal.
const STOP_CALLS: Duration = Duration::from_secs(5);

/// So long a stop still answers `/readyz`, with 503, and calls: a balancer that asks every now and then shall see it.
const STOP_NOTICE: Duration = Duration::from_millis(500);
const STOP_FLUSH: Duration = Duration::from_secs(3);
const STOP_JOBS: Duration = Duration::from_secs(1);

/// The parts that a test puts in place of the real ones.
pub struct Parts {
    /// What time it is.
    pub clock: Clock,
    /// What is kept; none = the one of the settings.
    pub store: Option<Arc<dyn Store>>,
    /// What the journal writes to.
    pub disk: Arc<dyn Disk>,
    /// How configs are made.
    pub renderer: Renderer,
    /// What a connection may do.
    pub limits: connection::Limits,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            store: None,
            disk: Arc::new(RealDisk),
            renderer: RENDERER,
            limits: connection::Limits::default(),
        }
    }
}

/// Core, running. It lives on the actix system that it was started on.
pub struct Core {
    ground: Ground,
    live: Live,
    mirroring: Option<Mirroring>,
    flush: Addr<FlushActor>,
    servers: Servers,
    background: Background,
    first_token: Option<SecretString>,
}

/// What everything stands on: the folder, the journal, the store, the events.
struct Ground {
    clock: Clock,
    events: Events,
    data_dir: DataDir,
    journal: Journal,
    store: Arc<dyn Store>,
}

impl Core {
    /// Starts Core. When this returns it is loaded and listens.
    pub async fn start(settings: &Settings, parts: Parts) -> anyhow::Result<Self> {
        let (renderer, limits) = (parts.renderer, parts.limits);
        let tls = listeners::tls(settings)?;
        let provider = addresses::provider(settings)?;
        let ground = Ground::lay(settings, parts)?;
        let instance = ground.data_dir.instance_id(settings.instance_id.as_deref())?;
        let mirroring = Mirroring::start(settings, &ground.clock, &ground.events).await?;
        let mut live = Live::new(&ground, mirroring.as_ref(), renderer);
        let snapshots = Snapshots::new(
            ground.data_dir.snapshot(),
            live.nodes.clone(),
            Arc::clone(&live.keys),
            ground.journal.clone(),
            ground.clock.clone(),
        );
        let loaded = load::load(&ground, &live, &snapshots).await?;
        let snapshots = Arc::new(tokio::sync::Mutex::new(snapshots));
        live.seats.keep_in(Arc::clone(&snapshots));
        let flush = live.start_flush(&ground, instance.clone());
        let ip_info = provider.map(|provider| addresses::job(provider, &ground, &instance));
        if !loaded {
            let store = Arc::clone(&ground.store);
            tokio::spawn(restore::catch_up(store, live.catalog.clone(), flush.clone()));
        }
        let admins = Admins::new(
            Arc::clone(&ground.store),
            ground.clock.clone(),
            Arc::new(guard(settings, &ground.clock)),
            settings.admin_token.as_ref(),
        );
        let first_token = first_token(&admins).await;
        let redis = mirroring.as_ref().map(|it| it.redis.clone());
        let servers = Servers::start(settings, &ground, &live, (admins, redis), (tls, limits)).await?;
        let background = Background::start(Materials {
            nodes: live.nodes.clone(),
            store: Arc::clone(&ground.store),
            keys: Arc::clone(&live.keys),
            snapshots,
            samples: Arc::clone(&live.samples),
            clock: ground.clock.clone(),
            offline_after: settings.node_offline_after,
            retention: retention(settings),
            ip_info,
        });
        servers.ready.store(true, SeqCst);
        let ports = servers.ports;
        ground.data_dir.write_ports(ports.http, ports.grpc, ports.admin)?;
        let data_dir = ground.data_dir.path().display();
        tracing::info!(instance, nodes = live.nodes.len(), %data_dir, "Core is ready");
        Ok(Self {
            ground,
            live,
            mirroring,
            flush,
            servers,
            background,
            first_token,
        })
    }

    /// Where it listens.
    pub const fn ports(&self) -> Ports {
        self.servers.ports
    }

    /// The token that was made on this, the first start.
    pub const fn first_token(&self) -> Option<&SecretString> {
        self.first_token.as_ref()
    }

    /// The nodes.
    pub const fn nodes(&self) -> &Nodes {
        &self.live.nodes
    }

    /// What happens.
    pub const fn events(&self) -> &Events {
        &self.ground.events
    }

    /// What [`http::admin_app`] needs to serve the admin API without a listener.
    pub fn admin(&self) -> (Arc<http::admin::Door>, Arc<http::ops::Ops>) {
        self.servers.admin.clone()
    }

    /// Moves everything that was acknowledged until now to the store.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.flush.send(Drain).await.context("the flush actor is gone")??;
        Ok(())
    }

    /// What the store has counted.
    pub async fn totals(&self) -> anyhow::Result<Totals> {
        // Some stores sum hours and days later than they count.
        while self.ground.store.roll_up().await? {}
        Ok(self.ground.store.totals().await?)
    }

    /// Stops: takes no more calls, finishes those in flight, brings everything home.
    pub async fn stop(self) {
        let Self {
            ground,
            live,
            mirroring,
            flush,
            servers,
            background,
            ..
        } = self;
        tracing::info!("stopping");
        servers.ready.store(false, SeqCst);
        if let Err(error) = ground.data_dir.forget_ports() {
            tracing::warn!(%error, "ports.json can't be removed");
        }
        servers.end_streams();
        servers.grpc.drain().await;
        tokio::time::sleep(STOP_NOTICE).await;
        if tokio::time::timeout(STOP_CALLS, servers.stop()).await.is_err() {
            tracing::warn!("calls were still in flight and are cut");
        }
        if !matches!(live.presence.send(SaveAll).timeout(STOP_JOBS).await, Ok(Ok(()))) {
            tracing::warn!("the store did not hear of all addresses");
        }
        let flushed = tokio::time::timeout(STOP_FLUSH, flush.send(Drain)).await;
        if !matches!(flushed, Ok(Ok(Ok(())))) {
            tracing::warn!("the store did not take everything: the rest waits in the journal");
        }
        if tokio::time::timeout(STOP_JOBS, background.stop()).await.is_err() {
            tracing::warn!("the last states could not be written");
        }
        if let Some(mirroring) = mirroring {
            mirroring.stop().await;
        }
        ground.journal.close();
        for arbiter in live.arbiters {
            arbiter.stop();
        }
        tracing::info!("stopped");
    }
}

impl Ground {
    fn lay(settings: &Settings, parts: Parts) -> anyhow::Result<Self> {
        let Parts { clock, store, disk, .. } = parts;
        let data_dir = DataDir::hold(&settings.data_dir)?;
        data_dir.forget_ports()?;
        let ByteSize(max_bytes) = settings.journal_max_bytes;
        let options = journal::Options {
            max_bytes,
            keep: settings.journal_keep,
            ..journal::Options::default()
        };
        let journal = Journal::open(&data_dir.journal(), options, clock.clone(), disk)?;
        let store = match store {
            Some(store) => store,
            None => stores::open(settings)?,
        };
        Ok(Self {
            events: Events::new(clock.clone()),
            clock,
            data_dir,
            journal,
            store: Arc::new(InTime::new(store)),
        })
    }
}

fn guard(settings: &Settings, clock: &Clock) -> Guard {
    let rates = Rates {
        register_per_min: settings.limit_register_per_min,
        auth_failures_per_min: settings.limit_auth_failures_per_min,
        node_factor: settings.limit_node_factor,
    };
    let limits = (settings.limits == Switch::On).then(|| Limits::new(rates, clock));
    if limits.is_none() {
        tracing::warn!("LIMITS is off: anybody may call as often as he likes");
    }
    Guard::new(Proxies::new(settings.trusted_proxies.clone()), limits)
}

const fn retention(settings: &Settings) -> Retention {
    Retention {
        usage_minutes: settings.usage_minutes_keep,
        usage_hours: settings.usage_hours_keep,
        session_events: settings.session_events_keep,
        node_stats: settings.node_stats_keep,
    }
}

async fn first_token(admins: &Admins) -> Option<SecretString> {
    admins.first_token().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "whether there is an admin token can't be known now");
        None
    })
}
