//! The admin routes.

pub mod addresses;
pub mod catalog;
pub mod codes;
pub mod events;
pub mod live;
pub mod mask;
pub mod nodes;
pub mod online;
pub mod records;
pub mod rows;
pub mod suspects;
pub mod tokens;

use actix_web::{HttpRequest, HttpResponse, http::header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use uuid::Uuid;

use crate::{
    admin::Desk,
    auth::admins::{Admin, Admins},
    model::{Time, secrets::Role},
    store::{Change, Page},
};

use super::{error::ApiError, from};

/// What the admin routes work with.
pub struct Door {
    /// Who calls.
    pub admins: Admins,
    /// What they work with.
    pub desk: Desk,
    /// Who reads along.
    pub feed: events::Feed,
}

type Answer = Result<HttpResponse, ApiError>;

/// The items of a page when nobody says how many.
const PAGE: u32 = 100;

/// The most items of a page.
const PAGE_MAX: u32 = 1_000;

impl Door {
    async fn reader(&self, request: &HttpRequest) -> Result<Admin, ApiError> {
        self.admit(request, Role::Viewer).await
    }

    async fn admit(&self, request: &HttpRequest, needs: Role) -> Result<Admin, ApiError> {
        let from = from(self.admins.guard(), request);
        Ok(self.admins.admit(bearer(request), needs, from).await?)
    }

    async fn writer(&self, request: &HttpRequest) -> Result<Change, ApiError> {
        let admin = self.admit(request, Role::Admin).await?;
        let request_id = request
            .headers()
            .get("x-request-id")
            .and_then(|id| id.to_str().ok())
            .filter(|id| id.len() <= 128);
        Ok(Change {
            actor: admin.name,
            address: Some(from(self.admins.guard(), request).to_string()),
            request_id: Some(request_id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)),
            at: self.desk.clock.now(),
        })
    }
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    let query = actix_web::web::Query::<T>::from_query(request.query_string());
    query
        .map(actix_web::web::Query::into_inner)
        .map_err(|error| ApiError::bad_request(format!("the query can't be read: {error}")))
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

fn page(request: &HttpRequest) -> Result<Page, ApiError> {
    let PageQuery { limit, cursor } = query(request)?;
    let limit = page_limit(limit)?;
    let before = cursor.filter(|it| !it.is_empty()).map(|it| it.parse()).transpose();
    Ok(Page {
        before: before.map_err(|_| ApiError::bad_request("cursor is not one that a list gave"))?,
        limit,
    })
}

fn page_limit(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit must be between 1 and {PAGE_MAX}")));
    }
    Ok(limit)
}

/// A page as it is sent. A full one says where the next begins.
fn listed<T: Serialize>(page: Page, items: &[T], id: impl Fn(&T) -> i64) -> HttpResponse {
    let next = (items.len() == page.limit as usize)
        .then(|| items.last().map(|last| id(last).to_string()))
        .flatten();
    HttpResponse::Ok().json(json!({"items": items, "nextCursor": next}))
}

/// A time in a query, or else this one.
fn moment(field: &str, text: Option<&str>, default: Time) -> Result<Time, ApiError> {
    match text.map(Time::parse_rfc3339) {
        None => Ok(default),
        Some(Some(at)) => Ok(at),
        Some(None) => Err(ApiError::bad_request(format!("{field} must be an RFC 3339 time"))),
    }
}

/// The id in a path. What is no number names nothing.
fn path_id<T: std::str::FromStr>(request: &HttpRequest, name: &str, what: &str) -> Result<T, ApiError> {
    request
        .match_info()
        .query(name)
        .parse()
        .map_err(|_| ApiError::missing(what))
}
