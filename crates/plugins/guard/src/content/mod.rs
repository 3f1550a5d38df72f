//! Request bodies as this family looks at them: bounded, without their coding, and as values.

mod coding;
pub(crate) mod form;
mod media;
pub(crate) mod multipart;
mod text;
mod tree;

pub(crate) use media::Media;
pub(crate) use text::special;
pub(crate) use tree::{Tree, Trees};

use bytes::Bytes;
use plugin::{BodyLimits, Ctx, HeldBody};
use wire::{BodyError, Fields};

/// A body in memory, as it came and as it is to be read.
pub(crate) struct Content {
    raw: Bytes,
    decoded: Option<HeldBody>,
}

/// A body that cannot be looked into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Unreadable {
    /// The status that says so.
    pub(crate) status: u16,
    /// One of a closed set of texts.
    pub(crate) reason: &'static str,
}

impl Unreadable {
    const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// The status to answer with: what the client did wrong is answered as it is configured, what it may not do as it is named.
    pub(crate) const fn status_or(&self, configured: u16) -> u16 {
        if self.status == 400 { configured } else { self.status }
    }
}

impl From<BodyError> for Unreadable {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(_) => Self::new(413, "the request body is too large"),
            BodyError::NoBudget => Self::new(503, "no memory is left for the request body"),
            BodyError::TimedOut => Self::new(408, "the request body did not arrive in time"),
            BodyError::Malformed(_) | BodyError::Gone => Self::new(400, "the request body is incomplete"),
        }
    }
}

/// Whether a body with these fields is coded.
pub(crate) fn is_coded(fields: &Fields) -> bool {
    coding::is_coded(fields)
}

/// A body without the coding that its fields name, at most `max` bytes long; `None` where they name none.
pub(crate) fn decode(
    fields: &Fields,
    body: &[u8],
    limits: &BodyLimits,
    max: u64,
) -> Result<Option<HeldBody>, Unreadable> {
    coding::decode(fields, body, HeldBody::new(limits, max))
}

impl Content {
    /// Reads at most `max` bytes, as they came.
    pub(crate) async fn read_raw(cx: &mut Ctx, max: usize) -> Result<Self, Unreadable> {
        Ok(Self { raw: cx.request.body.bytes(max).await?, decoded: None })
    }

    /// Reads a body that is at most `max` bytes long, also without its coding, of which there may be one.
    pub(crate) async fn read(cx: &mut Ctx, max: usize) -> Result<Self, Unreadable> {
        let mut content = Self::read_raw(cx, max).await?;
        if !content.raw.is_empty() {
            let room = HeldBody::new(cx.request.body.limits(), max as u64);
            content.decoded = coding::decode(&cx.request.fields, &content.raw, room)?;
        }
        Ok(content)
    }

    /// What it says.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.decoded.as_ref().map_or(&self.raw, HeldBody::bytes)
    }
}
