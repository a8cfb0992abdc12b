//! Where Redis is said to be: nowhere, not there yet, behind TLS, too old words.

use crate::{
    contract::doctor::{findings, says},
    harness::{
        authority::Authority,
        core::{Core, command, sample_dir},
        eventually,
        http::send,
        ports::quiet_port,
        redis::{Server, url},
    },
};

async fn redis_is(core: &Core) -> String {
    let ready = send(reqwest::Client::new().get(format!("http://127.0.0.1:{}/readyz", core.ports.http))).await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    ready.body["redis"].as_str().unwrap().to_owned()
}

async fn becomes(core: &Core, word: &str) {
    eventually("what Core says of Redis", || async {
        (redis_is(core).await == word).then_some(())
    })
    .await;
}

#[test]
fn a_url_that_names_no_redis_stops_the_start_with_one_clear_line() {
    for (bad, why) in [
        ("http://:hidden-word@db", "must begin with redis://"),
        ("redis://:hidden-word@db:99999", "is not a URL"),
        ("redis-cluster://:hidden-word@db/1", "a cluster has only one"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let output = command(dir.path()).arg("serve").env("REDIS_URL", bad).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        let last = said.lines().last().unwrap();
        assert!(last.contains("REDIS_URL") && last.contains(why), "{said}");
        assert!(!said.contains("hidden-word"), "{said}");
        let (good, said) = findings(dir.path(), &[("REDIS_URL", bad)]);
        assert!(!good && says(&said, "bad REDIS_URL"), "{said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_not_there_is_waited_for_by_nobody() {
    let dir = sample_dir();
    let core = Core::start(dir.path()).await;
    assert_eq!(redis_is(&core).await, "off");
    core.stop().await;
    let nowhere = format!("redis://:hidden-word@127.0.0.1:{}", quiet_port());
    let core = Core::start_with(dir.path(), &[("REDIS_URL", &nowhere)]).await;
    assert_eq!(redis_is(&core).await, "away");
    let (good, said) = findings(dir.path(), &[("REDIS_URL", &nowhere)]);
    assert!(!good && says(&said, "bad Redis is away"), "{said:#?}");
    eventually("a line in the log", || async {
        core.log().contains("Redis is away").then_some(())
    })
    .await;
    assert!(!core.log().contains("hidden-word"), "{}", core.log());
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_going_and_coming_is_told_once() {
    let (dir, mut redis) = (
        sample_dir(),
        Server::start_with(&["--requirepass", "hidden-word"]).await,
    );
    let with_password = format!("redis://:hidden-word@127.0.0.1:{}", redis.port());
    let core = Core::start_with(dir.path(), &[("REDIS_URL", &with_password)]).await;
    becomes(&core, "ok").await;
    redis.kill();
    becomes(&core, "away").await;
    redis.restart().await;
    becomes(&core, "ok").await;
    let log = core.log();
    let count = |what: &str| log.matches(what).count();
    assert_eq!((count("Redis is there"), count("Redis is away")), (2, 1), "{log}");
    assert!(!log.contains("hidden-word"), "{log}");
    let (good, said) = findings(dir.path(), &[("REDIS_URL", &with_password)]);
    assert!(good && says(&said, "ok Redis answers: version "), "{said:#?}");
    let without = url(redis.port());
    let (good, said) = findings(dir.path(), &[("REDIS_URL", &without)]);
    assert!(!good && says(&said, "bad Redis"), "{said:#?}");
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_those_whose_certificate_is_known() {
    let (ours, others) = (Authority::new(), Authority::new());
    let (certificate, key) = ours.sign("127.0.0.1");
    let redis = Server::start_with_tls(&certificate, &key).await;
    let url = format!("rediss://127.0.0.1:{}", redis.tls_port());
    let dir = sample_dir();
    for (authority, word) in [(&ours, "ok"), (&others, "away")] {
        let file = dir.path().join("roots.pem");
        std::fs::write(&file, &authority.pem).unwrap();
        let settings = [("REDIS_URL", url.as_str()), ("SSL_CERT_FILE", file.to_str().unwrap())];
        let (good, said) = findings(dir.path(), &settings);
        assert_eq!(good, word == "ok", "{said:#?}");
        let core = Core::start_with(dir.path(), &settings).await;
        becomes(&core, word).await;
        if word == "away" {
            eventually("a line in the log", || async {
                core.log().contains("Redis is away").then_some(())
            })
            .await;
        }
        core.stop().await;
    }
}
