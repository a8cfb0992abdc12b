//! Where Redis is, and how a connection to it is made and watched.

use std::{sync::Arc, time::Duration};

use fred::{
    socket2::TcpKeepalive,
    types::config::{
        ClusterDiscoveryPolicy, Config, ConnectionConfig, ReconnectPolicy, ServerConfig, TcpConfig, TlsConfig,
        TlsConnector, TlsHostMapping, UnresponsiveConfig,
    },
};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

/// A setting that names no Redis. Never says the URL: it has a password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RedisUrlError(String);

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);

/// How long the talk that begins a connection may take: four questions one after the other, each of which a slow Redis answers in a second.
const GREETING: Duration = Duration::from_secs(5);

/// So long nothing may be heard after something was said.
const SILENCE: Duration = Duration::from_secs(3);

/// When a connection on which nothing is said is asked for a sign of life, and how often.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);

/// Pipelines and single commands that wait for the connection at most, and after a cluster has moved slots the commands that go to another
/// of its members: four pipelines full.
const WAITING_MAX: usize = 4_096;

/// The pause before a new connection is tried: soon at first, never long, since keys are to be right within 5 s of Redis' return.
const PAUSE_FIRST_MS: u32 = 50;
const PAUSE_MOST_MS: u32 = 500;
const PAUSE_JITTER_MS: u32 = 50;

/// The schemes, in full: whether it is a cluster, and whether it is encrypted.
const SCHEMES: &[(&str, bool, bool)] = &[
    ("redis", false, false),
    ("rediss", false, true),
    ("redis-cluster", true, false),
    ("rediss-cluster", true, true),
];

/// A Redis, or a cluster of them.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    /// For logs: no password.
    pub(super) shown: String,
}

impl Address {
    /// Reads `redis://[user:password@]host[:port][/database]`.
    pub(super) fn new(url: &SecretString) -> Result<Self, RedisUrlError> {
        let bad = |what: String| RedisUrlError(what);
        let text = url.expose_secret();
        let url = Url::parse(text).map_err(|error| bad(format!("is not a URL: {error}")))?;
        let scheme = SCHEMES.iter().find(|(name, ..)| *name == url.scheme());
        let (_, cluster, encrypted) = scheme.ok_or_else(|| {
            bad("must begin with redis://, rediss://, redis-cluster:// or rediss-cluster://".to_owned())
        })?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("names no host".to_owned()))?;
        if *cluster && !matches!(url.path(), "" | "/") {
            return Err(bad("names a database, and a cluster has only one".to_owned()));
        }
        let shown = format!("{}://{host}:{}", url.scheme(), url.port().unwrap_or(6379));
        // The client would make its encryption by itself, of a provider that nobody chose.
        let plain = text.replacen("rediss", "redis", usize::from(*encrypted));
        let mut config =
            Config::from_url(&plain).map_err(|error| bad(format!("can't be used: {}", error.details())))?;
        // A Redis that is not there yet is no reason to give up.
        config.fail_fast = false;
        if let ServerConfig::Clustered { policy, .. } = &mut config.server {
            // The member that the URL names may be the one that is gone.
            *policy = ClusterDiscoveryPolicy::UseCache;
        }
        if *encrypted {
            config.tls = Some(encryption(&url)?);
        }
        Ok(Self { config, shown })
    }
}

/// The system's certificates are trusted; members of a cluster, which name each other by address, show that of the host in the URL.
fn encryption(url: &Url) -> Result<TlsConfig, RedisUrlError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::debug!(%error, "some of the system's certificates can't be read");
    }
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RedisUrlError(format!("no TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The schemes are not those of the web, where a host would be known to be an address.
    let is_address = url
        .host_str()
        .is_some_and(|host| !matches!(Host::parse(host), Ok(Host::Domain(_))));
    Ok(TlsConfig {
        connector: TlsConnector::from(config),
        hostnames: if is_address {
            TlsHostMapping::None
        } else {
            TlsHostMapping::DefaultHost
        },
    })
}

/// How connections are made and watched.
pub(super) fn connection() -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: CONNECT,
        internal_command_timeout: GREETING,
        // What was sent once is not sent again, but for a cluster that points to another member.
        max_command_attempts: 3,
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(SILENCE),
            interval: Duration::from_secs(1),
        },
        reconnect_on_auth_error: true,
        max_command_buffer_len: WAITING_MAX,
        tcp: TcpConfig {
            nodelay: Some(true),
            keepalive: Some(
                TcpKeepalive::new()
                    .with_time(KEEPALIVE_IDLE)
                    .with_interval(KEEPALIVE_EVERY),
            ),
            ..TcpConfig::default()
        },
        ..ConnectionConfig::default()
    }
}

/// When a lost connection is made again: for ever.
pub(super) fn policy() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::new_exponential(0, PAUSE_FIRST_MS, PAUSE_MOST_MS, 2);
    policy.set_jitter(PAUSE_JITTER_MS);
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<Address, String> {
        Address::new(&url.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn all_four_schemes_are_read() {
        for (url, cluster, encrypted, shown) in [
            ("redis://localhost", false, false, "redis://localhost:6379"),
            ("redis://u:secret@db:7000/3", false, false, "redis://db:7000"),
            ("rediss://:secret@db", false, true, "rediss://db:6379"),
            (
                "redis-cluster://db:7000?node=db2:7001",
                true,
                false,
                "redis-cluster://db:7000",
            ),
            (
                "rediss-cluster://192.0.2.1:7000",
                true,
                true,
                "rediss-cluster://192.0.2.1:7000",
            ),
        ] {
            let read = address(url).unwrap();
            assert_eq!(read.shown, shown);
            assert_eq!(read.config.server.is_clustered(), cluster, "{url}");
            assert_eq!(read.config.tls.is_some(), encrypted, "{url}");
        }
        let read = address("redis://u:p%40ss@db:7000/3").unwrap().config;
        assert_eq!(
            (read.username.as_deref(), read.password.as_deref(), read.database),
            (Some("u"), Some("p@ss"), Some(3))
        );
        assert_eq!(
            address("redis-cluster://db?node=db2:7001")
                .unwrap()
                .config
                .server
                .hosts()
                .len(),
            2
        );
    }

    #[test]
    fn what_names_no_redis_is_told_in_a_line_without_the_password() {
        for (url, why) in [
            ("hidden-word", "is not a URL"),
            ("http://:hidden-word@db", "must begin with redis://"),
            ("redis://", "names no host"),
            ("redis://:hidden-word@db:99999", "is not a URL"),
            ("redis://:hidden-word@db/one", "can't be used"),
            ("redis://:hidden-word@db/1/2", "database"),
            ("redis-cluster://:hidden-word@db/1", "a cluster has only one"),
            ("redis-sentinel://:hidden-word@db", "must begin with redis://"),
        ] {
            let error = address(url).err().unwrap();
            assert!(error.contains(why), "{url}: {error}");
            assert!(
                !error.is_empty() && !error.contains("hidden-word") && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
