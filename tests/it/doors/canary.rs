//! Secrets go through every door of Core, and are found nowhere behind it: not in the log, an error, the metrics, the journal, a file, the store or Redis.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vpn_core::proto::nodeservice::{
    HeartbeatRequest, OnlineIp, OnlineUser, ReportOnlineUsersRequest, ReportUsageRequest,
};

use crate::{
    faults::fleet::Place,
    harness::{
        core::{ADMIN_TOKEN, Core, SAMPLE, command, run_with},
        eventually,
        http::{Answer, node_post, send},
        postgres::{Database, connect},
        redis::{Server, ask},
        rpc::{Agent, entry},
    },
};

/// What nobody may find, and everything that Core has said.
struct Canary {
    secrets: Vec<(&'static str, String)>,
    said: Vec<(String, String)>,
}

impl Canary {
    fn keep(&mut self, what: &'static str, secret: &str) -> String {
        self.secrets.push((what, secret.to_owned()));
        secret.to_owned()
    }

    fn hear(&mut self, from: &str, text: impl std::fmt::Display) {
        self.said.push((from.to_owned(), format!("{text}")));
    }

    /// An answer that has no secret of its own.
    fn answer(&mut self, from: &str, answer: &Answer) {
        self.hear(from, format!("{:?} {}", answer.headers, answer.body));
    }

    fn check(&self) {
        for (what, secret) in &self.secrets {
            for (from, text) in &self.said {
                assert!(!text.contains(secret.as_str()), "{from} has the {what}:\n{text}");
            }
        }
    }
}

/// All files below a folder, whatever is in them.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    found
}

/// Every row of every table, as text.
async fn rows(url: &str) -> Vec<(String, String)> {
    let client = connect(url).await;
    let tables =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'core' AND table_type = 'BASE TABLE'";
    let mut found = Vec::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let sql = format!("SELECT coalesce(string_agg(it::text, E'\\n'), '') FROM core.\"{table}\" it");
        found.push((table, client.query_one(&sql, &[]).await.unwrap().get::<_, String>(0)));
    }
    assert!(found.iter().any(|(table, text)| table == "nodes" && !text.is_empty()));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_found_behind_any_door() {
    let mut canary = Canary {
        secrets: Vec::new(),
        said: Vec::new(),
    };
    let database = Database::fresh().await;
    let words = ["canary-of-the-store", "canary-of-redis", "canary-of-ipinfo-token"];
    let [store, redis, ipinfo] = words.map(|word| canary.keep(word, word));
    canary.keep("admin token of the settings", ADMIN_TOKEN);
    let mirror = Server::start_with(&["--requirepass", &redis]).await;
    let dir = tempfile::tempdir().unwrap();
    let database_url = database.url().replacen("@127", &format!(":{store}@127"), 1);
    let redis_url = format!("redis://:{redis}@127.0.0.1:{}", mirror.port());
    let settings = [
        ("DATABASE_URL", database_url.as_str()),
        ("REDIS_URL", &redis_url),
        ("IP_INFO_PROVIDER", "ipinfo"),
        ("IPINFO_TOKEN", &ipinfo),
        // Nobody listens there: what is said of it is in the log.
        ("IPINFO_URL", "http://127.0.0.1:9"),
        ("RUST_LOG", "debug"),
    ];
    run_with(dir.path(), &["catalog", "import", SAMPLE], &settings);
    let core = Core::start_with(dir.path(), &settings).await;
    let place = Place::from(core.ports);
    let (key, token) = come_in(&mut canary, place, &core).await;
    call(&mut canary, place, &key).await;
    show_wrongly(&mut canary, place, &core, &key, &token).await;
    eventually("a key in Redis", || async {
        let names = ask(mirror.port(), &["-a", &redis, "--no-auth-warning", "KEYS", "online:*"]).await;
        names.ok().filter(|names| !names.is_empty())
    })
    .await;

    canary.hear("the metrics", metrics(&core).await);
    let doctor = command(dir.path()).arg("doctor").envs(settings).output().unwrap();
    canary.hear("doctor", format!("{doctor:?}"));
    for command in [&["KEYS", "*"][..], &["XRANGE", "core:events", "-", "+"]] {
        let all = [&["-a", &redis, "--no-auth-warning"], command].concat();
        canary.hear("Redis", ask(mirror.port(), &all).await.unwrap());
    }
    core.stop().await;
    for (file, text) in files(dir.path()) {
        canary.hear(&file, text);
    }
    for (table, text) in rows(&database.url()).await {
        canary.hear(&table, text);
    }
    canary.check();
}

