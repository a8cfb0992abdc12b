//! Two processes on one data folder.

use serde_json::json;

use super::{
    fleet::{self, Place},
    ledger::{Line, Report},
    sums::Sums,
};
use crate::harness::{
    core::{Core, command, run},
    http::register,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused_and_the_first_goes_on() {
    let dir = fleet::dir(1);
    let core = Core::start(dir.path()).await;
    let line = Line::new(core.ports, &Place::from(core.ports).enroll(1).await).await;
    let ports = std::fs::read(dir.path().join("ports.json")).unwrap();
    let mut reports: Vec<_> = (0..6).map(|number| Report::new(1, number)).collect();
    line.send_all(&reports).await;

    for _ in 0..3 {
        let second = command(dir.path()).arg("serve").output().unwrap();
        assert_eq!(second.status.code(), Some(1));
        let said = String::from_utf8(second.stderr).unwrap();
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        assert!(said.contains("in use by another process"), "{said}");
        assert!(said.contains(dir.path().to_str().unwrap()), "{said}");
    }
    assert_eq!(std::fs::read(dir.path().join("ports.json")).unwrap(), ports);

    let code = run(dir.path(), &["code", "new", "--name", "beside"]);
    let (id, key) = register(core.ports.http, code.trim(), "beside").await;
    assert_eq!(id, 2);
    Line::new(core.ports, &key).await.send_all(&[]).await;
    assert_eq!(Place::from(core.ports).node(2).await["name"], json!("beside"));
    let token = run(dir.path(), &["token", "new", "--role", "viewer"]);
    let viewer = crate::harness::http::Admin::new(core.ports.admin, token.trim());
    assert_eq!(viewer.get("/admin/nodes").await["items"].as_array().unwrap().len(), 2);

    let more: Vec<_> = (6..12).map(|number| Report::new(1, number)).collect();
    line.send_all(&more).await;
    reports.extend(more);
    core.stop().await;
    assert_eq!(Sums::stored(dir.path()), Sums::of(&reports));
}
