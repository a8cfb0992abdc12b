//! Every field of every body of the node routes, as a table that the tests of wrong values walk through.

use serde_json::{Value, json};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Int,
    Text,
    List,
    Object,
}

/// A field of a body.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Where it is, as a JSON pointer.
    pub pointer: &'static str,
    /// How an error names it.
    pub path: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// A route that takes a body.
#[derive(Debug)]
pub struct Route {
    pub path: &'static str,
    pub fields: &'static [Field],
}

const fn must(pointer: &'static str, path: &'static str, kind: Kind) -> Field {
    Field {
        pointer,
        path,
        kind,
        required: true,
    }
}

const fn may(pointer: &'static str, path: &'static str, kind: Kind) -> Field {
    Field {
        pointer,
        path,
        kind,
        required: false,
    }
}

/// The routes that need a key, and their fields.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/node/heartbeat",
        fields: &[may("/ip", "ip", Kind::Text), may("/revision", "revision", Kind::Int)],
    },
    Route {
        path: "/node/usage",
        fields: &[
            must("/entries", "entries", Kind::List),
            must("/entries/0", "entries[0]", Kind::Object),
            must("/entries/1/userId", "entries[1].userId", Kind::Int),
            may("/entries/0/subscriptionId", "entries[0].subscriptionId", Kind::Int),
            must("/entries/0/nodeProtocolId", "entries[0].nodeProtocolId", Kind::Int),
            must("/entries/1/bytesUp", "entries[1].bytesUp", Kind::Int),
            must("/entries/0/bytesDown", "entries[0].bytesDown", Kind::Int),
            must("/entries/0/recordedAt", "entries[0].recordedAt", Kind::Text),
        ],
    },
    Route {
        path: "/node/outbound-usage",
        fields: &[
            must("/items", "items", Kind::List),
            must("/items/0", "items[0]", Kind::Object),
            must("/items/0/tag", "items[0].tag", Kind::Text),
            must("/items/0/bytesUp", "items[0].bytesUp", Kind::Int),
            must("/items/0/bytesDown", "items[0].bytesDown", Kind::Int),
        ],
    },
    Route {
        path: "/node/session-events",
        fields: &[
            must("/events", "events", Kind::List),
            must("/events/0", "events[0]", Kind::Object),
            must("/events/0/userId", "events[0].userId", Kind::Int),
            must("/events/0/protocol", "events[0].protocol", Kind::Text),
            must("/events/0/eventType", "events[0].eventType", Kind::Text),
            must("/events/0/occurredAt", "events[0].occurredAt", Kind::Text),
            may("/events/0/ipAddress", "events[0].ipAddress", Kind::Text),
        ],
    },
    Route {
        path: "/node/config/applied",
        fields: &[must("/revision", "revision", Kind::Int)],
    },
    Route {
        path: "/node/error",
        fields: &[
            must("/message", "message", Kind::Text),
            may("/code", "code", Kind::Text),
            may("/details", "details", Kind::Object),
        ],
    },
];

/// The route that needs none.
pub const REGISTER: Route = Route {
    path: "/node/register",
    fields: &[
        must("/code", "code", Kind::Text),
        must("/name", "name", Kind::Text),
        must("/ip", "ip", Kind::Text),
        must("/port", "port", Kind::Int),
        must("/region", "region", Kind::Text),
        may("/domain", "domain", Kind::Text),
    ],
};

impl Route {
    /// A body in which every field has a good value.
    pub fn good_body(&self) -> Value {
        let at = super::world::now();
        let entry = |user: i64| json!({"userId": user, "subscriptionId": user, "nodeProtocolId": 11, "bytesUp": 1, "bytesDown": 2, "recordedAt": at});
        match self.path {
            "/node/heartbeat" => json!({"ip": "192.0.2.11", "revision": 1}),
            "/node/usage" => json!({"entries": [entry(1), entry(2)]}),
            "/node/outbound-usage" => json!({"items": [{"tag": "direct", "bytesUp": 3, "bytesDown": 4}]}),
            "/node/session-events" => json!({"events": [
                {"userId": 1, "protocol": "vless", "eventType": "online", "occurredAt": at, "ipAddress": "203.0.113.1"},
            ]}),
            "/node/config/applied" => json!({"revision": 1}),
            "/node/error" => json!({"message": "xray did not start", "code": "E_XRAY", "details": {"exit": 1}}),
            "/node/register" => {
                json!({"code": "core_code_none", "name": "n", "ip": "192.0.2.1", "port": 8000, "region": "de", "domain": "n.example.test"})
            }
            other => panic!("no body for {other}"),
        }
    }
}

impl Field {
    /// Values of another type, each as JSON text.
    pub fn wrong_types(&self) -> Vec<&'static str> {
        let all = [
            (Kind::Int, "7"),
            (Kind::Text, "\"7\""),
            (Kind::List, "[]"),
            (Kind::List, "[1, 2, 3, 4, 5, \"6\"]"),
            (Kind::Object, "{}"),
        ];
        let mut wrong = vec!["true", "1.5"];
        wrong.extend(all.iter().filter(|(kind, _)| *kind != self.kind).map(|(_, text)| *text));
        if self.kind == Kind::Int {
            wrong.extend([
                "1.0",
                "1e3",
                "9223372036854775808",
                "-9223372036854775809",
                "18446744073709551616",
                "1e400",
            ]);
        }
        if self.kind == Kind::List {
            wrong.retain(|text| !text.starts_with('['));
        }
        if self.required {
            wrong.push("null");
        }
        wrong
    }

    /// The body with another value in this field.
    pub fn put(&self, body: &Value, text: &str) -> String {
        const MARK: &str = "\"the value goes here\"";
        let mut body = body.clone();
        *body.pointer_mut(self.pointer).expect("the field is there") = serde_json::from_str(MARK).expect("a text");
        body.to_string().replace(MARK, text)
    }

    /// The body without this field; none if it is an item of a list.
    pub fn leave_out(&self, body: &Value) -> Option<Value> {
        let mut body = body.clone();
        let (parent, name) = self.pointer.rsplit_once('/').expect("a pointer has a slash");
        body.pointer_mut(parent)?.as_object_mut()?.remove(name)?;
        Some(body)
    }
}