/// A node and an admin come in; their secrets are told once, and only then.
async fn come_in(canary: &mut Canary, place: Place, core: &Core) -> (String, String) {
    let code = place.code(&json!({"nodeId": 1, "name": "for de-1"})).await;
    canary.keep("registration code", &code);
    let body = json!({"code": code, "name": "n", "ip": "127.0.0.1", "port": 8000, "region": "test"});
    let registered = node_post(place.http, "/node/register", None, &body).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{}", registered.body);
    let key = canary.keep("auth key", registered.body["authKey"].as_str().unwrap());
    let spare = send(core.admin().request(Method::POST, "/admin/nodes/1/keys")).await;
    assert_eq!(spare.status, StatusCode::CREATED, "{}", spare.body);
    canary.keep("spare auth key", spare.body["authKey"].as_str().unwrap());
    let order = core.admin().request(Method::POST, "/admin/tokens");
    let made = send(order.json(&json!({"name": "panel", "role": "admin"}))).await;
    let token = canary.keep("admin token", made.body["token"].as_str().unwrap());
    // The code is used up.
    let again = node_post(
        place.http,
        "/node/register",
        None,
        &json!({"name": "other", "code": code, "ip": "127.0.0.1",
        "port": 1, "region": ""}),
    )
    .await;
    canary.answer("a used code", &again);
    for list in ["registration-codes", "tokens", "nodes/1/keys", "audit", "nodes"] {
        canary.hear(list, core.admin().get(&format!("/admin/{list}")).await);
    }
    (key, token)
}

/// The node does all that nodes do, over both transports.
async fn call(canary: &mut Canary, place: Place, key: &str) {
    let now = vpn_core::clock::Clock::system().now().to_string();
    let usage = json!({"entries": [{"userId": 1, "subscriptionId": 1, "nodeProtocolId": 11, "bytesUp": 1, "bytesDown": 2, "recordedAt": now}]});
    for (route, body) in [
        ("/node/heartbeat", json!({"revision": 0})),
        ("/node/usage", usage),
        (
            "/node/error",
            json!({"message": "it failed", "details": {"why": "no room"}}),
        ),
        ("/node/config/applied", json!({"revision": 1})),
    ] {
        let answer = node_post(place.http, route, Some(key), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{route}: {}", answer.body);
        canary.answer(route, &answer);
    }
    let mut agent = Agent::connect(place.grpc, key);
    // In the field of the request, as old agents show it.
    let request = ReportUsageRequest {
        auth_key: key.to_owned(),
        entries: vec![entry(1, 11, 5, 6)],
    };
    agent.client.report_usage(request).await.unwrap();
    let users = OnlineUser {
        user_id: 1,
        node_protocol_id: 11,
        ips: vec![OnlineIp {
            ip: "198.51.100.7".to_owned(),
            last_seen: vpn_core::clock::Clock::system().now().to_string(),
        }],
    };
    let online = ReportOnlineUsersRequest {
        auth_key: String::new(),
        users: vec![users],
    };
    agent.client.report_online_users(agent.request(online)).await.unwrap();
}

/// Secrets in places where they do not belong: what is said of the mistake does not repeat them.
async fn show_wrongly(canary: &mut Canary, place: Place, core: &Core, key: &str, token: &str) {
    for body in [
        json!({"revision": key}),
        json!({"revision": 1, "ip": key}),
        Value::from(token),
    ] {
        let answer = node_post(place.http, "/node/heartbeat", Some(key), &body).await;
        canary.answer("a secret in a body", &answer);
    }
    for wrong in [token, &format!("{key}x"), &key.to_uppercase()] {
        let answer = node_post(place.http, "/node/heartbeat", Some(wrong), &json!({})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        canary.answer("a wrong key", &answer);
        let mut agent = Agent::connect(place.grpc, wrong);
        let status = agent
            .client
            .heartbeat(agent.request(HeartbeatRequest::default()))
            .await
            .unwrap_err();
        canary.hear("a wrong key over gRPC", format!("{status:?}"));
        let admin = crate::harness::http::Admin::new(place.admin, &format!("{key}{wrong}"));
        canary.answer("a wrong token", &send(admin.request(Method::GET, "/admin/nodes")).await);
    }
    let answer = send(core.admin().request(Method::GET, "/admin/users?limit=many")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    canary.answer("a bad query", &answer);
}

async fn metrics(core: &Core) -> String {
    let request = core.admin().request(Method::GET, "/metrics");
    request.send().await.unwrap().text().await.unwrap()
}
