//! The shapes of bodies, each in one line: `name!:string` is required, `at^:time` is only shown, `domain:string?` may be null,
//! `items:[Row]` is a list, a name with a capital is another shape.

use serde_json::{Map, Value, json};

/// Shapes as they are sent or answered.
const PLAIN: &[(&str, &str)] = &[
    ("Error", "statusCode!:integer error!:string message!:string"),
    ("Ok", "ok!:boolean"),
    ("Counted", "ok!:boolean rejected:integer reasons:[string]"),
    (
        "Register",
        "code!:string name!:string ip!:string port!:integer region!:string domain:string?",
    ),
    ("Registered", "authKey!:string nodeId!:integer"),
    ("Heartbeat", "ip:string? revision:integer?"),
    ("Beat", "ok!:boolean needSync!:boolean"),
    (
        "UsageEntry",
        "userId!:integer subscriptionId:integer? nodeProtocolId!:integer bytesUp!:integer bytesDown!:integer recordedAt!:string",
    ),
    ("Usage", "entries!:[UsageEntry]"),
    ("OutboundItem", "tag!:string bytesUp!:integer bytesDown!:integer"),
    ("OutboundUsage", "items!:[OutboundItem]"),
    (
        "SessionEvent",
        "userId!:integer protocol!:string eventType!:string occurredAt!:string ipAddress:string?",
    ),
    ("SessionEvents", "events!:[SessionEvent]"),
    ("Applied", "revision!:integer"),
    ("NodeFailure", "message!:string code:string? details:any"),
    (
        "NodeConfig",
        "revision!:integer clientMap!:object mtprotoClientMap!:object services!:object",
    ),
    ("Ready", "ready!:boolean store!:string redis!:string journal!:string"),
    (
        "NewCode",
        "name:string? nodeId:integer? ttlSeconds:integer? uses:integer?",
    ),
    (
        "MadeCode",
        "id!:integer name!:string? nodeId!:integer? code!:string expiresAt!:time usesLeft!:integer",
    ),
    (
        "Code",
        "id!:integer name!:string? nodeId!:integer? createdAt!:time expiresAt!:time usesLeft!:integer",
    ),
    ("Problem", "table!:string id!:integer message!:string"),
    (
        "Node",
        "id!:integer name!:string ip!:string port!:integer region!:string domain!:string? enabled!:boolean trafficMultiplier!:number \
         status!:string syncStatus!:string revision!:integer appliedRevision!:integer? configHash!:string configBytes!:integer \
         configProblems!:[Problem] configNotice:string lastSeenAt!:time? onlineUsers!:integer clockSkew!:any createdAt!:time \
         version!:integer",
    ),
    (
        "NodePatch",
        "name:string ip:string port:integer region:string domain:string? enabled:boolean trafficMultiplier:number",
    ),
    (
        "RuntimeStatus",
        "nodeId!:integer receivedAt!:time? ageSeconds!:integer? source!:string system!:any xray!:any mtproto!:any",
    ),
    (
        "StatsPoint",
        "at!:time uptimeSeconds!:integer cpuPercent!:number cpuCores!:integer ramUsed!:integer ramTotal!:integer diskUsed!:integer \
         diskTotal!:integer netRxPerSec!:integer netTxPerSec!:integer netRxTotal!:integer netTxTotal!:integer",
    ),
    ("NodeStats", "step!:integer points!:[StatsPoint]"),
    (
        "LookError",
        "statusCode!:integer error!:string message!:string last!:RuntimeStatus",
    ),
    (
        "NodeError",
        "id!:integer nodeId!:integer revision!:integer message!:string code!:string? details!:any at!:time",
    ),
    (
        "NodeKey",
        "id!:integer nodeId!:integer createdAt!:time firstUsedAt!:time? revokedAt!:time? authKey:string",
    ),
    (
        "Online",
        "nodeId!:integer userId!:integer nodeProtocolId!:integer ips!:[any]",
    ),
    ("NewToken", "name!:string role!:string ttlSeconds:integer?"),
    (
        "MadeToken",
        "id!:integer name!:string role!:string token!:string expiresAt!:time?",
    ),
    (
        "Token",
        "id!:integer name!:string role!:string createdAt!:time expiresAt!:time? lastUsedAt!:time?",
    ),
    (
        "Rejected",
        "id!:integer nodeId!:integer kind!:string reason!:string item!:any receivedAt!:time",
    ),
    (
        "Suspect",
        "id!:integer nodeId!:integer userId!:integer subscriptionId!:integer? nodeProtocolId!:integer minute!:time bytesUp!:integer \
         bytesDown!:integer reason!:string receivedAt!:time decidedAt!:time? decision!:string? decidedBy!:string?",
    ),
    (
        "Audit",
        "id!:integer at!:time actor!:string action!:string subjectId!:integer? details!:any address!:string? requestId!:string?",
    ),
    ("Members", "ids!:[integer]"),
    (
        "BulkCredentials",
        "subscription:integer? uuid:uuid? enabled:boolean? protocolIds:[integer]",
    ),
    (
        "BulkLink",
        "name!:string enabled:boolean? subscriptionLinks:[BulkCredentials]",
    ),
    (
        "BulkUser",
        "name!:string uuid:uuid? status:string? subscriptions:[NewSubscription] links:[BulkLink]",
    ),
    ("Bulk", "users!:[BulkUser]"),
    ("BulkMade", "items!:[object]"),
    (
        "UsagePoint",
        "at!:time nodeId!:integer subscriptionId!:integer? nodeProtocolId!:integer bytesUp!:integer bytesDown!:integer",
    ),
    ("UserIp", "ip!:string firstSeenAt!:time lastSeenAt!:time info!:object?"),
    ("UserUsage", "step!:string from!:time to!:time points!:[UsagePoint]"),
];

