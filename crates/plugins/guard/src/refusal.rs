//! Refusals as this family words them.

use crate::content::Unreadable;
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

/// How a plugin of limits refuses: with a configured status, and with configured words or the reason.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) status: u16,
    pub(crate) message: Option<String>,
}

impl Rejection {
    /// What exceeds a limit.
    pub(crate) fn because(&self, reason: &str) -> Reply {
        self.reply(self.status, reason)
    }

    /// A body that cannot be looked into.
    pub(crate) fn unreadable(&self, unreadable: &Unreadable) -> Reply {
        self.reply(unreadable.status_or(self.status), unreadable.reason)
    }

    pub(crate) fn reply(&self, status: u16, reason: &str) -> Reply {
        error_msg(status, self.message.as_deref().unwrap_or(reason))
    }
}

/// A status that can be written in a status line; the schemas name no upper bound.
pub(crate) fn status(code: u64) -> Result<u16, BuildError> {
    let status = u16::try_from(code).ok().filter(|status| (200..=999).contains(status));
    status.ok_or_else(|| BuildError(format!("rejected_code {code} is no status")))
}
