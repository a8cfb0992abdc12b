//! The collections of the catalogue: one set of handlers, told by the path which rows they are about.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{
    admin::AdminError,
    http::{body, error::ApiError},
    model::{
        LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, UserId,
        catalog_change::{CatalogRow, RowRef, RowTag, RowsOf, StoredRow},
        secrets::Role,
    },
    store::Change,
};

use super::{Answer, Door, mask, page, path_id};

/// How often a change without `If-Match` is tried on a row that others change too.
const PATCH_TRIES: usize = 10;

/// Which rows a path is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/admin/users`
    Users,
    /// `/admin/users/{parent}/subscriptions`, `/admin/subscriptions`
    Subscriptions,
    /// `/admin/users/{parent}/links`, `/admin/links`
    Links,
    /// `/admin/links/{parent}/subscription-links`, `/admin/subscription-links`
    SubscriptionLinks,
    /// `/admin/nodes/{parent}/protocols`, `/admin/protocols`
    Protocols,
    /// `/admin/nodes/{parent}/outbounds`, `/admin/outbounds`
    Outbounds,
    /// `/admin/nodes/{parent}/routing-rules`, `/admin/routing-rules`
    Rules,
    /// `/admin/nodes/{parent}/balancers`, `/admin/balancers`
    Balancers,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Users,
        Self::Subscriptions,
        Self::Links,
        Self::SubscriptionLinks,
        Self::Protocols,
        Self::Outbounds,
        Self::Rules,
        Self::Balancers,
    ];

    /// The collection's own path below `/admin`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Subscriptions => "subscriptions",
            Self::Links => "links",
            Self::SubscriptionLinks => "subscription-links",
            Self::Protocols => "protocols",
            Self::Outbounds => "outbounds",
            Self::Rules => "routing-rules",
            Self::Balancers => "balancers",
        }
    }

    /// The collection that owns it, and the field that says whose a row is.
    pub const fn owner(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Users => None,
            Self::Subscriptions | Self::Links => Some(("users", "userId")),
            Self::SubscriptionLinks => Some(("links", "linkId")),
            Self::Protocols | Self::Outbounds | Self::Rules | Self::Balancers => Some(("nodes", "nodeId")),
        }
    }

    const fn rows_of(self, owner: i64) -> RowsOf {
        match self {
            Self::Users => RowsOf::Users,
            Self::Subscriptions => RowsOf::SubscriptionsOfUser(UserId(owner)),
            Self::Links => RowsOf::LinksOfUser(UserId(owner)),
            Self::SubscriptionLinks => RowsOf::SubscriptionLinksOfLink(LinkId(owner)),
            Self::Protocols => RowsOf::ProtocolsOfNode(NodeId(owner)),
            Self::Outbounds => RowsOf::OutboundsOfNode(NodeId(owner)),
            Self::Rules => RowsOf::RulesOfNode(NodeId(owner)),
            Self::Balancers => RowsOf::BalancersOfNode(NodeId(owner)),
        }
    }

    const fn row(self, id: i64) -> RowRef {
        match self {
            Self::Users => RowRef::User(UserId(id)),
            Self::Subscriptions => RowRef::Subscription(SubscriptionId(id)),
            Self::Links => RowRef::Link(LinkId(id)),
            Self::SubscriptionLinks => RowRef::SubscriptionLink(LsId(id)),
            Self::Protocols => RowRef::Protocol(ProtocolId(id)),
            Self::Outbounds => RowRef::Outbound(OutboundId(id)),
            Self::Rules => RowRef::Rule(id),
            Self::Balancers => RowRef::Balancer(id),
        }
    }

    /// Reads a whole row.
    pub(super) fn decode(self, fields: Map<String, Value>) -> Result<CatalogRow, ApiError> {
        let text = Value::Object(fields).to_string();
        let text = text.as_bytes();
        Ok(match self {
            Self::Users => CatalogRow::User(body::decode(text)?),
            Self::Subscriptions => CatalogRow::Subscription(body::decode(text)?),
            Self::Links => CatalogRow::Link(body::decode(text)?),
            Self::SubscriptionLinks => CatalogRow::SubscriptionLink(body::decode(text)?),
            Self::Protocols => CatalogRow::Protocol(body::decode(text)?),
            Self::Outbounds => CatalogRow::Outbound(body::decode(text)?),
            Self::Rules => CatalogRow::Rule(body::decode(text)?),
            Self::Balancers => CatalogRow::Balancer(body::decode(text)?),
        })
    }

    /// Reads the fields of a new row under this owner, with this id. Fields that are null are absent.
    pub(super) fn new_row(self, mut fields: Map<String, Value>, id: i64, owner: i64) -> Result<CatalogRow, ApiError> {
        self.no_fixed_fields(&fields)?;
        let absent = nulls(&mut fields);
        if self == Self::SubscriptionLinks {
            fields
                .entry("uuid")
                .or_insert_with(|| uuid::Uuid::new_v4().to_string().into());
        }
        fields.insert("id".to_owned(), id.into());
        if let Some((_, field)) = self.owner() {
            fields.insert(field.to_owned(), owner.into());
        }
        let row = self.decode(fields)?;
        are_fields(&absent, &row)?;
        Ok(row)
    }

    /// The row with these fields changed: null is the default of a field.
    fn changed_row(self, there: &CatalogRow, mut fields: Map<String, Value>) -> Result<CatalogRow, ApiError> {
        let mut whole = there.to_json().as_object().cloned().unwrap_or_default();
        let absent = nulls(&mut fields);
        are_fields(&absent, there)?;
        whole.retain(|field, _| !absent.contains(field));
        whole.extend(fields);
        if self == Self::SubscriptionLinks && absent.iter().any(|field| field == "uuid") {
            whole.insert("uuid".to_owned(), uuid::Uuid::new_v4().to_string().into());
        }
        self.decode(whole)
    }

    /// Whose a row is, and what it is called, is in the path; deletion is a method.
    fn no_fixed_fields(self, fields: &Map<String, Value>) -> Result<(), ApiError> {
        let fixed = ["id", "deletedAt"]
            .into_iter()
            .chain(self.owner().map(|(_, field)| field));
        for field in fixed {
            if fields.contains_key(field) {
                return Err(ApiError::bad_request(format!("{field} can't be set")));
            }
        }
        Ok(())
    }
}

