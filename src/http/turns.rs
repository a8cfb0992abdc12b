//! Tells a connection whose turn it is, and keeps its requests within its limits.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{Method, StatusCode},
    middleware::Next,
    web::Bytes,
};

use crate::connection::{Limits, Turn, Turns};

use super::error::ApiError;

/// A middleware for all routes.
pub async fn turns<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Answering>, Error> {
    let Some(turns) = request.conn_data::<Arc<Turns>>() else {
        // An application without a listener has no connections.
        return Ok(answering(next.call(request).await?, None));
    };
    let turn = turns.begin();
    let refusal = request
        .conn_data::<Limits>()
        .and_then(|limits| refusal(&request, limits));
    if let Some(refusal) = refusal {
        turn.answered();
        let answer = actix_web::ResponseError::error_response(&refusal);
        return Ok(answering(request.into_response(answer), Some(turn)));
    }
    let no_body =
        matches!(request.parts_mut().1, Payload::None) || [Method::GET, Method::HEAD].contains(request.method());
    if no_body {
        turn.whole();
    }
    request.extensions_mut().insert(Arc::clone(&turn));
    let answer = next.call(request).await?;
    turn.answered();
    Ok(answering(answer, Some(turn)))
}

fn answering<B: MessageBody + 'static>(
    answer: ServiceResponse<B>,
    turn: Option<Arc<Turn>>,
) -> ServiceResponse<Answering> {
    let answer = answer.map_into_boxed_body();
    answer.map_body(|_, inner| Answering { inner, _turn: turn })
}

/// The whole of this request was read.
pub fn whole(request: &HttpRequest) {
    if let Some(turn) = request.extensions().get::<Arc<Turn>>() {
        turn.whole();
    }
}

fn refusal(request: &ServiceRequest, limits: &Limits) -> Option<ApiError> {
    let size: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    (size > usize::try_from(limits.header_bytes).unwrap_or(usize::MAX)).then(|| {
        ApiError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("the headers are larger than {} bytes", limits.header_bytes),
        )
    })
}

/// An answer's body: its turn is over when the last of it is taken.
pub struct Answering {
    inner: BoxBody,
    _turn: Option<Arc<Turn>>,
}

impl MessageBody for Answering {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.inner.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.inner).poll_next(cx)
    }
}
