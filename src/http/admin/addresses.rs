//! Where users were seen.

use std::net::IpAddr;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde_json::json;

use crate::{
    http::error::ApiError,
    model::{UserId, presence::UserIp},
};

use super::{Answer, Door, PageQuery, page_limit, path_id, query};

/// `GET /admin/users/{id}/ips`, in the order of the addresses.
pub async fn list(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let user: UserId = path_id(&request, "id", "user")?;
    let PageQuery { limit, cursor } = query(&request)?;
    let limit = page_limit(limit)?;
    let after: Option<IpAddr> = cursor
        .filter(|it| !it.is_empty())
        .map(|it| it.parse())
        .transpose()
        .map_err(|_| ApiError::bad_request("cursor is not one that a list gave"))?;
    let rows = door.desk.user_ips(user, after, limit).await?;
    let next = (rows.len() == limit as usize)
        .then(|| rows.last().map(|last| last.ip))
        .flatten();
    let items: Vec<_> = rows.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": next})))
}

fn shown(row: &UserIp) -> serde_json::Value {
    json!({
        "ip": row.ip,
        "firstSeenAt": row.first_seen_at,
        "lastSeenAt": row.last_seen_at,
        "info": row.info,
    })
}
