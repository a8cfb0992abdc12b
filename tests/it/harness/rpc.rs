//! Callers of the RPCs.

use tonic::{Request, transport::Channel};
use vpn_core::proto::nodeservice::{UsageEntry, node_service_client::NodeServiceClient};

/// An agent: a connection, and the key that it shows.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The client.
    pub client: NodeServiceClient<Channel>,
    /// The key.
    pub key: String,
}

impl Agent {
    /// Connects; the connection is made anew when it breaks.
    pub fn connect(port: u16, key: &str) -> Self {
        let endpoint = format!("http://127.0.0.1:{port}")
            .parse::<tonic::transport::Endpoint>()
            .expect("it is a URL");
        Self {
            client: NodeServiceClient::new(endpoint.connect_lazy()),
            key: key.to_owned(),
        }
    }

    /// A request that shows the key.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("x-node-auth-key", self.key.parse().expect("a key is ASCII"));
        request
    }

    /// A request that shows the key and has a name of its own.
    pub fn named<T>(&self, name: &str, message: T) -> Request<T> {
        let mut request = self.request(message);
        request
            .metadata_mut()
            .insert("x-idempotency-key", name.parse().expect("a name is ASCII"));
        request
    }
}

/// An entry of a usage report, recorded now.
pub fn entry(user: i64, protocol: i64, up: i64, down: i64) -> UsageEntry {
    UsageEntry {
        user_id: user,
        subscription_id: Some(user),
        node_protocol_id: protocol,
        bytes_up: up,
        bytes_down: down,
        recorded_at: vpn_core::clock::Clock::system().now().to_string().into(),
    }
}
