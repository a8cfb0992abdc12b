//! What the outside talks to.

use std::sync::{Arc, atomic::AtomicBool};

use actix_web::dev::ServerHandle;
use tokio::sync::watch;

use crate::{
    admin::{
        Desk,
        live::{LastStats, Looks},
    },
    auth::{Authenticator, admins::Admins, registration::Registrar},
    config::Settings,
    connection::Limits,
    grpc::server::{GrpcServer, Served},
    http::{self, admin::events::Feed},
    live_fetch::LiveFetch,
    redis::Redis,
    telemetry,
    tls::Tls,
};

use super::{Ground, Ports, listeners::Listeners, live::Live, mirroring::Remembered};

/// What the outside talks to.
pub(super) struct Servers {
    pub(super) ports: Ports,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) grpc: GrpcServer,
    pub(super) http: Vec<ServerHandle>,
    pub(super) admin: (Arc<http::admin::Door>, Arc<http::ops::Ops>),
    /// Ends the streams of events, which never end by themselves.
    stopping: watch::Sender<bool>,
}

impl Servers {
    pub(super) async fn start(
        settings: &Settings,
        ground: &Ground,
        live: &Live,
        (admins, redis): (Admins, Option<Redis>),
        (tls, limits): (Option<Tls>, Limits),
    ) -> anyhow::Result<Self> {
        let (store, clock) = (&ground.store, &ground.clock);
        let ready = Arc::new(AtomicBool::new(false));
        let auth = Arc::new(Authenticator::new(
            Arc::clone(&live.keys),
            live.nodes.clone(),
            Arc::clone(store),
            Arc::clone(admins.guard()),
            clock.clone(),
        ));
        let registrar = Registrar::new(
            Arc::clone(store),
            Arc::clone(&live.keys),
            live.catalog.clone(),
            clock.clone(),
        );
        let desk = Desk {
            store: Arc::clone(store),
            nodes: live.nodes.clone(),
            keys: Arc::clone(&live.keys),
            catalog: live.catalog.clone(),
            presence: live.presence.clone(),
            looks: Arc::new(Looks::new(LiveFetch::new(settings.live_fetch_allow.clone())?)),
            last_stats: redis
                .clone()
                .map(|redis| Arc::new(Remembered(redis)) as Arc<dyn LastStats>),
            clock: clock.clone(),
        };
        let ops = Arc::new(http::ops::Ops {
            ready: Arc::clone(&ready),
            store: Arc::clone(store),
            redis,
            journal: ground.journal.clone(),
            metrics: telemetry::start_metrics(),
        });
        let node_door = http::node::Door {
            auth: Arc::clone(&auth),
            nodes: live.nodes.clone(),
            registrar,
        };
        let (stopping, stopped) = watch::channel(false);
        let admin_door = Arc::new(http::admin::Door {
            admins,
            desk,
            feed: Feed::new(ground.events.clone(), clock, stopped),
        });
        let listeners = Listeners::bind(settings, tls, limits, clock)?;
        let ports = listeners.ports()?;
        let served = Served {
            auth,
            nodes: live.nodes.clone(),
            clock: clock.clone(),
            tls: listeners.grpc_tls,
            limits,
        };
        let grpc = GrpcServer::start(listeners.grpc, &live.shards, &served).await?;
        let servers = [
            http::node_server(listeners.http, Arc::new(node_door), Arc::clone(&ops))?,
            http::admin_server(listeners.admin, Arc::clone(&admin_door), Arc::clone(&ops))?,
        ];
        let http = servers.iter().map(actix_web::dev::Server::handle).collect();
        for server in servers {
            actix::spawn(async move {
                if let Err(error) = server.await {
                    tracing::error!(%error, "an HTTP listener ended");
                }
            });
        }
        Ok(Self {
            ports,
            ready,
            grpc,
            http,
            admin: (admin_door, ops),
            stopping,
        })
    }

    /// Ends what would go on for ever, so that the stop need not wait for it.
    pub(super) fn end_streams(&self) {
        self.stopping.send_replace(true);
    }

    pub(super) async fn stop(self) {
        let http = futures_util::future::join_all(self.http.iter().map(|server| server.stop(true)));
        futures_util::future::join(http, self.grpc.stop()).await;
    }
}