/// `GET` of a collection.
pub async fn list(kind: Kind, door: Data<Door>, request: HttpRequest) -> Answer {
    let admin = door.reader(&request).await?;
    let page = page(&request)?;
    let owner = owner(kind, &door, &request).await?;
    let rows = door.desk.rows(kind.rows_of(owner), page).await?;
    let items: Vec<Value> = rows.iter().map(|row| shown(row, admin.role)).collect();
    Ok(super::listed(page, &items, |item| item["id"].as_i64().unwrap_or(0)))
}

/// `POST` to a collection.
pub async fn create(kind: Kind, door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let by = door.writer(&request).await?;
    let owner = owner(kind, &door, &request).await?;
    let fields = body::row(&request, payload).await?;
    let row = door.desk.put_row(kind.new_row(fields, 0, owner)?, None, &by).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::ETAG, etag(&row.row)))
        .json(shown(&row, Role::Admin)))
}

/// `GET` of one row.
pub async fn one(kind: Kind, door: Data<Door>, request: HttpRequest) -> Answer {
    let admin = door.reader(&request).await?;
    let row = find(kind, &door, &request).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::ETAG, etag(&row.row)))
        .json(shown(&row, admin.role)))
}

/// `PATCH` of one row: fields that are not given stay, null is the default.
pub async fn patch(kind: Kind, door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let by = door.writer(&request).await?;
    let there = find(kind, &door, &request).await?;
    let fields = body::row(&request, payload).await?;
    kind.no_fixed_fields(&fields)?;
    let expected = if_match(&request, &there.row);
    let row = match expected {
        Some(_) => {
            let changed = kind.changed_row(&there.row, fields)?;
            door.desk.put_row(changed, expected, &by).await?
        }
        None => patch_whatever_it_says(kind, &door, there, fields, &by).await?,
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::ETAG, etag(&row.row)))
        .json(shown(&row, Role::Admin)))
}

