//! Core, as an agent reaches it: registration over HTTP, once, and gRPC from then on.

use std::{path::Path, sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use tonic::{
    Request,
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use vpn_core::proto::nodeservice::node_service_client::NodeServiceClient;

use super::{AgentSettings, Ledger, engine::write_secret};

/// The longest that a call may take; then it is made again.
const CALL_WAIT: Duration = Duration::from_secs(10);

/// The pause before something is sent again, doubled each time, and its top.
pub const RETRY_AFTER: Duration = Duration::from_millis(200);
/// See [`RETRY_AFTER`].
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What Core gave at registration. It must survive a restart of the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    auth_key: String,
    node_id: i64,
}

/// A connection to Core that shows the node's key.
#[derive(Debug)]
pub struct CoreLink {
    core_url: String,
    identity: Identity,
    client: NodeServiceClient<Channel>,
    ledger: Arc<Ledger>,
}

impl CoreLink {
    /// Registers if that was not done before, and connects. The connection is made anew when it breaks.
    pub async fn open(settings: &AgentSettings, ledger: Arc<Ledger>) -> anyhow::Result<Self> {
        Ok(Self {
            core_url: settings.core_url.clone(),
            identity: identity(settings).await?,
            client: NodeServiceClient::new(channel(settings)?).max_decoding_message_size(65 << 20),
            ledger,
        })
    }

    /// The node's key.
    pub fn auth_key(&self) -> &str {
        &self.identity.auth_key
    }

    /// Errors go over HTTP: the gRPC service has no call for them.
    pub async fn report_error(&self, code: &str, why: &str) -> anyhow::Result<()> {
        let body = serde_json::json!({"message": why, "code": code});
        let post = reqwest::Client::new()
            .post(format!("{}/node/error", self.core_url))
            .header("x-node-auth-key", &self.identity.auth_key);
        post.json(&body).timeout(CALL_WAIT).send().await?.error_for_status()?;
        Ok(())
    }

    /// Makes a call.
    pub async fn call<T, R, F, Fut>(&self, message: T, call: F) -> Result<R, tonic::Status>
    where
        F: FnOnce(NodeServiceClient<Channel>, Request<T>) -> Fut,
        Fut: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        self.send(message, None, call).await
    }

    /// Makes a call under a name of its own: it counts once, however often it is made.
    pub async fn call_once<T, R, F, Fut>(&self, message: T, key: &str, call: F) -> Result<R, tonic::Status>
    where
        F: FnOnce(NodeServiceClient<Channel>, Request<T>) -> Fut,
        Fut: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        self.send(message, Some(key), call).await
    }

    async fn send<T, R, F, Fut>(&self, message: T, key: Option<&str>, call: F) -> Result<R, tonic::Status>
    where
        F: FnOnce(NodeServiceClient<Channel>, Request<T>) -> Fut,
        Fut: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let mut request = Request::new(message);
        let texts = [
            ("x-node-auth-key", Some(self.identity.auth_key.as_str())),
            ("x-idempotency-key", key),
        ];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| text.parse().ok()) {
                request.metadata_mut().insert(name, value);
            }
        }
        let answer = timeout(CALL_WAIT, call(self.client.clone(), request))
            .await
            .map_err(|_| tonic::Status::deadline_exceeded("no answer"))?;
        self.ledger.calls.fetch_add(1, Relaxed);
        answer.map(tonic::Response::into_inner)
    }
}

/// The kept identity, or a new one. A lost answer does no harm: the same code with the same name gives it again.
async fn identity(settings: &AgentSettings) -> anyhow::Result<Identity> {
    if let Ok(kept) = std::fs::read(&settings.key_file) {
        return serde_json::from_slice(&kept).context("the key file can't be read");
    }
    let body = serde_json::json!({
        "code": settings.code, "name": settings.name, "ip": settings.ip, "port": settings.port, "region": settings.region,
    });
    let http = reqwest::Client::new();
    let mut pause = RETRY_AFTER;
    loop {
        match http
            .post(format!("{}/node/register", settings.core_url))
            .json(&body)
            .timeout(CALL_WAIT)
            .send()
            .await
        {
            Ok(answer) if answer.status().is_success() => {
                let identity: Identity = answer.json().await.context("the answer to register")?;
                keep(&identity, &settings.key_file)?;
                return Ok(identity);
            }
            Ok(answer) if answer.status().is_client_error() && answer.status() != 429 => {
                bail!("registration was refused: {}", answer.text().await.unwrap_or_default());
            }
            Ok(answer) => tracing::warn!(status = %answer.status(), "registration has to wait"),
            Err(error) => tracing::warn!(%error, "Core can't be reached for registration"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_AFTER_MAX);
    }
}

fn keep(identity: &Identity, path: &Path) -> anyhow::Result<()> {
    write_secret(path, &serde_json::to_string(identity)?).map_err(anyhow::Error::msg)
}

fn channel(settings: &AgentSettings) -> anyhow::Result<Channel> {
    let mut endpoint = Endpoint::from_shared(settings.grpc_url.clone())?
        .connect_timeout(CALL_WAIT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30));
    if !settings.insecure {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    Ok(endpoint.connect_lazy())
}
