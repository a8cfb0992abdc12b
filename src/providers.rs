//! Who tells where addresses are: clients of two services, and nothing else. When they are asked is not theirs to decide.

mod asking;
pub mod ip_api;
pub mod ipinfo;

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::model::Time;

/// A service that can be asked.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its name, as `info` says it.
    fn name(&self) -> &'static str;
    /// How many addresses one call takes.
    fn batch_size(&self) -> usize;
    /// How often it may be called.
    fn pace(&self) -> Pace;
    /// Asks for these addresses, in one call: no more than [`Provider::batch_size`], none of them twice, and none that is not public.
    async fn look_up(&self, ips: &[IpAddr], at: Time) -> Result<Answer, ProviderError>;
}

/// So many calls within any such span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So many calls.
    pub calls: usize,
    /// In so long.
    pub span: Duration,
}

/// What a service said.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Of each address that was asked for, in order: an [`Info`] as JSON.
    pub infos: Vec<(IpAddr, Value)>,
    /// How many calls are left, and in how long there are more, if it says so.
    pub left: Option<(u64, Duration)>,
}

/// What is known of an address: the same for all services, unknown is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// Who said it.
    pub provider: &'static str,
    /// When.
    pub fetched_at: Time,
    /// ISO 3166-1, two letters.
    pub country: Option<String>,
    /// The name of the region.
    pub region: Option<String>,
    /// The name of the city.
    pub city: Option<String>,
    /// The autonomous system, such as `AS15169`.
    pub asn: Option<String>,
    /// Whose it is.
    pub org: Option<String>,
    /// Who brings it.
    pub isp: Option<String>,
    /// A proxy, a VPN, a Tor exit.
    pub proxy: Option<bool>,
    /// In a data centre.
    pub hosting: Option<bool>,
    /// What the service said, as it said it; null if it said nothing.
    pub raw: Value,
}

impl Info {
    /// Of an address that a service knows nothing of: kept all the same, so that it is not asked for again and again.
    pub fn nothing(provider: &'static str, fetched_at: Time, raw: Value) -> Self {
        Self {
            provider,
            fetched_at,
            country: None,
            region: None,
            city: None,
            asn: None,
            org: None,
            isp: None,
            proxy: None,
            hosting: None,
            raw,
        }
    }

    /// As it is kept.
    pub fn into_json(self) -> Value {
        // Texts, truths and JSON: nothing of it can fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Why a service was asked in vain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It wants no more calls for so long.
    #[error("it takes no more calls for {} s", wait.as_secs())]
    Limited {
        /// How long.
        wait: Duration,
    },
    /// It takes fewer addresses at once.
    #[error("the batch is too large for it")]
    TooLarge,
    /// It does not serve us: mostly the token.
    #[error("it refuses with {0}")]
    Refused(u16),
    /// It can't be reached, or does not answer in time.
    #[error("it is away: {0}")]
    Away(String),
    /// What it says is no answer.
    #[error("its answer can't be used: {0}")]
    Garbage(String),
}

impl ProviderError {
    /// Its kind, as metrics name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Limited { .. } => "limited",
            Self::TooLarge => "too_large",
            Self::Refused(_) => "refused",
            Self::Away(_) => "away",
            Self::Garbage(_) => "garbage",
        }
    }
}

/// A text of an answer; none if it is empty or none.
fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// `AS15169 Google LLC` in its two parts.
fn system(value: &Value) -> (Option<String>, Option<String>) {
    let Some(text) = text(value) else {
        return (None, None);
    };
    let (number, name) = text.split_once(' ').unwrap_or((&text, ""));
    let is_number = number
        .strip_prefix("AS")
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()));
    if !is_number {
        return (None, Some(text));
    }
    let name = name.trim();
    (Some(number.to_owned()), (!name.is_empty()).then(|| name.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_system_has_a_number_and_a_name() {
        let parts = |text: &str| {
            let (number, name) = system(&json!(text));
            (number.unwrap_or_default(), name.unwrap_or_default())
        };
        let pair = |number: &str, name: &str| (number.to_owned(), name.to_owned());
        assert_eq!(parts("AS15169 Google LLC"), pair("AS15169", "Google LLC"));
        assert_eq!(parts("AS15169"), pair("AS15169", ""));
        assert_eq!(parts("ASUS Ltd"), pair("", "ASUS Ltd"));
        assert_eq!(parts(" "), pair("", ""));
        assert_eq!(system(&json!(15_169)), (None, None));
    }

    #[test]
    fn nothing_is_nulls() {
        let info = Info::nothing("ip-api", Time::from_millis(0), Value::Null).into_json();
        assert_eq!(
            info,
            json!({
                "provider": "ip-api", "fetchedAt": "1970-01-01T00:00:00Z", "country": null, "region": null, "city": null, "asn": null,
                "org": null, "isp": null, "proxy": null, "hosting": null, "raw": null,
            })
        );
    }
}
