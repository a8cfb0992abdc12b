//! Every error that leaves over gRPC, in one table.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{auth::AuthError, node::NodeError};

impl From<AuthError> for Status {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unknown => Self::unauthenticated(error.to_string()),
            AuthError::Unsure => Self::unavailable(error.to_string()),
            AuthError::TooMany(wait) => {
                let details = ErrorDetails::with_retry_info(Some(wait));
                Self::with_error_details(Code::ResourceExhausted, error.to_string(), details)
            }
        }
    }
}

impl From<NodeError> for Status {
    fn from(error: NodeError) -> Self {
        match error {
            // The key is good, but its node was deleted a moment ago.
            NodeError::Missing => AuthError::Unknown.into(),
            NodeError::Busy | NodeError::NotDurable(_) => Self::unavailable(error.to_string()),
        }
    }
}
