//! The three sockets.

use std::net::{IpAddr, TcpListener};

use anyhow::Context as _;

use tokio_rustls::TlsAcceptor;

use crate::{
    clock::Clock,
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
    pub fn bind(settings: &Settings, tls: Option<Tls>, limits: Limits, clock: &Clock) -> anyhow::Result<Self> {
        let node_ip = settings.node_ip();
        for (what, ip) in [("node", node_ip), ("admin", settings.admin_bind_ip)] {
            if tls.is_none() && !ip.is_loopback() {
                tracing::warn!(%ip, "the {what} listener is open to the network without TLS");
            }
        }
        let speak = |protocols| tls.as_ref().map(|tls| tls.acceptor(protocols)).transpose();
        let http = |name, socket, workers| -> anyhow::Result<_> {
            let tls = speak(&[HTTP_1])?;
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
            tls.follow(clock.clone());
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

/// Connections that the kernel makes before they are accepted, so that a fleet can come back at once: it answers no more than these, and
/// who gets no answer asks again after seconds. `net.core.somaxconn` is the most that counts: 4,096 since Linux 5.4.
const BACKLOG: i32 = 4_096;

fn listener(setting: &str, ip: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let listen = || {
        let listener = TcpListener::bind((ip, port))?;
        // The standard library asked for 128.
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        std::io::Result::Ok(listener)
    };
    listen().with_context(|| format!("{setting}: can't listen on {ip} port {port}"))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use super::*;

    #[test]
    fn a_herd_is_connected_before_it_is_accepted() {
        let most: usize =
            std::fs::read_to_string("/proc/sys/net/core/somaxconn").map_or(128, |text| text.trim().parse().unwrap());
        let listener = listener("GRPC_PORT", [127, 0, 0, 1].into(), 0).unwrap();
        let address = listener.local_addr().unwrap();
        let herd: Vec<_> = (0..most.min(1_000))
            .map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(10)).unwrap())
            .collect();
        let accepted: Vec<_> = herd.iter().map(|_| listener.accept().unwrap()).collect();
        assert_eq!(accepted.len(), herd.len());
    }
}
