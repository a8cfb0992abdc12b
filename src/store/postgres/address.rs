//! Where the database is, and how its certificate is looked at. `sslmode` and `sslrootcert` mean what they mean to libpq.

use std::{path::PathBuf, str::FromStr, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::{Config, config::SslMode};
use url::Url;

/// How long a connection may take to be made.
pub(super) const CONNECT: Duration = Duration::from_secs(2);

/// When a connection on which nothing arrives is asked for a sign of life, how often, and how long sent bytes may stay unacknowledged.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
const KEEPALIVE_TRIES: u32 = 3;
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// A setting that names no database.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no URL of a database. Never says the URL: it has a password.
    #[error("{0}")]
    Bad(String),
    /// A file of certificates can't be read.
    #[error("sslrootcert {path} can't be read: {why}")]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// A database, and a schema in it.
#[derive(Debug, Clone)]
pub struct Address {
    pub(super) config: Config,
    pub(super) trust: Trust,
    pub(super) schema: String,
    pub(super) roots: Option<PathBuf>,
}

/// How much of the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: `prefer` and `require` encrypt, and know not with whom.
    Nobody,
    /// That somebody known signed it: `verify-ca`.
    Signed,
    /// And that it is this host's: `verify-full`.
    Host,
}

impl Address {
    /// Reads `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…`. The schema may be any name.
    pub fn new(url: &SecretString, schema: &str) -> Result<Self, AddressError> {
        let bad = |what: String| AddressError::Bad(what);
        let mut url = Url::parse(url.expose_secret()).map_err(|error| bad(format!("is not a URL: {error}")))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(bad("must begin with postgres://".to_owned()));
        }
        let (mut mode, mut roots, mut others) = (None, None, Vec::new());
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => roots = Some(PathBuf::from(value.into_owned())),
                _ => others.push((name.into_owned(), value.into_owned())),
            }
        }
        let (mode, trust) = ssl_mode(mode.as_deref())
            .ok_or_else(|| bad("sslmode must be disable, prefer, require, verify-ca or verify-full".to_owned()))?;
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
        let mut config = Config::from_str(url.as_str()).map_err(|error| bad(told(&error)))?;
        config
            .ssl_mode(mode)
            .connect_timeout(CONNECT)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_EVERY)
            .keepalives_retries(KEEPALIVE_TRIES);
        if config.get_application_name().is_none() {
            config.application_name("vpn-core");
        }
        if schema.is_empty() || schema.len() > MAX_NAME || schema.contains('\0') {
            return Err(bad(format!("the schema's name must have 1 to {MAX_NAME} letters")));
        }
        Ok(Self {
            config,
            trust,
            schema: schema.to_owned(),
            roots,
        })
    }

    /// Where it is, for logs: no password.
    pub fn shown(&self) -> String {
        use tokio_postgres::config::Host;
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!(
            "{}/{database}, schema {}",
            hosts.collect::<Vec<_>>().join(","),
            self.schema
        )
    }
}

/// Letters of a name in PostgreSQL; what is longer it would cut.
const MAX_NAME: usize = 63;

fn ssl_mode(text: Option<&str>) -> Option<(SslMode, Trust)> {
    Some(match text {
        Some("disable") => (SslMode::Disable, Trust::Nobody),
        None | Some("prefer" | "allow") => (SslMode::Prefer, Trust::Nobody),
        Some("require") => (SslMode::Require, Trust::Nobody),
        Some("verify-ca") => (SslMode::Require, Trust::Signed),
        Some("verify-full") => (SslMode::Require, Trust::Host),
        Some(_) => return None,
    })
}

/// What an error says, with its causes.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<Address, AddressError> {
        Address::new(&SecretString::from(url), "core")
    }

    #[test]
    fn ssl_is_as_libpq_has_it() {
        let trust = |query: &str| {
            let address = address(&format!("postgres://core:secret@db.example.test/core{query}")).unwrap();
            (address.config.get_ssl_mode(), address.trust)
        };
        assert_eq!(trust(""), (SslMode::Prefer, Trust::Nobody));
        assert_eq!(trust("?sslmode=disable"), (SslMode::Disable, Trust::Nobody));
        assert_eq!(
            trust("?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=9"),
            (SslMode::Require, Trust::Host)
        );
    }

    #[test]
    fn what_names_no_database_is_refused_without_its_password() {
        for url in [
            "mysql://core:secret@db/core",
            "postgres://core:secret@db/core?sslmode=sometimes",
            "postgres://core:secret@db/core?colour=red",
            "core:secret@db",
        ] {
            let error = address(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_log_shows_no_password() {
        let shown = address("postgres://core:secret@db.example.test:6432/panel")
            .unwrap()
            .shown();
        assert_eq!(shown, "db.example.test/panel, schema core");
    }
}
