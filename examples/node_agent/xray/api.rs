//! Xray's own gRPC API, as far as an agent needs it.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prost::{Message, Name};
use tonic::transport::{Channel, Endpoint};
use vpn_core::proto::xray::{
    app::{
        proxyman::command::{
            AddUserOperation, AlterInboundRequest, RemoveInboundRequest, RemoveUserOperation,
            handler_service_client::HandlerServiceClient,
        },
        stats::command::{
            GetAllOnlineUsersRequest, GetStatsRequest, QueryStatsRequest, Stat, SysStatsRequest,
            stats_service_client::StatsServiceClient,
        },
    },
    common::serial::TypedMessage,
};

use super::users::Change;

/// The longest that a call may take.
const CALL_WAIT: Duration = Duration::from_secs(10);

/// The largest answer: 200,000 counters of some 80 bytes, four times over.
const ANSWER_MAX: usize = 64 << 20;

/// Calls that are under way at once when there is one a user.
const CALLS_AT_ONCE: usize = 16;

/// A connection to one Xray process.
#[derive(Debug, Clone)]
pub struct Api {
    handler: HandlerServiceClient<Channel>,
    stats: StatsServiceClient<Channel>,
}

/// Somebody who is connected: an email, and his addresses with the second when each was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Online {
    /// The email.
    pub email: String,
    /// The addresses.
    pub ips: Vec<(String, i64)>,
}

impl Api {
    /// Connects when it is first used.
    pub fn at(port: u16) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))
            .map_err(|error| error.to_string())?
            .connect_timeout(CALL_WAIT)
            .timeout(CALL_WAIT)
            .tcp_nodelay(true);
        let channel = endpoint.connect_lazy();
        Ok(Self {
            handler: HandlerServiceClient::new(channel.clone()),
            stats: StatsServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX),
        })
    }

    /// Whether Xray is there. Its API is started after its inbounds, so these listen then.
    pub async fn answers(&self) -> bool {
        self.stats.clone().get_sys_stats(SysStatsRequest {}).await.is_ok()
    }

    /// All counters whose names begin like this, without touching them.
    pub async fn counters(&self, prefix: &str) -> Result<Vec<Stat>, String> {
        let query = QueryStatsRequest {
            pattern: prefix.to_owned(),
            reset: false,
        };
        let answer = self.stats.clone().query_stats(query).await;
        let mut stats = answer.map_err(|status| words(&status))?.into_inner().stat;
        stats.retain(|stat| stat.name.starts_with(prefix));
        Ok(stats)
    }

    /// Everybody who is connected. `GetUsersStats` would be one call, but older engines lack it.
    pub async fn online(&self) -> Result<Vec<Online>, String> {
        let answer = self
            .stats
            .clone()
            .get_all_online_users(GetAllOnlineUsersRequest {})
            .await;
        let names = answer.map_err(|status| words(&status))?.into_inner().users;
        let online = stream::iter(names)
            .map(|name| self.online_ips(name))
            .buffer_unordered(CALLS_AT_ONCE);
        Ok(online.filter_map(std::future::ready).collect().await)
    }

    /// None for somebody who has left since.
    async fn online_ips(&self, name: String) -> Option<Online> {
        let email = name.strip_prefix("user>>>")?.strip_suffix(">>>online")?.to_owned();
        let request = GetStatsRequest { name, reset: false };
        let answer = self.stats.clone().get_stats_online_ip_list(request).await.ok()?;
        let ips: Vec<(String, i64)> = answer.into_inner().ips.into_iter().collect();
        (!ips.is_empty()).then_some(Online { email, ips })
    }

    /// Lets users in and keeps them out, all of it or up to the first that fails. Removals come first: what is rotated is taken out
    /// and let in again.
    pub async fn alter(&self, changes: Vec<Change>) -> Result<(), String> {
        let (removed, added): (Vec<Change>, Vec<Change>) = changes
            .into_iter()
            .partition(|change| matches!(change, Change::Remove { .. }));
        for part in [removed, added] {
            stream::iter(part.into_iter().map(Ok))
                .try_for_each_concurrent(CALLS_AT_ONCE, |change| self.alter_one(change))
                .await?;
        }
        Ok(())
    }

    async fn alter_one(&self, change: Change) -> Result<(), String> {
        let (tag, operation) = match change {
            Change::Add { tag, user } => (tag, typed(&AddUserOperation { user: Some(user) })),
            Change::Remove { tag, email } => (tag, typed(&RemoveUserOperation { email })),
        };
        let request = AlterInboundRequest {
            tag,
            operation: Some(operation),
        };
        let answer = self.handler.clone().alter_inbound(request).await;
        answer.map(drop).map_err(|status| words(&status))
    }

    /// Closes a listener; what is connected stays.
    pub async fn stop_listening(&self, tag: &str) -> Result<(), String> {
        let request = RemoveInboundRequest { tag: tag.to_owned() };
        let answer = self.handler.clone().remove_inbound(request).await;
        answer.map(drop).map_err(|status| words(&status))
    }
}

/// A message under its name, as Xray wants it.
pub fn typed<T: Message + Name>(message: &T) -> TypedMessage {
    TypedMessage {
        r#type: T::full_name(),
        value: message.encode_to_vec(),
    }
}

fn words(status: &tonic::Status) -> String {
    format!("Xray's API: {:?}: {}", status.code(), status.message())
}
