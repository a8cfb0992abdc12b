//! Settings: the shipped defaults, then a file, then the environment, then flags.

use std::{
    error::Error as _,
    ffi::OsString,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use clap::{
    Args, Command, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

/// The shipped defaults.
const DEFAULTS: &str = include_str!("../config/core.toml");

/// How Core runs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// Address of the node listeners [default: 0.0.0.0 with TLS, else 127.0.0.1]
    #[arg(long, env, global = true)]
    pub bind_ip: Option<IpAddr>,
    /// Port of the node HTTP routes; 0 = any
    #[arg(long, env, global = true)]
    pub http_port: u16,
    /// Port of gRPC; 0 = any
    #[arg(long, env, global = true)]
    pub grpc_port: u16,
    /// Address of the admin API
    #[arg(long, env, global = true)]
    pub admin_bind_ip: IpAddr,
    /// Port of the admin API; 0 = any
    #[arg(long, env, global = true)]
    pub admin_port: u16,
    /// A bearer token with the role admin [default: made and printed on the first start]
    #[arg(long, env, global = true, hide_env_values = true, hide_default_value = true, value_parser = secret)]
    pub admin_token: Option<SecretString>,
    /// PEM file of the certificate and its chain, for TLS on all listeners; read again when it changes [default: no TLS]
    #[arg(long, env, global = true, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key
    #[arg(long, env, global = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Where the store is, such as postgres://core:secret@db:5432/core [default: embedded, in the data folder]
    #[arg(long, env, global = true, hide_env_values = true, hide_default_value = true)]
    pub database_url: Option<SecretString>,
    /// Schema of Core's tables in the database
    #[arg(long, env, global = true)]
    pub database_schema: String,
    /// Where the mirror is: redis://, rediss:// or redis-cluster://, as redis://user:password@host:6379 [default: no mirror]
    #[arg(long, env, global = true, hide_env_values = true, hide_default_value = true)]
    pub redis_url: Option<SecretString>,
    /// Folder of the journal and the embedded store
    #[arg(long, env, global = true)]
    pub data_dir: PathBuf,
    /// Name of this instance in logs and tables [default: made once, kept in the data folder]
    #[arg(long, env, global = true, value_parser = instance_id)]
    pub instance_id: Option<String>,
    /// How long flushed journal segments stay, such as 48h
    #[arg(long, env, global = true, value_parser = span)]
    pub journal_keep: Duration,
    /// Size of the journal past which reports are refused, such as 10GiB
    #[arg(long, env, global = true, value_parser = journal_size)]
    pub journal_max_bytes: ByteSize,
    /// How long usage is kept by the minute, such as 35d
    #[arg(long, env, global = true, value_parser = keep)]
    pub usage_minutes_keep: Duration,
    /// How long usage is kept by the hour; by the day it is kept for ever
    #[arg(long, env, global = true, value_parser = keep)]
    pub usage_hours_keep: Duration,
    /// How long session events are kept
    #[arg(long, env, global = true, value_parser = keep)]
    pub session_events_keep: Duration,
    /// How long the nodes' system stats are kept
    #[arg(long, env, global = true, value_parser = keep)]
    pub node_stats_keep: Duration,
    /// Whether there are limits on how often somebody may call
    #[arg(long, env, global = true)]
    pub limits: Switch,
    /// Registrations a minute and address
    #[arg(long, env, global = true)]
    pub limit_register_per_min: NonZeroU32,
    /// Keys and tokens that are none, a minute and address
    #[arg(long, env, global = true)]
    pub limit_auth_failures_per_min: NonZeroU32,
    /// So many times as often as it should a node may call
    #[arg(long, env, global = true, value_parser = factor)]
    pub limit_node_factor: f64,
    /// Networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8
    #[arg(long, env, global = true, value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
    /// A node that has not called for so long is offline, such as 30s
    #[arg(long, env, global = true, value_parser = span)]
    pub node_offline_after: Duration,
    /// Private and loopback networks that a live look at a node may reach, such as 10.0.0.0/8,127.0.0.0/8
    #[arg(long, env, global = true, value_delimiter = ',')]
    pub live_fetch_allow: Vec<IpNet>,
    /// Who tells where addresses are
    #[arg(long, env, global = true)]
    pub ip_info_provider: IpInfoProvider,
    /// The token for IPinfo
    #[arg(long, env, global = true, hide_env_values = true, hide_default_value = true)]
    pub ipinfo_token: Option<SecretString>,
    /// Where IPinfo is
    #[arg(long, env, global = true)]
    pub ipinfo_url: Url,
    /// Where ip-api.com is
    #[arg(long, env, global = true)]
    pub ip_api_url: Url,
    /// Form of the log [default: pretty on a terminal, else json]
    #[arg(long, env, global = true)]
    pub log_format: Option<LogFormat>,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Who tells where addresses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IpInfoProvider {
    /// Nobody is asked.
    Off,
    /// IPinfo.io; needs IPINFO_TOKEN.
    Ipinfo,
    /// ip-api.com.
    IpApi,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines: a JSON object a line.
    Json,
}

impl Settings {
    /// The address of the node listeners.
    pub fn node_ip(&self) -> IpAddr {
        let default = if self.has_tls() {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        };
        self.bind_ip.unwrap_or(default.into())
    }

    /// Whether the listeners speak TLS.
    pub const fn has_tls(&self) -> bool {
        self.tls_cert.is_some() && self.tls_key.is_some()
    }

    /// Whether Core can start with them, each of which can be used alone.
    ///
    /// # Errors
    /// If it can't.
    pub const fn check(&self) -> Result<(), ConfigError> {
        if matches!(self.ip_info_provider, IpInfoProvider::Ipinfo) && self.ipinfo_token.is_none() {
            return Err(ConfigError::Together(
                "IP_INFO_PROVIDER is ipinfo, which needs a token: set IPINFO_TOKEN",
            ));
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => Err(ConfigError::Together(
                "TLS_CERT is set without TLS_KEY: set both, or neither",
            )),
            (None, Some(_)) => Err(ConfigError::Together(
                "TLS_KEY is set without TLS_CERT: set both, or neither",
            )),
            _ => Ok(()),
        }
    }
}

/// A setting that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the settings file {path} can't be read: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the settings file is not TOML: {0}")]
    NotToml(String),
    /// There is no such setting.
    #[error("the settings file has an unknown setting: {0}")]
    Unknown(String),
    /// A setting has to be a plain value.
    #[error("the setting {0} in the file must be a text, a number or true/false")]
    NotPlain(String),
    /// Settings that do not go together.
    #[error("{0}")]
    Together(&'static str),
}

/// Puts the shipped defaults and those of the settings file (named in `args` or in the environment) under a command's flags, so
/// that clap sees all four levels.
///
/// # Errors
/// If the file can't be used.
pub fn with_defaults(command: Command, args: &[OsString]) -> Result<Command, ConfigError> {
    // A variable that is set to nothing, as compose files do, is not set.
    let command = command.mut_args(|arg| match arg.get_env().and_then(std::env::var_os) {
        Some(value) if value.is_empty() => arg.env(clap::builder::Resettable::Reset),
        _ => arg,
    });
    let mut defaults = table(DEFAULTS)?;
    if let Some(path) = settings_file(args) {
        defaults.extend(file(&path)?);
    }
    defaults.into_iter().try_fold(command, |command, (name, value)| {
        if !command.get_arguments().any(|arg| arg.get_id() == name.as_str()) {
            return Err(ConfigError::Unknown(name));
        }
        Ok(command.mut_arg(name, |arg| arg.default_value(value).required(false)))
    })
}

/// Flags whose values nobody repeats.
const SECRET: [&str; 4] = ["--admin-token", "--database-url", "--redis-url", "--ipinfo-token"];

/// One line for a value that can't be used; none if the error is about something else. A secret's value is not in it.
pub fn bad_value(error: &clap::Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let setting = text(ContextKind::InvalidArg)?;
    let value = text(ContextKind::InvalidValue)
        .filter(|value| !value.is_empty() && !SECRET.iter().any(|it| setting.starts_with(it)));
    let value = value.map(|value| format!("'{value}': ")).unwrap_or_default();
    let why = match (error.get(ContextKind::ValidValue), error.source()) {
        (Some(ContextValue::Strings(valid)), _) if !valid.is_empty() => format!("must be one of {}", valid.join(", ")),
        (_, Some(source)) => source.to_string(),
        _ => "a value is needed".to_owned(),
    };
    Some(format!("{setting}: {value}{why}"))
}

/// The file that `--config` or CORE_CONFIG names. It is looked for before clap runs, since it makes clap's defaults.
fn settings_file(args: &[OsString]) -> Option<PathBuf> {
    let flag = args.iter().enumerate().find_map(|(at, arg)| {
        let text = arg.to_str()?;
        if text == "--config" {
            args.get(at + 1).map(PathBuf::from)
        } else {
            text.strip_prefix("--config=").map(PathBuf::from)
        }
    });
    flag.or_else(|| {
        std::env::var_os("CORE_CONFIG")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    })
}

fn file(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    table(&text)
}

fn table(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        ConfigError::NotToml(error.to_string().lines().collect::<Vec<_>>().join(" "))
    })?;
    table
        .into_iter()
        .map(|(name, value)| {
            plain(value)
                .map(|it| (name.clone(), it))
                .ok_or(ConfigError::NotPlain(name))
        })
        .collect()
}

