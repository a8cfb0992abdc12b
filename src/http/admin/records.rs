//! `/admin/rejected` and `/admin/audit`

use actix_web::{HttpRequest, web::Data};
use serde::Deserialize;

use crate::{http::error::ApiError, store::RejectedTable};

use super::{Answer, Door, listed, page, query};

#[derive(Deserialize)]
struct RejectedQuery {
    kind: Option<String>,
}

/// `GET /admin/rejected?kind=usage|events`
pub async fn rejected(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let RejectedQuery { kind } = query(&request)?;
    let table = match kind.as_deref() {
        None | Some("usage") => RejectedTable::Usage,
        Some("events") => RejectedTable::Events,
        Some(_) => return Err(ApiError::bad_request("kind must be usage or events")),
    };
    let page = page(&request)?;
    Ok(listed(page, &door.desk.rejected(table, page).await?, |row| row.id))
}

/// `GET /admin/audit`
pub async fn audit(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let page = page(&request)?;
    Ok(listed(page, &door.desk.audit(page).await?, |row| row.id))
}
