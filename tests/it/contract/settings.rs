//! Settings that can't be used stop the start with one clear line.

use std::path::Path;

use crate::harness::core::command;

/// Starts with these settings, expects it not to, and gives what it said.
fn stopped(dir: &Path, env: &[(&str, &str)], args: &[&str], exit: i32) -> String {
    let output = command(dir)
        .envs(env.iter().copied())
        .args(args)
        .output()
        .expect("the binary is there");
    let said = String::from_utf8(output.stderr).expect("it prints text");
    assert_eq!(output.status.code(), Some(exit), "{env:?} {args:?}: {said}");
    assert!(output.stdout.is_empty(), "{env:?} {args:?}");
    assert!(said.starts_with("error: "), "{said}");
    said
}

#[test]
fn a_value_that_can_not_be_used_is_named_in_one_line() {
    let dir = tempfile::tempdir().expect("there is room");
    for (name, value) in [
        ("HTTP_PORT", "65536"),
        ("HTTP_PORT", "-1"),
        ("HTTP_PORT", "http"),
        ("GRPC_PORT", "99999"),
        ("ADMIN_PORT", "1e3"),
        ("BIND_IP", "localhost"),
        ("ADMIN_BIND_IP", "256.0.0.1"),
        ("ADMIN_TOKEN", "tooshort7"),
        ("JOURNAL_KEEP", "0s"),
        ("JOURNAL_KEEP", "-5h"),
        ("JOURNAL_KEEP", "soon"),
        ("JOURNAL_MAX_BYTES", "1KiB"),
        ("JOURNAL_MAX_BYTES", "much"),
        ("USAGE_MINUTES_KEEP", "1h"),
        ("USAGE_HOURS_KEEP", "11 years"),
        ("SESSION_EVENTS_KEEP", "0d"),
        ("NODE_STATS_KEEP", "long"),
        ("NODE_OFFLINE_AFTER", "30"),
        ("NODE_OFFLINE_AFTER", "0s"),
        ("INSTANCE_ID", "with blanks"),
        ("INSTANCE_ID", "../up"),
        ("LOG_FORMAT", "xml"),
    ] {
        let said = stopped(dir.path(), &[(name, value)], &[], 2);
        assert_eq!(said.trim_end().lines().count(), 1, "{name}={value}: {said}");
        assert!(said.contains(name), "{name}={value}: {said}");
        assert_eq!(said.contains(value), name != "ADMIN_TOKEN", "{name}: {said}");
    }
    assert!(!dir.path().join("core.db").exists(), "it touched the folder");
}

#[test]
fn a_file_with_a_mistake_is_named_too() {
    let dir = tempfile::tempdir().expect("there is room");
    let file = dir.path().join("core.toml");
    let path = file.to_str().expect("text");
    for (text, words) in [
        ("htp_port = 1", "htp_port"),
        ("http_port = 70000", "70000"),
        ("http_port = [1]", "http_port"),
        ("http_port = ", "TOML"),
        ("[http]\nport = 1", "http"),
    ] {
        std::fs::write(&file, text).expect("there is room");
        for (env, args) in [(vec![("CORE_CONFIG", path)], vec![]), (vec![], vec!["--config", path])] {
            let mut env = env;
            // What the environment says would go before the file.
            env.retain(|(name, _)| *name == "CORE_CONFIG");
            let output = command(dir.path())
                .env_remove("HTTP_PORT")
                .envs(env)
                .args(args)
                .output()
                .expect("the binary is there");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{text}: {said}");
            assert_eq!(said.trim_end().lines().count(), 1, "{text}: {said}");
            assert!(said.contains(words), "{text}: {said}");
        }
    }
    let said = stopped(dir.path(), &[("CORE_CONFIG", "/nowhere/core.toml")], &[], 2);
    assert!(said.contains("/nowhere/core.toml"), "{said}");
    let said = stopped(dir.path(), &[], &["--no-such-setting", "1"], 2);
    assert!(said.contains("--no-such-setting"), "{said}");
}

#[test]
fn help_shows_no_secret() {
    let dir = tempfile::tempdir().expect("there is room");
    let output = command(dir.path()).arg("--help").output().expect("the binary is there");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("--admin-token"));
    assert!(!said.contains(crate::harness::core::ADMIN_TOKEN));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let dir = tempfile::tempdir().expect("there is room");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it has one").port().to_string();
    for name in ["HTTP_PORT", "GRPC_PORT", "ADMIN_PORT"] {
        let output = command(dir.path())
            .env(name, &port)
            .output()
            .expect("the binary is there");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(
            errors.len() == 1 && errors[0].contains(name) && errors[0].contains(&port),
            "{said}"
        );
        assert!(!dir.path().join("ports.json").exists());
    }
}