fn plain(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Reads a length of time such as `30s`, `48h` or `35d`. A day has 24 hours.
///
/// # Errors
/// If it is not one, or not longer than zero.
pub fn span(text: &str) -> Result<Duration, String> {
    let span = text
        .parse()
        .and_then(|span: jiff::Span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
        .map_err(|_| "must be a length of time, such as 30s, 48h or 35d".to_owned())?;
    Duration::try_from(span)
        .ok()
        .filter(|span| !span.is_zero())
        .ok_or_else(|| "must be longer than zero".to_owned())
}

/// The least and the most that is kept: no report is older than a few minutes as a rule, and nobody bills for more than ten years.
const KEEP_LEAST: Duration = Duration::from_hours(24);
const KEEP_MOST: Duration = Duration::from_hours(24 * 3_650);

fn keep(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if (KEEP_LEAST..=KEEP_MOST).contains(&span) {
        Ok(span)
    } else {
        Err("must be between 1d and 3650d".to_owned())
    }
}

/// The least journal that makes sense: two segments and room to report in.
const JOURNAL_LEAST: ByteSize = ByteSize::mib(64);

fn journal_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|_| "must be a size, such as 10GiB".to_owned())?;
    if size < JOURNAL_LEAST {
        Err("must be at least 64MiB".to_owned())
    } else {
        Ok(size)
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| (1.0..=1e6).contains(factor));
    factor.ok_or_else(|| "must be a number between 1 and 1000000".to_owned())
}