/// Rows of the catalogue: each is made (`New…`), changed (`…Patch`) and shown.
const ROWS: &[(&str, &str)] = &[
    (
        "User",
        "id^:integer name!:string uuid:uuid status:string createdAt^:time updatedAt^:time",
    ),
    (
        "Subscription",
        "id^:integer userId^:integer status:string startsAt:time? expiresAt:time? trafficLimitBytes:integer? resetStrategy:string \
         maxIps:integer? rateUpBps:integer? rateDownBps:integer? trafficBytesUp^:integer trafficBytesDown^:integer \
         periodBytes^:integer periodStartedAt^:time? lastResetAt^:time? createdAt^:time",
    ),
    (
        "Link",
        "id^:integer userId^:integer name!:string enabled:boolean revokedAt:time? token^:string createdAt^:time",
    ),
    (
        "SubscriptionLink",
        "id^:integer linkId^:integer uuid:uuid subscriptionId:integer? enabled:boolean createdAt^:time",
    ),
    (
        "Protocol",
        "id^:integer nodeId^:integer protocol!:string tag:string? enabled:boolean listen:string port!:integer network:string \
         security:string flow:string settings:object streamSettings:object sniffing:any publicHost:string? publicPort:integer? \
         position:integer deletedAt^:time? trafficBytesUp^:integer trafficBytesDown^:integer",
    ),
    (
        "Outbound",
        "id^:integer nodeId^:integer tag!:string protocol!:string config:object position:integer enabled:boolean \
         deletedAt^:time? trafficBytesUp^:integer trafficBytesDown^:integer",
    ),
    (
        "RoutingRule",
        "id^:integer nodeId^:integer rule!:object outboundId:integer? balancerTag:string? position:integer enabled:boolean",
    ),
    ("Balancer", "id^:integer nodeId^:integer tag!:string config:object"),
];

/// What a row is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    /// It is shown, or it is not a row.
    Whole,
    /// It is made.
    New,
    /// It is changed: null is the default of a field.
    Patch,
}

/// All shapes by name.
pub fn all() -> Map<String, Value> {
    let mut all = Map::new();
    for (name, fields) in PLAIN {
        all.insert((*name).to_owned(), shape(fields, Use::Whole));
    }
    for (name, fields) in ROWS {
        all.insert((*name).to_owned(), shape(fields, Use::Whole));
        all.insert(format!("New{name}"), shape(fields, Use::New));
        all.insert(format!("{name}Patch"), shape(fields, Use::Patch));
    }
    all
}

/// A page of a list.
pub fn page_of(name: &str) -> Value {
    json!({
        "type": "object",
        "required": ["items", "nextCursor"],
        "properties": {"items": {"type": "array", "items": typed(name)}, "nextCursor": {"type": ["string", "null"]}},
    })
}

fn shape(fields: &str, of: Use) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields.split_whitespace() {
        let (name, kind) = field.split_once(':').unwrap_or((field, "any"));
        let (plain, is_shown) = (name.trim_end_matches(['!', '^']), name.ends_with('^'));
        if is_shown && of != Use::Whole {
            continue;
        }
        let clearable = of != Use::Whole && !kind.ends_with('?') && kind != "any";
        let kind = if clearable { format!("{kind}?") } else { kind.to_owned() };
        properties.insert(plain.to_owned(), typed(&kind));
        if name.ends_with('!') && of != Use::Patch {
            required.push(plain);
        }
    }
    let mut shape = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        shape["required"] = json!(required);
    }
    shape
}

fn typed(kind: &str) -> Value {
    if let Some(kind) = kind.strip_suffix('?') {
        let mut typed = typed(kind);
        if let Some(one) = typed.get("type").cloned() {
            typed["type"] = json!([one, "null"]);
        }
        return typed;
    }
    if let Some(item) = kind.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return json!({"type": "array", "items": typed(item)});
    }
    match kind {
        "any" => json!({}),
        "time" => json!({"type": "string", "format": "date-time"}),
        "uuid" => json!({"type": "string", "format": "uuid"}),
        "integer" => json!({"type": "integer", "format": "int64"}),
        "string" | "boolean" | "number" | "object" => json!({ "type": kind }),
        shape => json!({"$ref": format!("#/components/schemas/{shape}")}),
    }
}
