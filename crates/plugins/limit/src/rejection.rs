use model::differences::{Compat, DifferenceId};
use plugin::Reply;
use serde_json::json;
use wire::Text;

/// The answer to what is over a limit.
pub(crate) struct Rejection {
    reply: Reply,
    /// Whether it says when to come again.
    says_when: bool,
}

impl Rejection {
    pub(crate) fn compile(code: u16, message: Option<&str>, compat: Compat) -> Self {
        let reply = match message {
            Some(message) => Reply::json(code, &json!({ "error_msg": message })),
            None => Reply::status(code),
        };
        Self { reply, says_when: matches!(code, 429 | 503) && compat.is_safe(DifferenceId::RetryAfter) }
    }

    /// The answer, when there may be room again in `seconds`.
    pub(crate) fn reply(&self, seconds: f64) -> Reply {
        let reply = self.reply.clone();
        if self.says_when { reply.with("Retry-After", &Text::decimal((seconds.ceil() as u64).max(1))) } else { reply }
    }
}
