//! The routes, each in one line.

/// A route: method and path, what it is for, the body's shape ("" = none), and the answer: its status, and its shape (`[…]` = a page).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// In lower case.
    pub method: &'static str,
    /// With `{…}`.
    pub path: String,
    /// For people.
    pub summary: String,
    /// "" = none.
    pub body: String,
    /// If all is well.
    pub status: &'static str,
    /// "" = none.
    pub answer: String,
    /// What the query may hold.
    pub query: &'static [&'static str],
}

type Line = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// What every list takes.
pub const PAGE: &[&str] = &["limit", "cursor"];

const LINES: &[Line] = &[
    (
        "post /node/register",
        "A node comes in with a code",
        "Register",
        "201 Registered",
        &[],
    ),
    (
        "post /node/heartbeat",
        "A node lives; does it need its config?",
        "Heartbeat",
        "200 Beat",
        &[],
    ),
    ("post /node/usage", "Bytes of users", "Usage", "200 Counted", &[]),
    (
        "post /node/outbound-usage",
        "Bytes of outbounds",
        "OutboundUsage",
        "200 Counted",
        &[],
    ),
    (
        "post /node/session-events",
        "Users come and go",
        "SessionEvents",
        "200 Counted",
        &[],
    ),
    (
        "get /node/config/latest",
        "The node's config",
        "",
        "200 NodeConfig",
        &[],
    ),
    (
        "post /node/config/applied",
        "The node runs this revision",
        "Applied",
        "200 Ok",
        &[],
    ),
    ("post /node/error", "The node has failed", "NodeFailure", "200 Ok", &[]),
    ("get /healthz", "Whether the process lives", "", "200 Ok", &[]),
    ("get /readyz", "Whether calls may be sent", "", "200 Ready", &[]),
    ("get /metrics", "Metrics for Prometheus", "", "200 ", &[]),
    ("get /admin/openapi.json", "This document", "", "200 object", &[]),
    (
        "get /admin/registration-codes",
        "Registration codes",
        "",
        "200 [Code]",
        PAGE,
    ),
    (
        "post /admin/registration-codes",
        "Makes a code; it is shown once",
        "NewCode",
        "201 MadeCode",
        &[],
    ),
    ("get /admin/registration-codes/{id}", "A code", "", "200 Code", &[]),
    (
        "delete /admin/registration-codes/{id}",
        "Takes a code back",
        "",
        "204 ",
        &[],
    ),
    ("get /admin/nodes", "Nodes", "", "200 [Node]", PAGE),
    ("get /admin/nodes/{id}", "A node", "", "200 Node", &[]),
    (
        "patch /admin/nodes/{id}",
        "Changes a node",
        "NodePatch",
        "200 Node",
        &[],
    ),
    (
        "delete /admin/nodes/{id}",
        "Deletes a node; its bytes stay",
        "",
        "204 ",
        &[],
    ),
    (
        "get /admin/nodes/{id}/runtime-status",
        "How a node does",
        "",
        "200 RuntimeStatus",
        &["fromNode"],
    ),
    (
        "get /admin/nodes/{id}/stats",
        "How a node's machine was",
        "",
        "200 NodeStats",
        &["from", "to", "step"],
    ),
    (
        "get /admin/nodes/{id}/errors",
        "What failed on a node",
        "",
        "200 [NodeError]",
        PAGE,
    ),
    (
        "get /admin/nodes/{id}/config",
        "A node's config, with its credentials",
        "",
        "200 NodeConfig",
        &[],
    ),
    (
        "post /admin/nodes/{id}/config/retry",
        "Has a node try its config again",
        "",
        "200 Node",
        &[],
    ),
    ("get /admin/nodes/{id}/keys", "Keys of a node", "", "200 [NodeKey]", &[]),
    (
        "post /admin/nodes/{id}/keys",
        "Makes a key; it is shown once",
        "",
        "201 NodeKey",
        &[],
    ),
    ("get /admin/nodes/{id}/keys/{key}", "A key", "", "200 NodeKey", &[]),
    ("delete /admin/nodes/{id}/keys/{key}", "Revokes a key", "", "204 ", &[]),
    (
        "get /admin/online",
        "Who is connected",
        "",
        "200 [Online]",
        &["node", "protocol", "user", "limit", "cursor"],
    ),
    (
        "get /admin/events",
        "What happens, as server-sent events",
        "",
        "200 EventStream",
        &["after", "type"],
    ),
    ("get /admin/tokens", "Admin tokens", "", "200 [Token]", PAGE),
    (
        "post /admin/tokens",
        "Makes a token; it is shown once",
        "NewToken",
        "201 MadeToken",
        &[],
    ),
    ("get /admin/tokens/{id}", "A token", "", "200 Token", &[]),
    ("delete /admin/tokens/{id}", "Ends a token", "", "204 ", &[]),
    (
        "get /admin/rejected",
        "Items that were not counted",
        "",
        "200 [Rejected]",
        &["kind", "limit", "cursor"],
    ),
    (
        "get /admin/suspect",
        "Bytes that wait for an admin's word, and that had it",
        "",
        "200 [Suspect]",
        &["decided", "limit", "cursor"],
    ),
    (
        "post /admin/suspect/{id}/accept",
        "Suspect bytes count, once",
        "",
        "200 Suspect",
        &[],
    ),
    (
        "post /admin/suspect/{id}/void",
        "Suspect bytes never count",
        "",
        "200 Suspect",
        &[],
    ),
    ("get /admin/audit", "Who changed what", "", "200 [Audit]", PAGE),
    (
        "post /admin/users/bulk",
        "Users with all that they have, all or none",
        "Bulk",
        "201 BulkMade",
        &[],
    ),
    (
        "get /admin/users/{id}/ips",
        "Where a user was seen, in the order of the addresses",
        "",
        "200 [UserIp]",
        PAGE,
    ),
    (
        "get /admin/users/{id}/usage",
        "Bytes of a user",
        "",
        "200 UserUsage",
        &["from", "to", "step"],
    ),
    (
        "post /admin/subscriptions/{id}/reset",
        "A new period begins now",
        "",
        "200 Subscription",
        &[],
    ),
    (
        "put /admin/protocols/{id}/links",
        "Credentials join an inbound",
        "Members",
        "200 Ok",
        &[],
    ),
    (
        "delete /admin/protocols/{id}/links",
        "Credentials leave an inbound",
        "Members",
        "204 ",
        &[],
    ),
];

