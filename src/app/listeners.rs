//! The three sockets.

use std::net::{IpAddr, TcpListener};

use anyhow::Context as _;

use crate::config::Settings;

/// Where Core listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the listener of its name")]
pub struct Ports {
    pub http: u16,
    pub grpc: u16,
    pub admin: u16,
}

/// Bound, but not yet served.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is the listener of its name")]
pub struct Listeners {
    pub http: TcpListener,
    pub grpc: TcpListener,
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds them. What is open to the network without TLS is said.
    pub fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let node_ip = settings.node_ip();
        for (what, ip) in [("node", node_ip), ("admin", settings.admin_bind_ip)] {
            if !ip.is_loopback() {
                tracing::warn!(%ip, "the {what} listener is open to the network without TLS");
            }
        }
        Ok(Self {
            http: listener("HTTP_PORT", node_ip, settings.http_port)?,
            grpc: listener("GRPC_PORT", node_ip, settings.grpc_port)?,
            admin: listener("ADMIN_PORT", settings.admin_bind_ip, settings.admin_port)?,
        })
    }

    /// The ports that they have.
    pub fn ports(&self) -> std::io::Result<Ports> {
        Ok(Ports {
            http: self.http.local_addr()?.port(),
            grpc: self.grpc.local_addr()?.port(),
            admin: self.admin.local_addr()?.port(),
        })
    }
}

fn listener(setting: &str, ip: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind((ip, port)).with_context(|| format!("{setting}: can't listen on {ip} port {port}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
