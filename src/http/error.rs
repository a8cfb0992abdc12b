//! Every error that leaves over HTTP, in one shape and one table.

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use crate::{
    admin::AdminError,
    auth::{AuthError, admins::AdminAuthError, registration::RegisterError, whole_seconds},
    node::NodeError,
    store::StoreError,
};

/// When a caller should come back, where nobody knows better: longer than a hiccup, shorter than an agent's patience.
const COME_BACK: Duration = Duration::from_secs(2);

/// An error as it is sent: `{"statusCode":400,"error":"Bad Request","message":"…"}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// An error that a repeat does not mend.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The same below this path.
    pub fn within(self, path: &str) -> Self {
        Self {
            message: format!("{path}.{}", self.message),
            ..self
        }
    }

    /// 404.
    pub fn missing(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }

    /// 503, with the time to wait.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(COME_BACK),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }

    /// Its body.
    pub fn to_json(&self) -> Value {
        json!({
            "statusCode": self.status.as_u16(),
            "error": self.status.canonical_reason().unwrap_or("Error"),
            "message": self.message,
        })
    }

    /// 429, with the time to wait.
    pub fn too_many(message: impl Into<String>, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, message)
        }
    }

    fn internal(message: impl fmt::Display) -> Self {
        tracing::error!(error = %message, "a call failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Core failed: its log says why")
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(wait) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, whole_seconds(wait).to_string()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(self.to_json())
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unknown => Self::new(StatusCode::UNAUTHORIZED, error.to_string()),
            AuthError::Unsure => Self::unavailable(error.to_string()),
            AuthError::TooMany(wait) => Self::too_many(error.to_string(), wait),
        }
    }
}

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        match error {
            // The key is good, but its node was deleted a moment ago.
            NodeError::Missing => AuthError::Unknown.into(),
            NodeError::Busy | NodeError::NotDurable(_) => Self::unavailable(error.to_string()),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Away(_) => Self::unavailable("the store is away: try again soon"),
            StoreError::Refused { .. } => Self::bad_request(error.to_string()),
            StoreError::Contradiction(_) | StoreError::Broken(_) => Self::internal(error),
        }
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::BadCode => Self::new(StatusCode::UNAUTHORIZED, error.to_string()),
            RegisterError::NameTaken => Self::new(StatusCode::CONFLICT, error.to_string()),
            RegisterError::Store(error) => error.into(),
        }
    }
}

impl From<AdminAuthError> for ApiError {
    fn from(error: AdminAuthError) -> Self {
        match error {
            AdminAuthError::Unknown => Self::new(StatusCode::UNAUTHORIZED, error.to_string()),
            AdminAuthError::ReadOnly => Self::new(StatusCode::FORBIDDEN, error.to_string()),
            AdminAuthError::TooMany(wait) => Self::too_many(error.to_string(), wait),
            AdminAuthError::Store(error) => error.into(),
        }
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Missing(what) => Self::missing(what),
            AdminError::Invalid(message) => Self::bad_request(message),
            AdminError::InBatch { .. } => Self::bad_request(error.to_string()),
            AdminError::Stale => Self::new(StatusCode::PRECONDITION_FAILED, error.to_string()),
            AdminError::NameTaken | AdminError::Decided => Self::new(StatusCode::CONFLICT, error.to_string()),
            AdminError::Busy(_) => Self::unavailable(error.to_string()),
            AdminError::Store(error) => error.into(),
            AdminError::Node(NodeError::Missing) => Self::missing("node"),
            AdminError::Node(error) => Self::unavailable(error.to_string()),
        }
    }
}

/// 404 for a path that is none of ours.
pub async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is no such route")
}

/// 405 for a method that a route does not have.
pub async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "the route does not have this method")
}

impl actix_web::Responder for ApiError {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &actix_web::HttpRequest) -> HttpResponse {
        self.error_response()
    }
}
