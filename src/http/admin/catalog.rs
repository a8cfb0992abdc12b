//! What the collections of the catalogue have besides the usual methods: bulk, membership, resets, usage.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    admin::AdminError,
    http::{
        body::{self, Int, Object},
        error::ApiError,
    },
    model::{
        LsId, ProtocolId, SubscriptionId, UserId,
        catalog_change::{CatalogChange, CatalogRow},
        secrets::Role,
    },
    store::{UsageSpan, UsageStep},
};

use super::{
    Answer, Door, moment, path_id, query,
    rows::{Kind, ok, shown},
};

/// The most users of one bulk request.
const BULK_MAX: usize = 1_000;

/// The most steps that one usage request may span: a month of minutes, with room.
const STEPS_MAX: i64 = 50_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkDto {
    users: Vec<Object<BulkUserDto>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkUserDto {
    #[serde(default)]
    subscriptions: Vec<Map<String, Value>>,
    #[serde(default)]
    links: Vec<Object<BulkLinkDto>>,
    #[serde(flatten)]
    own: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkLinkDto {
    #[serde(default)]
    subscription_links: Vec<Object<BulkCredentialsDto>>,
    #[serde(flatten)]
    own: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkCredentialsDto {
    /// Which of the user's subscriptions pays, counted from 0.
    subscription: Option<Int>,
    #[serde(default)]
    protocol_ids: Vec<Int>,
    #[serde(flatten)]
    own: Map<String, Value>,
}

/// The changes of a bulk request, with ids below 0 for what the store has yet to name.
#[derive(Default)]
struct Bulk {
    changes: Vec<CatalogChange>,
    /// Where each change stands in the request.
    paths: Vec<String>,
    last: i64,
}

impl Bulk {
    fn add(&mut self, change: CatalogChange, path: String) {
        self.changes.push(change);
        self.paths.push(path);
    }

    fn put(&mut self, kind: Kind, fields: Map<String, Value>, owner: i64, path: &str) -> Result<i64, ApiError> {
        self.last -= 1;
        let row = kind
            .new_row(fields, self.last, owner)
            .map_err(|error| error.within(path))?;
        self.add(CatalogChange::Put { row, if_match: None }, path.to_owned());
        Ok(self.last)
    }

    fn user(&mut self, at: usize, user: BulkUserDto) -> Result<(), ApiError> {
        let path = format!("users[{at}]");
        let id = self.put(Kind::Users, user.own, 0, &path)?;
        let mut subscriptions = Vec::new();
        for (at, fields) in user.subscriptions.into_iter().enumerate() {
            subscriptions.push(self.put(Kind::Subscriptions, fields, id, &format!("{path}.subscriptions[{at}]"))?);
        }
        for (at, Object(link)) in user.links.into_iter().enumerate() {
            let path = format!("{path}.links[{at}]");
            let link_id = self.put(Kind::Links, link.own, id, &path)?;
            for (at, Object(credentials)) in link.subscription_links.into_iter().enumerate() {
                self.credentials(
                    credentials,
                    link_id,
                    &subscriptions,
                    &format!("{path}.subscriptionLinks[{at}]"),
                )?;
            }
        }
        Ok(())
    }

    fn credentials(
        &mut self,
        dto: BulkCredentialsDto,
        link: i64,
        subscriptions: &[i64],
        path: &str,
    ) -> Result<(), ApiError> {
        let mut own = dto.own;
        if let Some(Int(at)) = dto.subscription {
            let id = usize::try_from(at).ok().and_then(|at| subscriptions.get(at));
            let id = id.ok_or_else(|| ApiError::bad_request(format!("{path}.subscription is none of the user's")))?;
            own.insert("subscriptionId".to_owned(), (*id).into());
        }
        let id = self.put(Kind::SubscriptionLinks, own, link, path)?;
        for (at, Int(protocol)) in dto.protocol_ids.into_iter().enumerate() {
            let (protocol, links) = (ProtocolId(protocol), vec![LsId(id)]);
            self.add(
                CatalogChange::Join { protocol, links },
                format!("{path}.protocolIds[{at}]"),
            );
        }
        Ok(())
    }
}

/// `POST /admin/users/bulk`: users with their subscriptions, links and credentials, all or none.
pub async fn bulk(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let by = door.writer(&request).await?;
    let dto: BulkDto = body::json(&request, payload).await?;
    if dto.users.len() > BULK_MAX {
        return Err(ApiError::bad_request(format!(
            "users must have at most {BULK_MAX} items"
        )));
    }
    let mut bulk = Bulk::default();
    for (at, Object(user)) in dto.users.into_iter().enumerate() {
        bulk.user(at, user)?;
    }
    let Bulk { changes, paths, .. } = bulk;
    let made = door.desk.change(changes, &by).await;
    let rows = made.map_err(|error| match error {
        AdminError::InBatch { at, message } if paths[at].contains(".protocolIds[") => {
            ApiError::bad_request(format!("{} {message}", paths[at]))
        }
        AdminError::InBatch { at, message } => ApiError::bad_request(message).within(&paths[at]),
        error => error.into(),
    })?;
    Ok(HttpResponse::Created().json(json!({"items": nested(&rows)})))
}

/// The rows of a bulk request, each below its owner, as they were sent.
fn nested(rows: &[CatalogRow]) -> Vec<Value> {
    let mut users: Vec<Value> = Vec::new();
    for row in rows {
        let mut json = row.to_json();
        match row {
            CatalogRow::User(_) => {
                json["subscriptions"] = json!([]);
                json["links"] = json!([]);
                users.push(json);
            }
            CatalogRow::Subscription(_) => append(users.last_mut(), "subscriptions", json),
            CatalogRow::Link(_) => {
                json["subscriptionLinks"] = json!([]);
                append(users.last_mut(), "links", json);
            }
            CatalogRow::SubscriptionLink(_) => {
                let links = users.last_mut().and_then(|user| user["links"].as_array_mut());
                append(links.and_then(|links| links.last_mut()), "subscriptionLinks", json);
            }
            _ => {}
        }
    }
    users
}

fn append(owner: Option<&mut Value>, list: &str, item: Value) {
    if let Some(list) = owner.and_then(|owner| owner[list].as_array_mut()) {
        list.push(item);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembersDto {
    ids: Vec<Int>,
}

/// `PUT /admin/protocols/{id}/links`: these credentials may use the inbound.
pub async fn join(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let by = door.writer(&request).await?;
    let (protocol, links) = members(&request, payload).await?;
    door.desk.join(protocol, links, &by).await.map_err(of_ids)?;
    Ok(ok())
}

/// `DELETE /admin/protocols/{id}/links`: these credentials may use the inbound no more.
pub async fn leave(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let by = door.writer(&request).await?;
    let (protocol, links) = members(&request, payload).await?;
    door.desk.leave(protocol, links, &by).await.map_err(of_ids)?;
    Ok(HttpResponse::NoContent().finish())
}

/// What the store calls `links` is `ids` in the request.
fn of_ids(error: AdminError) -> AdminError {
    match error {
        AdminError::Invalid(message) => AdminError::Invalid(match message.strip_prefix("links[") {
            Some(rest) => format!("ids[{rest}"),
            None => message,
        }),
        error => error,
    }
}

async fn members(request: &HttpRequest, payload: Payload) -> Result<(ProtocolId, Vec<LsId>), ApiError> {
    let protocol = path_id(request, "id", "protocol")?;
    let MembersDto { ids } = body::json(request, payload).await?;
    Ok((protocol, ids.into_iter().map(|Int(id)| LsId(id)).collect()))
}

/// `POST /admin/subscriptions/{id}/reset`: a new period begins now.
pub async fn reset(door: Data<Door>, request: HttpRequest) -> Answer {
    let by = door.writer(&request).await?;
    let id: SubscriptionId = path_id(&request, "id", "subscription")?;
    Ok(HttpResponse::Ok().json(shown(&door.desk.reset_subscription(id, &by).await?, Role::Admin)))
}

#[derive(Deserialize)]
struct UsageQuery {
    from: Option<String>,
    to: Option<String>,
    step: Option<String>,
}

/// `GET /admin/users/{id}/usage?from=&to=&step=minute|hour|day`; without times the last 30 days by day.
pub async fn usage(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let user: UserId = path_id(&request, "id", "user")?;
    let wanted: UsageQuery = query(&request)?;
    let now = door.desk.clock.now();
    let to = moment("to", wanted.to.as_deref(), now)?;
    let month = to.minus(std::time::Duration::from_hours(30 * 24));
    let from = moment("from", wanted.from.as_deref(), month)?;
    let (step, millis) = match wanted.step.as_deref() {
        Some("minute") => (UsageStep::Minute, 60_000),
        Some("hour") => (UsageStep::Hour, 3_600_000),
        None | Some("day") => (UsageStep::Day, 86_400_000),
        Some(_) => return Err(ApiError::bad_request("step must be minute, hour or day")),
    };
    if (to.millis() - from.millis()) / millis > STEPS_MAX {
        return Err(ApiError::bad_request(format!(
            "from and to must be at most {STEPS_MAX} steps apart"
        )));
    }
    let points = door.desk.usage(user, UsageSpan { from, to, step }).await?;
    let step = wanted.step.as_deref().unwrap_or("day");
    Ok(HttpResponse::Ok().json(json!({"step": step, "from": from, "to": to, "points": points})))
}
