//! Refusals as this family words them.

use plugin::{BuildError, Reply};
use serde_json::json;

/// `{"message": ...}`
pub(crate) fn message(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({ "message": text }))
}

/// `{"error_msg": ...}`
pub(crate) fn error_msg(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({ "error_msg": text }))
}

/// A status that can be written in a status line; the schemas name no upper bound.
pub(crate) fn status(code: u64) -> Result<u16, BuildError> {
    let status = u16::try_from(code).ok().filter(|status| (200..=999).contains(status));
    status.ok_or_else(|| BuildError(format!("rejected_code {code} is no status")))
}
