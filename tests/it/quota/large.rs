//! A config as large as they come.

use serde_json::Value;
use tonic::{Code, codec::CompressionEncoding};
use vpn_core::proto::nodeservice::GetLatestConfigRequest;

use super::{
    nodes::read,
    scene::{Plan, Scene},
};

const CLIENTS: i64 = 40_000;
const RECEIVE_MAX: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_of_many_clients_goes_through() {
    let mut scene = Scene::new(Plan {
        large: true,
        ..Plan::new(1, CLIENTS)
    })
    .await;
    let agent = scene.node(1).agent();
    let ask = |encoding: Option<CompressionEncoding>| {
        let mut client = agent.client.clone().max_decoding_message_size(RECEIVE_MAX);
        if let Some(encoding) = encoding {
            client = client.accept_compressed(encoding);
        }
        let request = agent.request(GetLatestConfigRequest::default());
        async move { client.get_latest_config(request).await.unwrap().into_inner() }
    };
    let plain = ask(None).await;
    let config = read(&plain);
    assert_eq!(config.users.len(), usize::try_from(CLIENTS).unwrap());
    let services: Value = serde_json::from_str(&plain.services_json).unwrap();
    let last = services.pointer("/xray/inbounds/0/settings/clients/39999/email");
    assert_eq!(last.and_then(Value::as_str), Some("u40000.l40000.s40000.i11"));
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        assert!(ask(Some(encoding)).await == plain, "{encoding:?}");
    }

    // What an agent with the usual limit of 4 MiB is told is no reason to come back at once.
    let mut client = agent.client.clone();
    let request = agent.request(GetLatestConfigRequest::default());
    let refused = client.get_latest_config(request).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{refused:?}"
    );
    scene.stop().await;
}