fn secret(text: &str) -> Result<SecretString, String> {
    if text.len() < 16 {
        Err("must have at least 16 characters".to_owned())
    } else {
        Ok(text.into())
    }
}

fn instance_id(text: &str) -> Result<String, String> {
    let fits =
        !text.is_empty() && text.len() <= 64 && text.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 64 of A-Z a-z 0-9 - _ .".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    fn read(args: &[&str]) -> Result<Settings, String> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let command = Settings::augment_args(Command::new("core").arg(clap::arg!(--config <FILE>)));
        let command = with_defaults(command, &args).map_err(|error| error.to_string())?;
        let matches = command
            .try_get_matches_from(std::iter::once("core".into()).chain(args))
            .map_err(|error| error.to_string())?;
        Settings::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_defaults_are_whole() {
        let settings = read(&[]).unwrap();
        assert_eq!(
            (settings.http_port, settings.grpc_port, settings.admin_port),
            (3001, 3002, 3000)
        );
        assert_eq!(settings.journal_keep, Duration::from_hours(48));
        assert_eq!(settings.journal_max_bytes, ByteSize::gib(10));
        let days = |days: u64| Duration::from_hours(24 * days);
        assert_eq!(
            (settings.usage_minutes_keep, settings.usage_hours_keep),
            (days(35), days(400))
        );
        assert_eq!(
            (settings.session_events_keep, settings.node_stats_keep),
            (days(90), days(30))
        );
        assert_eq!(settings.node_ip(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn a_file_goes_before_the_defaults_and_flags_before_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("core.toml");
        std::fs::write(&path, "http_port = 4001\njournal_keep = \"3h\"\n").unwrap();
        let path = path.to_str().unwrap();
        let settings = read(&["--config", path, "--http-port", "5001"]).unwrap();
        assert_eq!(
            (settings.http_port, settings.journal_keep),
            (5001, Duration::from_hours(3))
        );
    }

    #[test]
    fn what_can_not_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("core.toml");
        std::fs::write(&path, "htp_port = 4001").unwrap();
        let message = read(&["--config", path.to_str().unwrap()]).unwrap_err();
        assert_eq!(message, "the settings file has an unknown setting: htp_port");
        for (flag, bad) in [
            ("--http-port", "65536"),
            ("--journal-keep", "soon"),
            ("--journal-keep", "0s"),
            ("--journal-max-bytes", "1KiB"),
            ("--usage-minutes-keep", "23h"),
            ("--usage-hours-keep", "3651d"),
            ("--session-events-keep", "1 month"),
            ("--node-stats-keep", "30"),
            ("--limits", "maybe"),
            ("--limit-register-per-min", "0"),
            ("--limit-auth-failures-per-min", "5.5"),
            ("--limit-node-factor", "0.5"),
            ("--limit-node-factor", "NaN"),
            ("--trusted-proxies", "10.0.0.0/33"),
            ("--bind-ip", "localhost"),
            ("--admin-token", "short"),
        ] {
            assert!(read(&[flag, bad]).unwrap_err().contains(flag), "{flag} {bad}");
        }
    }

    #[test]
    fn tls_needs_both_files_and_opens_the_node_listeners() {
        let both = read(&["--tls-cert", "a.pem", "--tls-key", "b.pem"]).unwrap();
        assert!(both.check().is_ok() && both.has_tls());
        assert_eq!(both.node_ip(), Ipv4Addr::UNSPECIFIED);
        for (flag, other) in [("--tls-cert", "TLS_KEY"), ("--tls-key", "TLS_CERT")] {
            let one = read(&[flag, "a.pem"]).unwrap();
            assert_eq!((one.has_tls(), one.node_ip()), (false, Ipv4Addr::LOCALHOST.into()));
            let wrong = one.check().unwrap_err().to_string();
            assert!(wrong.contains(&format!("without {other}")), "{wrong}");
        }
    }

    #[test]
    fn ipinfo_needs_a_token() {
        assert!(read(&["--ip-info-provider", "ip-api"]).unwrap().check().is_ok());
        let without = read(&["--ip-info-provider", "ipinfo"]).unwrap().check().unwrap_err();
        assert!(without.to_string().contains("IPINFO_TOKEN"), "{without}");
        let with = read(&["--ip-info-provider", "ipinfo", "--ipinfo-token", "t"]).unwrap();
        assert!(with.check().is_ok());
    }

    #[test]
    fn a_length_of_time_may_be_in_days() {
        for (text, hours) in [("35d", 35 * 24), ("1 day", 24), ("1d 12h", 36), ("48h", 48)] {
            assert_eq!(span(text), Ok(Duration::from_hours(hours)), "{text}");
        }
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        for bad in ["", "d", "-1d", "0d", "1mo", "1y", "30"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
