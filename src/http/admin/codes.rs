//! `/admin/registration-codes`

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;

use crate::{
    admin::codes::{self, CodeOrder, DEFAULT_TTL},
    http::{
        body::{self, Int},
        error::ApiError,
    },
    model::NodeId,
};

use super::{Answer, Door, listed, page, path_id};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CodeDto {
    name: Option<String>,
    node_id: Option<Int>,
    ttl_seconds: Option<Int>,
    uses: Option<Int>,
}

/// `POST /admin/registration-codes`
pub async fn create(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let by = door.writer(&request).await?;
    let dto: CodeDto = body::json_or_empty(&request, payload).await?;
    let ttl = match dto.ttl_seconds {
        None => DEFAULT_TTL,
        Some(Int(seconds)) => Duration::from_secs(
            u64::try_from(seconds).map_err(|_| ApiError::bad_request("ttlSeconds must be between 1 and 31536000"))?,
        ),
    };
    let order = CodeOrder {
        name: dto.name,
        node_id: dto.node_id.map(|it| NodeId(it.0)),
        ttl,
        uses: dto.uses.map_or(1, |it| it.0),
    };
    let (secret, code) = codes::create(door.desk.store.as_ref(), &door.desk.clock, order, &by).await?;
    Ok(HttpResponse::Created().json(json!({
        "id": code.id,
        "name": code.name,
        "nodeId": code.node_id,
        "code": secret.expose_secret(),
        "expiresAt": code.expires_at,
        "usesLeft": code.uses_left,
    })))
}

/// `GET /admin/registration-codes`
pub async fn list(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let page = page(&request)?;
    Ok(listed(page, &door.desk.codes(page).await?, |code| code.id.0))
}

/// `GET /admin/registration-codes/{id}`
pub async fn one(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let id = path_id(&request, "id", "registration code")?;
    Ok(HttpResponse::Ok().json(door.desk.code(id).await?))
}

/// `DELETE /admin/registration-codes/{id}`
pub async fn remove(door: Data<Door>, request: HttpRequest) -> Answer {
    let by = door.writer(&request).await?;
    door.desk
        .delete_code(path_id(&request, "id", "registration code")?, &by)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
