//! RPCs asked wrongly: what can't be decoded, what is too much, what is not there; nothing of it is taken.

use tonic::{Code, Status, codec::CompressionEncoding};

use super::{
    raw::{METHODS, Raw, good_message, int_field, message_field, text_field},
    world::World,
};

#[track_caller]
fn invalid(status: &Status, about: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{about}: {status:?}");
    assert!(!status.message().is_empty(), "{about}");
}

/// The number of the field that has another type in each message, and bytes of that other type.
fn wrong_wires() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        ("Heartbeat", text_field(2, "1"), "revision"),
        ("Heartbeat", int_field(3, 7), "ip"),
        ("ReportUsage", int_field(2, 7), "entries"),
        ("ReportUsage", message_field(2, &text_field(1, "1")), "user_id"),
        ("ReportUsage", message_field(2, &text_field(2, "1")), "subscription_id"),
        ("ReportUsage", message_field(2, &text_field(4, "1")), "bytes_up"),
        ("ReportUsage", message_field(2, &int_field(6, 1)), "recorded_at"),
        ("ReportOutboundUsage", int_field(2, 7), "items"),
        ("ReportOutboundUsage", message_field(2, &int_field(1, 7)), "tag"),
        (
            "ReportOutboundUsage",
            message_field(2, &text_field(3, "")),
            "bytes_down",
        ),
        ("ConfirmConfigApplied", text_field(2, "1"), "revision"),
        ("ReportNodeStats", int_field(2, 7), "system"),
        ("ReportNodeStats", message_field(2, &int_field(2, 7)), "cpu_percent"),
        (
            "ReportNodeStats",
            [good_message("ReportNodeStats"), int_field(4, 1)].concat(),
            "mtproto_json",
        ),
        ("ReportOnlineUsers", int_field(2, 7), "users"),
        ("ReportOnlineUsers", message_field(2, &int_field(3, 7)), "ips"),
        (
            "ReportOnlineUsers",
            message_field(2, &message_field(3, &int_field(1, 7))),
            "ip",
        ),
    ]
}

#[tokio::test]
async fn what_can_not_be_decoded_is_an_invalid_argument() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let key = node.key.as_deref();
    let raw = Raw::connect(world.core.ports.grpc);
    let (before, fleet) = (world.settled(&node).await, world.fleet().await);
    for (method, message, field) in wrong_wires() {
        let status = raw.call(method, key, message).await.expect_err("it is refused");
        invalid(&status, &format!("{method} {field}"));
        assert!(
            status.message().contains(field),
            "{method}: {} does not name {field}",
            status.message()
        );
    }
    for method in METHODS {
        let good = good_message(method);
        for (about, bytes) in [
            ("cut short", vec![0x0a, 200]),
            ("an endless number", vec![0xff; 40]),
            ("field 0", vec![0x00, 0x00]),
            ("an unknown wire type", vec![0x0f, 1]),
            ("an end without a beginning", vec![0x0c]),
            ("a text that is not UTF-8", message_field(1, &[0xff, 0xfe])),
            ("groups without end", [0x9b, 0x06].repeat(100_000)),
        ] {
            let status = raw
                .call(method, key, [good.clone(), bytes].concat())
                .await
                .expect_err("it is refused");
            invalid(&status, &format!("{method}: {about}"));
        }
        let strange = [
            good,
            int_field(99, 5),
            text_field(100, "new"),
            int_field(536_870_911, 1),
        ]
        .concat();
        raw.call(method, key, strange)
            .await
            .unwrap_or_else(|status| panic!("{method}: {status:?}"));
    }
    for revision in [-1, i64::MIN] {
        let status = raw
            .call("ConfirmConfigApplied", key, int_field(2, revision))
            .await
            .expect_err("it is refused");
        invalid(&status, "a negative revision");
        assert!(status.message().contains("revision"));
    }
    let status = raw
        .call("ReportNodeStats", key, Vec::new())
        .await
        .expect_err("it is refused");
    invalid(&status, "no system");
    assert!(status.message().contains("system"));
    let after = world.settled(&node).await;
    assert_eq!(after, before);
    let mut now = world.fleet().await;
    // The confirmation of revision 0 that a message without fields is.
    assert_eq!(now["items"][2]["appliedRevision"], 0);
    now["items"][2]["syncStatus"] = fleet["items"][2]["syncStatus"].clone();
    assert_eq!(now, fleet);
    world.end();
}

fn repeated(items: usize, item: &[u8]) -> Vec<u8> {
    message_field(2, item).repeat(items)
}

#[tokio::test]
async fn too_much_is_refused() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let key = node.key.as_deref();
    let raw = Raw::connect(world.core.ports.grpc);
    let before = world.settled(&node).await;
    let ip = message_field(3, &text_field(1, "203.0.113.1"));
    for (method, message, field) in [
        ("ReportUsage", repeated(50_001, &int_field(1, 1)), "entries"),
        (
            "ReportOutboundUsage",
            repeated(50_001, &text_field(1, "direct")),
            "items",
        ),
        ("ReportOnlineUsers", repeated(50_001, &int_field(1, 1)), "users"),
        ("ReportOnlineUsers", repeated(1, &ip.repeat(50_001)), "ips"),
    ] {
        let status = raw.call(method, key, message).await.expect_err("it is refused");
        invalid(&status, method);
        assert!(
            status.message().contains(field) && status.message().contains("50000"),
            "{}",
            status.message()
        );
    }
    raw.call("ReportOnlineUsers", key, repeated(50_000, &int_field(1, 1)))
        .await
        .expect("fifty thousand are fine");
    let limit = 8 << 20;
    for method in METHODS {
        let bomb = [good_message(method), text_field(1, &" ".repeat(limit))].concat();
        for packing in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
            let status = raw
                .packed(packing, method, key, bomb.clone())
                .await
                .expect_err("it is refused");
            assert!(
                matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
                "{method} {packing:?}: {status:?}"
            );
            assert!(
                status.details().is_empty(),
                "a hint to try again would be wrong: {status:?}"
            );
        }
    }
    assert_eq!(world.settled(&node).await, before);
    let nearly = [text_field(1, &" ".repeat(limit - 1000)), int_field(2, 1)].concat();
    raw.call("Heartbeat", key, nearly)
        .await
        .expect("just below 8 MiB is fine");
    world.end();
}

#[tokio::test]
async fn what_is_not_there_is_unimplemented() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let raw = Raw::connect(world.core.ports.grpc);
    for method in ["Register", "heartbeat", "ReportSessionEvents", "../Other/Method"] {
        let status = raw
            .call(method, node.key.as_deref(), Vec::new())
            .await
            .expect_err("there is none");
        assert_eq!(status.code(), Code::Unimplemented, "{method}: {status:?}");
    }
    world.end();
}
