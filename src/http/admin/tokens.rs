//! `/admin/tokens`

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;

use crate::{
    admin::tokens,
    http::{
        body::{self, Int},
        error::ApiError,
    },
    model::secrets::Role,
};

use super::{Answer, Door, listed, page, path_id};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenDto {
    name: String,
    role: String,
    ttl_seconds: Option<Int>,
}

/// `POST /admin/tokens`
pub async fn create(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let by = door.writer(&request).await?;
    let dto: TokenDto = body::json(&request, payload).await?;
    let role: Role = dto
        .role
        .parse()
        .map_err(|_| ApiError::bad_request("role must be admin or viewer"))?;
    let seconds = dto.ttl_seconds.map(|it| u64::try_from(it.0)).transpose();
    let seconds = seconds.map_err(|_| ApiError::bad_request("ttlSeconds must be at least 1"))?;
    let order = (dto.name.as_str(), role, seconds.map(Duration::from_secs));
    let (secret, token) = tokens::create(door.desk.store.as_ref(), &door.desk.clock, order, &by).await?;
    Ok(HttpResponse::Created().json(json!({
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "token": secret.expose_secret(),
        "expiresAt": token.expires_at,
    })))
}

/// `GET /admin/tokens`
pub async fn list(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let page = page(&request)?;
    Ok(listed(page, &door.desk.tokens(page).await?, |token| token.id.0))
}

/// `GET /admin/tokens/{id}`
pub async fn one(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let id = path_id(&request, "id", "token")?;
    Ok(HttpResponse::Ok().json(door.desk.token(id).await?))
}

/// `DELETE /admin/tokens/{id}`
pub async fn remove(door: Data<Door>, request: HttpRequest) -> Answer {
    let by = door.writer(&request).await?;
    door.desk.delete_token(path_id(&request, "id", "token")?, &by).await?;
    Ok(HttpResponse::NoContent().finish())
}
