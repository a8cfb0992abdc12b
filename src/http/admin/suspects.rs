//! `/admin/suspect`

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Deserialize;

use crate::model::suspect::Decision;

use super::{Answer, Door, listed, page, path_id, query};

#[derive(Deserialize)]
struct SuspectQuery {
    decided: Option<bool>,
}

/// `GET /admin/suspect?decided=false`
pub async fn list(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let SuspectQuery { decided } = query(&request)?;
    let page = page(&request)?;
    Ok(listed(page, &door.desk.suspects(decided, page).await?, |row| row.id))
}

/// `POST /admin/suspect/{id}/accept`
pub async fn accept(door: Data<Door>, request: HttpRequest) -> Answer {
    judge(&door, &request, Decision::Accepted).await
}

/// `POST /admin/suspect/{id}/void`
pub async fn void(door: Data<Door>, request: HttpRequest) -> Answer {
    judge(&door, &request, Decision::Voided).await
}

async fn judge(door: &Door, request: &HttpRequest, decision: Decision) -> Answer {
    let by = door.writer(request).await?;
    let id = path_id(request, "id", "suspect usage")?;
    Ok(HttpResponse::Ok().json(door.desk.judge_suspect(id, decision, &by).await?))
}