/// Two callers who change different fields at a time must both be heard: a row that changed since it was read is read again.
async fn patch_whatever_it_says(
    kind: Kind,
    door: &Door,
    mut there: StoredRow,
    fields: Map<String, Value>,
    by: &Change,
) -> Result<StoredRow, ApiError> {
    for _ in 0..PATCH_TRIES {
        let changed = kind.changed_row(&there.row, fields.clone())?;
        match door.desk.put_row(changed, Some(there.row.tag()), by).await {
            Err(AdminError::Stale) => there = door.desk.row(there.row.reference()).await?,
            outcome => return Ok(outcome?),
        }
    }
    Err(AdminError::Stale.into())
}

/// Takes out the fields that are null; gives their names.
fn nulls(fields: &mut Map<String, Value>) -> Vec<String> {
    let absent = fields.iter().filter(|(_, value)| value.is_null());
    let absent: Vec<String> = absent.map(|(field, _)| field.clone()).collect();
    fields.retain(|_, value| !value.is_null());
    absent
}

/// Whether the row has these fields: a misspelt one must not pass because it is null.
fn are_fields(names: &[String], row: &CatalogRow) -> Result<(), ApiError> {
    let known = row.to_json();
    match names.iter().find(|name| known.get(name.as_str()).is_none()) {
        Some(name) => Err(ApiError::bad_request(format!("{name} is not a field"))),
        None => Ok(()),
    }
}

/// `DELETE` of one row.
pub async fn remove(kind: Kind, door: Data<Door>, request: HttpRequest) -> Answer {
    let by = door.writer(&request).await?;
    let there = find(kind, &door, &request).await?;
    door.desk
        .delete_row(there.row.reference(), if_match(&request, &there.row), &by)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The owner that the path names, who must be there. 0 where there is none.
async fn owner(kind: Kind, door: &Door, request: &HttpRequest) -> Result<i64, ApiError> {
    match kind.owner() {
        None => Ok(0),
        Some(("nodes", _)) => Ok(door.desk.node(path_id(request, "parent", "node")?)?.seed.record.id.0),
        Some(("links", _)) => {
            let id = path_id(request, "parent", "link")?;
            door.desk.row(RowRef::Link(id)).await?;
            Ok(id.0)
        }
        Some(_) => {
            let id = path_id(request, "parent", "user")?;
            door.desk.row(RowRef::User(id)).await?;
            Ok(id.0)
        }
    }
}

/// The row that the path names; below an owner it must be the owner's.
async fn find(kind: Kind, door: &Door, request: &HttpRequest) -> Result<StoredRow, ApiError> {
    let what = kind.row(0).what();
    let row = door.desk.row(kind.row(path_id(request, "id", what)?)).await?;
    if let (Some((_, field)), Some(parent)) = (kind.owner(), request.match_info().get("parent"))
        && parent.parse::<i64>().ok() != row.row.to_json()[field].as_i64()
    {
        return Err(ApiError::missing(what));
    }
    Ok(row)
}

pub(super) fn shown(row: &StoredRow, role: Role) -> Value {
    let mut shown = row.row.to_json();
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(row.besides.clone());
    }
    if role == Role::Viewer {
        mask::masked(shown)
    } else {
        shown
    }
}

fn etag(row: &CatalogRow) -> String {
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&row.tag().0[..18]))
}

/// What the row must say for the change: what the caller has seen, if that is what is there; else something that no row says.
fn if_match(request: &HttpRequest, there: &CatalogRow) -> Option<RowTag> {
    let text = request
        .headers()
        .get(header::IF_MATCH)?
        .to_str()
        .unwrap_or_default()
        .trim();
    let etag = etag(there);
    match text {
        "*" => None,
        text if text.split(',').any(|one| one.trim() == etag) => Some(there.tag()),
        _ => Some(RowTag([0; 32])),
    }
}

/// An answer of one field, for calls that have no row to show.
pub(super) fn ok() -> HttpResponse {
    HttpResponse::Ok().json(json!({"ok": true}))
}