/// The collections of the catalogue: where a row is, and its shape.
const COLLECTIONS: &[(&str, &str, &str)] = &[
    ("/admin/users", "/admin/users", "User"),
    (
        "/admin/users/{parent}/subscriptions",
        "/admin/subscriptions",
        "Subscription",
    ),
    ("/admin/users/{parent}/links", "/admin/links", "Link"),
    (
        "/admin/links/{parent}/subscription-links",
        "/admin/subscription-links",
        "SubscriptionLink",
    ),
    ("/admin/nodes/{parent}/protocols", "/admin/protocols", "Protocol"),
    ("/admin/nodes/{parent}/outbounds", "/admin/outbounds", "Outbound"),
    (
        "/admin/nodes/{parent}/routing-rules",
        "/admin/routing-rules",
        "RoutingRule",
    ),
    ("/admin/nodes/{parent}/balancers", "/admin/balancers", "Balancer"),
];

/// All of them.
pub fn all() -> Vec<Route> {
    let mut routes: Vec<Route> = LINES
        .iter()
        .map(|(route, summary, body, answer, query)| line(route, summary, body, answer, query))
        .collect();
    for (below, own, shape) in COLLECTIONS {
        let mut places = vec![*below, *own];
        places.dedup();
        routes.push(at(
            "get",
            below,
            format!("Lists {shape}"),
            "",
            "200",
            format!("[{shape}]"),
            PAGE,
        ));
        let made = format!("New{shape}");
        routes.push(at(
            "post",
            below,
            format!("Makes {shape}"),
            &made,
            "201",
            (*shape).to_owned(),
            &[],
        ));
        for place in places {
            let path = format!("{place}/{{id}}");
            let row = (*shape).to_owned();
            routes.push(at("get", &path, format!("One {shape}"), "", "200", row.clone(), &[]));
            let patch = format!("{shape}Patch");
            routes.push(at("patch", &path, format!("Changes {shape}"), &patch, "200", row, &[]));
            routes.push(at(
                "delete",
                &path,
                format!("Deletes {shape}"),
                "",
                "204",
                String::new(),
                &[],
            ));
        }
    }
    routes
}

fn line(route: &'static str, summary: &str, body: &str, answer: &'static str, query: &'static [&'static str]) -> Route {
    let (method, path) = route.split_once(' ').unwrap_or(("get", route));
    let (status, answer) = answer.split_once(' ').unwrap_or((answer, ""));
    at(method, path, summary.to_owned(), body, status, answer.to_owned(), query)
}

fn at(
    method: &'static str,
    path: &str,
    summary: String,
    body: &str,
    status: &'static str,
    answer: String,
    query: &'static [&'static str],
) -> Route {
    Route {
        method,
        path: path.to_owned(),
        summary,
        body: body.to_owned(),
        status,
        answer,
        query,
    }
}
