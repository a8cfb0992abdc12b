//! `/admin/online`: who is connected now, in the order of nodes, users and inbounds.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::error::ApiError,
    model::{NodeId, ProtocolId, UserId},
    presence::{Place, Wanted},
};

use super::{Answer, Door, page_limit, query};

#[derive(Deserialize)]
struct OnlineQuery {
    node: Option<i64>,
    protocol: Option<i64>,
    user: Option<i64>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// `GET /admin/online`
pub async fn list(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let OnlineQuery {
        node,
        protocol,
        user,
        limit,
        cursor,
    } = query(&request)?;
    let limit = page_limit(limit)?;
    let after = cursor.filter(|it| !it.is_empty()).map(|it| place(&it)).transpose()?;
    let limit = limit as usize;
    let wanted = Wanted {
        node: node.map(NodeId),
        protocol: protocol.map(ProtocolId),
        user: user.map(UserId),
        after,
        limit,
    };
    let online = door.desk.online(wanted).await?;
    let full = online.len() == limit;
    let next = online.last().filter(|_| full).map(|(node, user)| {
        let (UserId(user), ProtocolId(protocol)) = (user.user_id, user.node_protocol_id);
        format!("{node}_{user}_{protocol}")
    });
    let items: Vec<Value> = online
        .into_iter()
        .map(|(node, user)| {
            json!({"nodeId": node, "userId": user.user_id, "nodeProtocolId": user.node_protocol_id, "ips": user.ips})
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({"items": items, "nextCursor": next})))
}

fn place(cursor: &str) -> Result<Place, ApiError> {
    let numbers: Result<Vec<i64>, _> = cursor.split('_').map(str::parse).collect();
    match numbers.as_deref() {
        Ok([node, user, protocol]) => Ok((NodeId(*node), UserId(*user), ProtocolId(*protocol))),
        _ => Err(ApiError::bad_request("cursor is not one that a list gave")),
    }
}
