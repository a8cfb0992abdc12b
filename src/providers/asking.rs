//! One call: bounded in time and size, whatever the other end does.

use std::{net::IpAddr, time::Duration};

use reqwest::{
    Client, RequestBuilder, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use url::Url;

use super::ProviderError;
use crate::model::json::{Room, bounded};

/// How long a call may take, from the connection to the last byte of the answer.
const TIME: Duration = Duration::from_secs(10);

/// The most bytes of an answer: 1,000 addresses with all that is known of them are 1 MB.
const BYTES: usize = 4 << 20;

/// And what it may hold: fifty values of each address, some of them within others.
const ROOM: Room = Room {
    values: 100_000,
    containers: 20_000,
};

/// The longest that a service can make us wait: what it says beyond that is a mistake.
const WAIT_MOST: Duration = Duration::from_hours(1);

/// An answer that may be read.
pub(super) struct Said {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// A client that follows nobody elsewhere: a token goes only where the settings say.
pub(super) fn client() -> Result<Client, String> {
    Client::builder()
        .timeout(TIME)
        .redirect(Policy::none())
        .user_agent(concat!("vpn-core/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(told)
}

/// `{base}/batch`
pub(super) fn batch_url(base: &Url) -> Result<Url, String> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| "it has no path".to_owned())?
        .pop_if_empty()
        .push("batch");
    Ok(url)
}

/// The addresses as both services take them.
pub(super) fn texts(ips: &[IpAddr]) -> Vec<String> {
    ips.iter().map(IpAddr::to_string).collect()
}

/// Sends it, and reads an answer that is 200. `unsaid`: how long to wait where it has had enough calls and does not say for how long.
pub(super) async fn ask(request: RequestBuilder, unsaid: Duration) -> Result<Said, ProviderError> {
    let asking = async {
        let mut response = request.send().await.map_err(|error| ProviderError::Away(told(error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        judge(status, &headers, unsaid)?;
        let mut body = Vec::new();
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| ProviderError::Away(told(error)))?
        {
            if body.len() + piece.len() > BYTES {
                return Err(ProviderError::Garbage("it is longer than 4 MiB".to_owned()));
            }
            body.extend_from_slice(&piece);
        }
        bounded(&body, ROOM).map_err(|error| ProviderError::Garbage(error.to_string()))?;
        Ok(Said { headers, body })
    };
    tokio::time::timeout(TIME, asking)
        .await
        .unwrap_or_else(|_| Err(ProviderError::Away("no answer within 10 s".to_owned())))
}

fn judge(status: StatusCode, headers: &HeaderMap, unsaid: Duration) -> Result<(), ProviderError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => {
            let wait = seconds(headers, "x-ttl").or_else(|| seconds(headers, RETRY_AFTER.as_str()));
            let wait = wait.unwrap_or(unsaid);
            Err(ProviderError::Limited { wait })
        }
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => Err(ProviderError::TooLarge),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
            Err(ProviderError::Refused(status.as_u16()))
        }
        _ if status.is_server_error() => Err(ProviderError::Away(format!("it answers {}", status.as_u16()))),
        _ => Err(ProviderError::Garbage(format!("it answers {}", status.as_u16()))),
    }
}

/// A header that says seconds, within reason.
pub(super) fn seconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    let seconds = number(headers, name)?;
    Some(Duration::from_secs(seconds).min(WAIT_MOST))
}

/// A header that says a number.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// What went wrong, with its causes, and without the address that was asked: it may hold a password.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_wait_is_what_is_said_or_a_minute() {
        let minute = Duration::from_mins(1);
        for (said, wait) in [
            (headers(&[("x-ttl", "17"), ("retry-after", "99")]), 17),
            (headers(&[("retry-after", " 99 ")]), 99),
            (headers(&[("retry-after", "Tue, 24 Nov 2026 12:00:00 GMT")]), 60),
            (headers(&[("x-ttl", "-1")]), 60),
            (headers(&[("x-ttl", "18446744073709551615")]), 3_600),
            (headers(&[]), 60),
        ] {
            let judged = judge(StatusCode::TOO_MANY_REQUESTS, &said, minute);
            let wait = Duration::from_secs(wait);
            assert_eq!(judged, Err(ProviderError::Limited { wait }), "{said:?}");
        }
    }

    #[test]
    fn only_200_is_an_answer() {
        let kind = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            judge(status, &HeaderMap::new(), TIME).err().map(|error| error.kind())
        };
        assert_eq!(kind(200), None);
        for (status, named) in [
            (204, "garbage"),
            (302, "garbage"),
            (404, "garbage"),
            (401, "refused"),
            (403, "refused"),
            (422, "too_large"),
            (500, "away"),
            (503, "away"),
        ] {
            assert_eq!(kind(status), Some(named), "{status}");
        }
    }

    #[test]
    fn the_batch_is_below_the_base() {
        for (base, url) in [
            ("http://ip-api.com", "http://ip-api.com/batch"),
            ("https://ipinfo.io/", "https://ipinfo.io/batch"),
            ("http://127.0.0.1:9/proxy/x", "http://127.0.0.1:9/proxy/x/batch"),
        ] {
            assert_eq!(batch_url(&base.parse().unwrap()).unwrap().as_str(), url);
        }
        assert!(batch_url(&"mailto:a@b".parse().unwrap()).is_err());
    }
}
