//! How the HTTP listeners take connections: the handshake, and how long a peer may keep Core waiting.
//!
//! They speak HTTP/1.1 alone. actix-http speaks HTTP/2 with h2 0.3, which keeps empty DATA frames without end and has no version in which that is
//! mended (RUSTSEC-2026-0258): while a request was answered for 3 s, its peer filled 1 GB with them.

use std::{fmt, io, net::TcpListener, sync::Arc};

use actix_http::{HttpService, Request, Response, body::MessageBody, error::DispatchError};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service as _, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config,
};
use actix_web::{Error, dev::AppConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::connection::{Limits, Stream};

use super::calm::Calm;

/// How long calls in flight may take to finish at a stop.
const DRAIN_SECONDS: u64 = 5;

/// A listener that is not served yet.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// What metrics call it.
    pub name: &'static str,
    /// What is spoken below; none = plain text.
    pub tls: Option<TlsAcceptor>,
    /// What a connection may do.
    pub limits: Limits,
    /// Threads; none = one a core.
    pub workers: Option<usize>,
}

impl Listener {
    /// Serves this application.
    pub fn serve<F, I, S, B>(self, app: F) -> io::Result<Server>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<Error> + 'static,
        S::InitError: fmt::Debug,
        S::Response: Into<Response<B>> + 'static,
        S::Service: 'static,
        <S::Service as actix_service::Service<Request>>::Future: 'static,
        B: MessageBody + 'static,
    {
        let Self {
            socket,
            name,
            tls,
            limits,
            workers,
        } = self;
        let mut builder = Server::build().shutdown_timeout(DRAIN_SECONDS).disable_signals();
        if let Some(workers) = workers {
            builder = builder.workers(workers);
        }
        let stopping = builder.graceful_shutdown_signal();
        let builder = builder.listen(name, socket, move || {
            let (tls, stopping) = (tls.clone(), stopping.clone());
            let app = app().into_factory().map_err(|error| error.into().error_response());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(limits.idle)
                .client_request_timeout(limits.first_request)
                .client_disconnect_timeout(limits.handshake)
                .on_connect_ext(move |stream: &Stream, data| {
                    data.insert(stream.turns());
                    data.insert(limits);
                })
                .h1(map_config(app, |()| AppConfig::default()));
            fn_service(move |tcp| open(name, tcp, tls.clone(), limits)).and_then(apply_fn_factory(
                http,
                move |stream: Stream, http| {
                    let (turns, peer) = (stream.turns(), stream.tcp().peer_addr().ok());
                    let serving = Calm::new(http.call((stream, peer)), Arc::clone(&turns));
                    async move {
                        tokio::select! {
                            served = serving => served,
                            () = turns.over(&limits) => {
                                metrics::counter!("core_connections_ended_total", "listener" => name).increment(1);
                                Ok(())
                            }
                        }
                    }
                },
            ))
        })?;
        Ok(builder.run())
    }
}

async fn open(
    name: &'static str,
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    limits: Limits,
) -> Result<Stream, DispatchError> {
    let opened = match tcp.set_nodelay(true) {
        Ok(()) => Stream::open(tcp, tls.as_ref(), &limits).await,
        Err(error) => Err(error),
    };
    opened.map_err(|error| {
        metrics::counter!("core_tls_handshake_failures_total", "listener" => name).increment(1);
        tracing::debug!(%error, name, "a handshake failed");
        DispatchError::Io(error)
    })
}
