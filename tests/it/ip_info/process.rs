//! The whole Core, and providers beside it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{
    scene::TOKEN,
    stand_in::{Reply, StandIn},
};
use crate::{
    contract::{
        doctor::{findings, says},
        world::World,
    },
    harness::{
        core::{command, sample_dir},
        eventually,
        http::send,
    },
};

const ROWS: &str = "INSERT INTO user_ips (user_id, ip, ip_key, first_seen_at, last_seen_at) VALUES
    (1, '9.9.9.9', x'0409090909', 1790000000000, 1790000060000),
    (1, '10.9.9.9', x'040a090909', 1790000000000, 1790000060000),
    (2, '9.9.9.9', x'0409090909', 1790000000000, 1790000060000);";

/// Core with this provider, and rows in its store before it starts, so that its first run finds them.
async fn started_over(provider: &StandIn, settings: &[(&str, &str)]) -> World {
    let dir = sample_dir();
    let file = rusqlite::Connection::open(dir.path().join("core.db")).unwrap();
    file.execute_batch(ROWS).unwrap();
    drop(file);
    let url = provider.url.as_str();
    let all: Vec<_> = [("IP_API_URL", url), ("IPINFO_URL", url)]
        .into_iter()
        .chain(settings.iter().copied())
        .collect();
    World::on(dir, &all).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_found_out_is_shown_to_admins() {
    let provider = StandIn::new(|asked, _| Reply::ip_api(asked, &["x-rl: 14", "x-ttl: 60"])).await;
    let world = started_over(&provider, &[("IP_INFO_PROVIDER", "ip-api")]).await;
    for user in [1, 2] {
        let path = format!("/admin/users/{user}/ips");
        let info = eventually("the info", async || {
            let page = world.admin().get(&path).await;
            let info = page["items"][0]["info"].clone();
            info.is_object().then_some(info)
        })
        .await;
        assert_eq!((&info["country"], &info["asn"]), (&json!("NL"), &json!("AS64500")));
    }
    let page = world.admin().get("/admin/users/1/ips").await;
    assert_eq!(
        (&page["items"][1]["ip"], &page["items"][1]["info"]),
        (&json!("10.9.9.9"), &json!(null))
    );
    assert_eq!(provider.ips(), ["9.9.9.9"]);
    let url = format!("http://127.0.0.1:{}/metrics", world.core.ports.admin);
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("core_ip_info_addresses_total 1"), "{metrics}");
    assert!(metrics.contains("core_ip_info_calls_total 1"), "{metrics}");
    world.end();
}

/// A provider that never answers, refuses or talks nonsense is nothing to nodes, and the token is nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_do_not_feel_a_provider_and_nobody_reads_its_token() {
    let replies: [fn() -> Reply; 3] = [
        || Reply::Nothing,
        || Reply::status(401, &[]),
        || Reply::Say(200, Vec::new(), format!("<html>{TOKEN}")),
    ];
    for reply in replies {
        let provider = StandIn::new(move |_, _| reply()).await;
        let settings = [
            ("IP_INFO_PROVIDER", "ipinfo"),
            ("IPINFO_TOKEN", TOKEN),
            ("RUST_LOG", "debug"),
        ];
        let mut world = started_over(&provider, &settings).await;
        world.keep_secret(TOKEN);
        let node = world.caller(1).await;
        eventually("the call", async || (provider.calls() > 0).then_some(())).await;
        for _ in 0..20 {
            let beat = node.post("/node/heartbeat", &json!({"revision": 1})).await;
            assert_eq!(beat.status, StatusCode::OK, "{}", beat.body);
        }
        let nodes = send(world.admin().request(Method::GET, "/admin/nodes/1")).await;
        assert_eq!(nodes.status, StatusCode::OK);
        // The log is looked through for what was kept secret.
        world.end();
        assert!(
            provider
                .asked()
                .iter()
                .all(|it| !it.head.lines().next().unwrap().contains(TOKEN))
        );
    }
}

#[test]
fn ipinfo_without_a_token_stops_the_start() {
    let dir = sample_dir();
    let output = command(dir.path())
        .env("IP_INFO_PROVIDER", "ipinfo")
        .arg("serve")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains("IPINFO_TOKEN"), "{said}");
}

#[test]
fn doctor_says_who_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    for (settings, is_good, beginning) in [
        (&[][..], true, "ok users' addresses are not looked up"),
        (
            &[("IP_INFO_PROVIDER", "ip-api")],
            true,
            "ok users' addresses are looked up at ip-api.com",
        ),
        (
            &[("IP_INFO_PROVIDER", "ipinfo")],
            false,
            "bad IP_INFO_PROVIDER is ipinfo",
        ),
        (
            &[("IP_INFO_PROVIDER", "ipinfo"), ("IPINFO_TOKEN", TOKEN)],
            true,
            "ok users' addresses are looked up at ipinfo.io (ipinfo), with a token",
        ),
        (
            &[
                ("IP_INFO_PROVIDER", "ipinfo"),
                ("IPINFO_TOKEN", TOKEN),
                ("IPINFO_URL", "http://name:word@192.0.2.1"),
            ],
            true,
            "warn users' addresses are looked up at 192.0.2.1 (ipinfo), and the token goes there in clear text",
        ),
    ] {
        let (good, said) = findings(dir.path(), settings);
        assert_eq!(good, is_good, "{said:#?}");
        assert!(says(&said, beginning), "{said:#?}");
        assert!(
            !said.iter().any(|it| it.contains(TOKEN) || it.contains("word")),
            "{said:#?}"
        );
    }
}
