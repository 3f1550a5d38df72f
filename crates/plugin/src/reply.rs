use bytes::Bytes;
use wire::Fields;

/// A response that a plugin or the gateway makes itself.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header fields.
    pub fields: Fields,
    /// The body.
    pub body: ReplyBody,
}

/// A reply's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyBody {
    /// None was given: statuses from 300 on get the default HTML page, as nginx does.
    Default,
    /// These bytes.
    Bytes(Bytes),
}

impl Reply {
    /// A reply without a body of its own.
    pub fn status(status: u16) -> Self {
        Self { status, fields: Fields::new(), body: ReplyBody::Default }
    }

    /// A reply with a text as it is.
    pub fn text(status: u16, text: impl Into<Bytes>) -> Self {
        Self { status, fields: Fields::new(), body: ReplyBody::Bytes(text.into()) }
    }

    /// A reply with a JSON value followed by a newline, as APISIX's exit helper writes tables. Sets no `Content-Type`:
    /// nginx's `default_type` gives one.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::text(status, format!("{value}\n"))
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.fields.push(name.as_bytes(), value);
        self
    }
}

/// A refusal declared in one place: status and message together.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The text of `message`.
    pub message: &'static str,
}

/// Declares a refusal that is answered `{"message": ...}`.
pub const fn refuse(status: u16, message: &'static str) -> Refusal {
    Refusal { status, message }
}

impl Refusal {
    /// The reply that tells it.
    pub fn reply(&self) -> Reply {
        Reply::json(self.status, &serde_json::json!({ "message": self.message }))
    }
}
