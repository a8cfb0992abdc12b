//! TLS on all listeners, and new certificates while connections go on.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use vpn_core::{
    clock::{Clock, Stopwatch},
    model::Time,
    proto::nodeservice::{HeartbeatRequest, node_service_client::NodeServiceClient},
};

use super::peer::{closed, plain, shaken};
use crate::{
    contract::doctor::{findings, says},
    harness::{
        authority::Authority,
        core::{ADMIN_TOKEN, Core, command, sample_dir},
        eventually,
        http::send,
        rpc::Agent,
    },
};

const H2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// What a client offers that speaks to any of the listeners.
const EITHER: &[&[u8]] = &[H2, HTTP_1];

/// The two files, as links into a folder: so certbot and Kubernetes keep them.
struct Files {
    dir: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(authority: &Authority) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let linked = |name| {
            let link = dir.path().join(name);
            std::os::unix::fs::symlink(Path::new("now").join(name), &link).unwrap();
            link
        };
        let files = Self {
            certificate: linked("cert.pem"),
            key: linked("key.pem"),
            dir,
        };
        let (certificate, key) = authority.sign("127.0.0.1");
        files.put(&certificate, &key);
        files
    }

    /// Puts another pair in their place, in one step.
    fn put(&self, certificate: &str, key: &str) {
        let folder = tempfile::tempdir_in(&self.dir).unwrap().keep();
        std::fs::write(folder.join("cert.pem"), certificate).unwrap();
        std::fs::write(folder.join("key.pem"), key).unwrap();
        let next = self.dir.path().join("next");
        std::os::unix::fs::symlink(&folder, &next).unwrap();
        std::fs::rename(&next, self.dir.path().join("now")).unwrap();
    }

    fn settings(&self) -> [(&str, &str); 2] {
        [
            ("TLS_CERT", self.certificate.to_str().unwrap()),
            ("TLS_KEY", self.key.to_str().unwrap()),
        ]
    }

    async fn core(&self, dir: &Path) -> Core {
        Core::start_with(dir, &self.settings()).await
    }
}

/// A client that trusts this authority alone.
fn client(authority: &Authority) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([root]).build().unwrap()
}

fn endpoint(core: &Core, authority: &Authority) -> Endpoint {
    let trust = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem));
    let endpoint: Endpoint = format!("https://127.0.0.1:{}", core.ports.grpc).parse().unwrap();
    endpoint.tls_config(trust).unwrap()
}

