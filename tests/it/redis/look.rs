//! What is in Redis, past everything that a test does to Core's way to it.

use std::{collections::HashMap, time::Duration};

use fred::{
    clients::Client,
    interfaces::{ClientLike as _, KeysInterface as _, StreamsInterface as _},
    types::config::{Config, PerformanceConfig, ReconnectPolicy},
};

/// A value with an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The value.
    pub value: String,
    /// So many milliseconds it stays.
    pub ttl: i64,
}

impl Held {
    /// The value as a number.
    pub fn number(&self) -> i64 {
        self.value.parse().unwrap()
    }
}

/// An entry of the stream: its fields.
pub type Entry = HashMap<String, String>;

/// See the module.
pub struct Look(Client);

impl Look {
    /// Into the Redis at this URL, which may go and come back.
    pub async fn new(url: &str) -> Self {
        let mut config = Config::from_url(url).unwrap();
        config.fail_fast = false;
        let performance = PerformanceConfig {
            default_command_timeout: Duration::from_secs(3),
            ..PerformanceConfig::default()
        };
        let policy = ReconnectPolicy::new_constant(0, 100);
        let client = Client::new(config, Some(performance), None, Some(policy));
        client.init().await.unwrap();
        Self(client)
    }

    /// What is under these names; an error if Redis can't be asked.
    pub async fn held(&self, names: &[String]) -> Result<Vec<Option<Held>>, fred::error::Error> {
        let pipeline = self.0.pipeline();
        for name in names {
            pipeline.get::<(), _>(name).await?;
            pipeline.pttl::<(), _>(name).await?;
        }
        let answers: Vec<fred::types::Value> = pipeline.all().await?;
        let held = |pair: &[fred::types::Value]| {
            Some(Held {
                value: pair[0].as_string()?,
                ttl: pair[1].as_i64()?,
            })
        };
        Ok(answers.chunks(2).map(held).collect())
    }

    /// What is under this name.
    pub async fn one(&self, name: &str) -> Option<Held> {
        self.held(&[name.to_owned()]).await.unwrap().remove(0)
    }

    /// The whole stream.
    pub async fn stream(&self) -> Result<Vec<Entry>, fred::error::Error> {
        let entries: Vec<(String, Entry)> = self.0.xrange_values("core:events", "-", "+", None).await?;
        Ok(entries.into_iter().map(|(_, fields)| fields).collect())
    }
}
