//! Redis: whether it answers, and whether it is young enough.

use std::time::Duration;

use crate::{
    clock::Clock,
    config::Settings,
    model::finding::Finding,
    redis::{Redis, RedisError},
};

/// How long it may take until it answers first.
const PATIENCE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(50);

/// The oldest that can set a value and give the one before in one command.
const OLDEST: (u32, u32) = (6, 2);

/// Looks at it, if there is to be a mirror.
pub(super) async fn look(settings: &Settings, clock: &Clock) -> Option<Finding> {
    let url = settings.redis_url.as_ref()?;
    let redis = match Redis::new(url, clock.clone()) {
        Ok(redis) => redis,
        Err(error) => {
            return Some(Finding::bad(format!("REDIS_URL {error}"), "Mend REDIS_URL."));
        }
    };
    Some(match version(&redis).await {
        Ok(version) if is_old(&version) => Finding::bad(
            format!("Redis answers, but its version {version} is too old"),
            "Run Redis 6.2 or newer.",
        ),
        Ok(version) => Finding::ok(format!("Redis answers: version {version}")),
        Err(error) => Finding::bad(
            error.to_string(),
            "Start Redis, or mend REDIS_URL; until then Core works without it, and panels do not see who is online.",
        ),
    })
}

/// Connecting takes its time, and says nothing until it is done or failed.
async fn version(redis: &Redis) -> Result<String, RedisError> {
    let mut last = RedisError::Away("no answer".to_owned());
    let asking = async {
        loop {
            match redis.version().await {
                Ok(version) => return version,
                Err(error) => last = error,
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.map_err(|_| last)
}

fn is_old(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    let major_minor = (numbers.next(), numbers.next());
    matches!(major_minor, (Some(major), Some(minor)) if (major, minor) < OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for old in ["6.0.16", "5.10.1", "6.1"] {
            assert!(is_old(old), "{old}");
        }
        for young in ["6.2.0", "7.0.15", "10.0.0", "unknown", ""] {
            assert!(!is_old(young), "{young}");
        }
    }
}