async fn register(core: &Core, client: &reqwest::Client) -> String {
    let url = format!("https://127.0.0.1:{}/admin/registration-codes", core.ports.admin);
    let made = send(client.post(url).bearer_auth(ADMIN_TOKEN).json(&json!({}))).await;
    let code = made.body["code"].as_str().unwrap();
    let body: Value = json!({"code": code, "name": "behind-tls", "ip": "127.0.0.1", "port": 8000, "region": "test"});
    let url = format!("https://127.0.0.1:{}/node/register", core.ports.http);
    let answer = send(client.post(url).json(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["authKey"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_three_listeners_speak_it_and_nothing_else() {
    let (authority, dir) = (Authority::new(), sample_dir());
    let files = Files::new(&authority);
    let core = files.core(dir.path()).await;
    let client = client(&authority);
    let key = register(&core, &client).await;
    let agent = Agent {
        client: NodeServiceClient::new(endpoint(&core, &authority).connect().await.unwrap()),
        key,
    };
    beat(&agent).await;
    for (port, spoken, foreign) in [
        (core.ports.grpc, H2, HTTP_1),
        (core.ports.http, HTTP_1, H2),
        (core.ports.admin, HTTP_1, H2),
    ] {
        let stream = shaken(port, &authority.pem, EITHER).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(spoken));
        shaken(port, &authority.pem, &[foreign])
            .await
            .expect_err("it speaks one of them alone");
    }
    for port in [core.ports.http, core.ports.admin] {
        let url = format!("http://127.0.0.1:{port}/healthz");
        reqwest::get(url).await.expect_err("plain text is not understood");
    }
    assert!(!core.log().contains("without TLS"), "{}", core.log());
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_ends_the_handshake_is_closed() {
    let (authority, dir) = (Authority::new(), sample_dir());
    let core = Files::new(&authority).core(dir.path()).await;
    let ports = [core.ports.http, core.ports.grpc, core.ports.admin];
    let waiting = ports.map(|port| async move {
        let watch = Stopwatch::start();
        let mut silent = plain(port).await;
        closed(&mut silent, Duration::from_secs(15), "a silent peer").await;
        assert!(watch.elapsed() > Duration::from_secs(4), "{:?}", watch.elapsed());
    });
    futures_util::future::join_all(waiting).await;
    core.stop().await;
}

/// A call on the agent's connection.
async fn beat(agent: &Agent) {
    let request = agent.request(HeartbeatRequest::default());
    agent.client.clone().heartbeat(request).await.unwrap();
}

/// Asks for `/healthz` on a connection that stays open.
async fn healthz(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) {
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: core\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![0; 4_096];
    let bytes = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..bytes]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let (old, new, dir) = (Authority::new(), Authority::new(), sample_dir());
    let files = Files::new(&old);
    let core = files.core(dir.path()).await;
    let key = register(&core, &client(&old)).await;
    let mut open = shaken(core.ports.http, &old.pem, &[HTTP_1]).await.unwrap();
    healthz(&mut open).await;
    // It trusts the old authority alone: could it not go on, it could not begin again.
    let agent = Agent {
        client: NodeServiceClient::new(endpoint(&core, &old).connect().await.unwrap()),
        key,
    };
    let (certificate, key) = new.sign("127.0.0.1");
    files.put(&certificate, &key);
    for port in [core.ports.http, core.ports.grpc, core.ports.admin] {
        eventually("the new certificate", || async {
            shaken(port, &new.pem, EITHER).await.ok()
        })
        .await;
        shaken(port, &old.pem, EITHER)
            .await
            .expect_err("the old one is shown no more");
    }
    healthz(&mut open).await;
    beat(&agent).await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_no_pair_change_nothing_until_they_are_one() {
    let (old, new, dir) = (Authority::new(), Authority::new(), sample_dir());
    let files = Files::new(&old);
    let core = files.core(dir.path()).await;
    let told = || core.log().matches("can't be used: the old certificate is kept").count();
    let (certificate, key) = new.sign("127.0.0.1");
    files.put(&certificate[..certificate.len() / 2], &key);
    eventually("a word about it", || async { (told() == 1).then_some(()) }).await;
    shaken(core.ports.http, &old.pem, EITHER).await.unwrap();
    // Of another certificate, and so no better.
    let (_, other) = new.sign("127.0.0.1");
    files.put(&certificate, &other);
    shaken(core.ports.grpc, &old.pem, EITHER).await.unwrap();
    files.put(&certificate, &key);
    eventually("the new certificate", || async {
        shaken(core.ports.http, &new.pem, EITHER).await.ok()
    })
    .await;
    assert_eq!(told(), 1, "{}", core.log());
    core.stop().await;
}

/// So many days from now on, from the first until the second.
fn days(from: i64, until: i64) -> Range<Time> {
    let now = Clock::system().now().millis();
    let day = |days: i64| Time::from_millis(now + days * 86_400_000);
    day(from)..day(until)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_certificate_ends_is_told_in_time() {
    let (authority, dir) = (Authority::new(), sample_dir());
    let files = Files::new(&authority);
    let put = |good: &Range<Time>| {
        let (certificate, key) = authority.sign_for("127.0.0.1", good.clone());
        files.put(&certificate, &key);
    };
    put(&days(-90, -1));
    let core = files.core(dir.path()).await;
    let told = async |words: &str| eventually(words, || async { core.log().contains(words).then_some(()) }).await;
    let doctor = |words: &str| {
        let (good, said) = findings(dir.path(), &files.settings());
        assert_eq!(good, !words.starts_with("bad"), "{said:#?}");
        assert!(says(&said, words), "{words}: {said:#?}");
    };
    told("the certificate in TLS_CERT has ended").await;
    doctor("bad the certificate in TLS_CERT has ended at 20");
    put(&days(1, 90));
    told("the certificate in TLS_CERT is not good yet").await;
    doctor("bad the certificate in TLS_CERT is good from 20");
    let soon = days(-87, 3);
    put(&soon);
    told("the certificate in TLS_CERT ends soon").await;
    doctor("warn the certificate in TLS_CERT ends at 20");
    let url = format!("https://127.0.0.1:{}/metrics", core.ports.admin);
    let metrics = client(&authority).get(url).send().await.unwrap().text().await.unwrap();
    let until = format!(
        "core_tls_certificate_expires_timestamp_seconds {}",
        soon.end.millis() / 1_000
    );
    assert!(metrics.lines().any(|line| line == until), "{until}: {metrics}");
    let words = core.log().matches("the certificate in TLS_CERT").count();
    assert_eq!(words, 3, "each is told once: {}", core.log());
    core.stop().await;
}

#[test]
fn half_a_pair_or_none_stops_the_start_with_one_clear_line() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let (certificate, key) = authority.sign("127.0.0.1");
    let (_, other) = authority.sign("127.0.0.1");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) = (file("cert.pem", &certificate), file("key.pem", &key));
    let (other, empty) = (file("other.pem", &other), file("empty.pem", ""));
    let nowhere = dir.path().join("nowhere.pem").to_str().unwrap().to_owned();
    for (settings, words, exit) in [
        (vec![("TLS_CERT", &cert)], "TLS_CERT is set without TLS_KEY", 2),
        (vec![("TLS_KEY", &key)], "TLS_KEY is set without TLS_CERT", 2),
        (vec![("TLS_CERT", &nowhere), ("TLS_KEY", &key)], "TLS_CERT: ", 1),
        (vec![("TLS_CERT", &cert), ("TLS_KEY", &nowhere)], "TLS_KEY: ", 1),
        (
            vec![("TLS_CERT", &empty), ("TLS_KEY", &key)],
            "no chain of PEM certificates",
            1,
        ),
        (vec![("TLS_CERT", &cert), ("TLS_KEY", &empty)], "no PEM private key", 1),
        (
            vec![("TLS_CERT", &cert), ("TLS_KEY", &other)],
            "can't be used together",
            1,
        ),
    ] {
        let data = dir.path().join("data");
        let settings: Vec<(&str, &str)> = settings.into_iter().map(|(name, path)| (name, path.as_str())).collect();
        let output = command(&data)
            .arg("serve")
            .envs(settings.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains(words), "{said}");
        assert!(!data.exists(), "it touched the folder");
        let (good, found) = findings(dir.path(), &settings);
        assert!(!good && says(&found, "bad TLS_"), "{found:#?}");
    }
}
