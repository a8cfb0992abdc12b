//! The three sockets.

use std::net::{IpAddr, TcpListener};

use anyhow::Context as _;

use tokio_rustls::TlsAcceptor;

use crate::{
    config::Settings,
    connection::Limits,
    http::serve,
    tls::{H2, HTTP_1, Tls},
};

/// Where Core listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the listener of its name")]
pub struct Ports {
    pub http: u16,
    pub grpc: u16,
    pub admin: u16,
}

/// Bound, but not yet served.
#[allow(missing_docs, reason = "each is the listener of its name")]
pub struct Listeners {
    pub http: serve::Listener,
    pub grpc: TcpListener,
    pub grpc_tls: Option<TlsAcceptor>,
    pub admin: serve::Listener,
}

/// The certificate of the settings, if there is one.
pub fn tls(settings: &Settings) -> anyhow::Result<Option<Tls>> {
    settings.check()?;
    let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
        return Ok(None);
    };
    Ok(Some(Tls::load(certificate, key)?))
}

impl Listeners {
    /// Binds them. What is open to the network without TLS is said.
    pub fn bind(settings: &Settings, tls: Option<Tls>, limits: Limits) -> anyhow::Result<Self> {
        let node_ip = settings.node_ip();
        for (what, ip) in [("node", node_ip), ("admin", settings.admin_bind_ip)] {
            if tls.is_none() && !ip.is_loopback() {
                tracing::warn!(%ip, "the {what} listener is open to the network without TLS");
            }
        }
        let speak = |protocols| tls.as_ref().map(|tls| tls.acceptor(protocols)).transpose();
        let http = |name, socket, workers| -> anyhow::Result<_> {
            let tls = speak(&[H2, HTTP_1])?;
            Ok(serve::Listener {
                socket,
                name,
                tls,
                limits,
                workers,
            })
        };
        let all = Self {
            http: http("http", listener("HTTP_PORT", node_ip, settings.http_port)?, None)?,
            grpc: listener("GRPC_PORT", node_ip, settings.grpc_port)?,
            grpc_tls: speak(&[H2])?,
            admin: http(
                "admin",
                listener("ADMIN_PORT", settings.admin_bind_ip, settings.admin_port)?,
                Some(1),
            )?,
        };
        if let Some(tls) = tls {
            tls.follow();
        }
        Ok(all)
    }

    /// The ports that they have.
    pub fn ports(&self) -> std::io::Result<Ports> {
        Ok(Ports {
            http: self.http.socket.local_addr()?.port(),
            grpc: self.grpc.local_addr()?.port(),
            admin: self.admin.socket.local_addr()?.port(),
        })
    }
}

fn listener(setting: &str, ip: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind((ip, port)).with_context(|| format!("{setting}: can't listen on {ip} port {port}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
