//! A machine that reads the OpenAPI document (schemathesis) and sends what it allows and what it does not: no route fails, and none answers with a status
//! that the document does not name.

use std::{path::Path, process::Stdio};

use crate::{
    faults::fleet::Place,
    harness::core::{ADMIN_TOKEN, Core, sample_dir},
    postgres::figures::figure,
};

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Sends to the routes that the pattern names, on this port.
async fn send(folder: &Path, (document, port): (u16, u16), routes: &str, header: &str) {
    let root = env!("CARGO_MANIFEST_DIR");
    let examples = figure("CORE_TEST_SCHEMATHESIS_EXAMPLES", 20, 1_000).to_string();
    let command = tokio::process::Command::new(format!("{root}/.venv/bin/schemathesis"))
        .args(["run", &format!("http://127.0.0.1:{document}/admin/openapi.json")])
        .args(["--url", &format!("http://127.0.0.1:{port}"), "--header", header])
        .args(["--include-path-regex", routes, "--exclude-path", "/admin/events"])
        .args([
            "--checks",
            CHECKS,
            "--phases",
            "coverage,fuzzing",
            "--max-examples",
            &examples,
        ])
        .args(["--request-timeout", "20", "--seed", "1", "--no-color"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let output = command.await.expect("scripts/test installs schemathesis into .venv");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{routes}:\n{said}");
    eprintln!(
        "{routes}: {}",
        said.lines()
            .find(|line| line.contains("generated,"))
            .unwrap_or("nothing")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_one_that_the_document_names() {
    let (dir, folder) = (sample_dir(), tempfile::tempdir().unwrap());
    let mut core = Core::start(dir.path()).await;
    let key = Place::from(core.ports).enroll(1).await;
    let (http, admin) = (core.ports.http, core.ports.admin);
    let node = format!("x-node-auth-key: {key}");
    send(folder.path(), (admin, http), "^/(node/|healthz|readyz)", &node).await;
    let token = format!("Authorization: Bearer {ADMIN_TOKEN}");
    send(folder.path(), (admin, admin), "^/(admin/|metrics)", &token).await;
    assert!(core.is_alive());
    assert!(!core.log().contains("panicked"), "{}", core.log());
    core.stop().await;
}
