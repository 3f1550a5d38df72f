use crate::{Ctx, HeldBody};
use bytes::Bytes;
use model::vars::{Lookup, Value, VarName};
use wire::{BodyError, ResponseHead};

/// Fields that say something of a body's bytes; what was calculated of others is wrong.
const OF_THE_BYTES: [&str; 7] =
    ["Content-Encoding", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest", "Accept-Ranges", "Content-Range"];

/// An upstream's answer that is held back, head and all.
#[derive(Debug)]
pub struct Response {
    /// Its head.
    pub head: ResponseHead,
    held: HeldBody,
    /// Why the body is not in memory.
    missing: Option<BodyError>,
    other: Option<Bytes>,
}

impl Response {
    /// With what of its body is in memory, and why that is not all.
    pub fn new(head: ResponseHead, held: HeldBody, missing: Option<BodyError>) -> Self {
        Self { head, held, missing, other: None }
    }

    /// The whole body as it came, or as it was replaced.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`]: it is longer than `max` bytes; [`BodyError::NoBudget`]: too much else is in memory.
    pub fn body(&self, max: u64) -> Result<&[u8], BodyError> {
        let body = match (&self.other, &self.missing) {
            (Some(other), _) => other,
            (None, Some(missing)) => return Err(missing.clone()),
            (None, None) => self.held.bytes(),
        };
        if body.len() as u64 > max { Err(BodyError::TooLarge(max)) } else { Ok(body) }
    }

    /// Puts another body in its place, which has no coding, and takes away or corrects what the head says of the one that was there.
    pub fn replace(&mut self, body: Bytes) {
        let fields = &mut self.head.fields;
        for name in OF_THE_BYTES {
            fields.remove(name);
        }
        if fields.contains("content-length") {
            fields.set("Content-Length", body.len().to_string().as_bytes());
        }
        // It is still of the same thing, but not byte for byte (RFC 9110, section 8.8.1).
        if let Some(tag) = fields.get("etag").filter(|tag| !tag.starts_with(b"W/")) {
            let weak = [b"W/", tag].concat();
            fields.set("ETag", &weak);
        }
        self.other = Some(body);
    }

    /// The head, what is to be sent in place of what was held, and whether that is another body and not the one that came. The
    /// memory counts until the last is dropped.
    pub fn into_parts(mut self) -> (ResponseHead, Bytes, bool, HeldBody) {
        let is_other = self.other.is_some();
        let body = self.other.take().unwrap_or_else(|| self.held.take());
        (self.head, body, is_other, self.held)
    }
}

/// Variables as a header filter sees them: those of the response are what its head says now.
#[allow(missing_debug_implementations)]
pub struct ResponseView<'a> {
    /// The request.
    pub cx: &'a Ctx,
    /// The response's head.
    pub head: &'a ResponseHead,
}

impl Lookup for ResponseView<'_> {
    fn var(&self, name: &VarName) -> Value<'_> {
        match name {
            VarName::Status => format!("{:03}", self.head.status).into(),
            VarName::SentHttp(header) => crate::vars::field(&self.head.fields, header),
            name => self.cx.var(name),
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::{BodyLimits, testing};
    use wire::Source;

    #[test]
    fn what_the_head_says_counts() {
        let cx = testing::ctx("GET", "/a", &[]);
        let mut head = ResponseHead::new(404, Source::Upstream);
        head.fields.push(b"X-A", b"1");
        let view = ResponseView { cx: &cx, head: &head };
        for (name, expected) in [("status", "404"), ("sent_http_x_a", "1"), ("sent_http_x_b", ""), ("uri", "/a")] {
            let mut text = Vec::new();
            view.var(&VarName::parse(name)).write_to(&mut text);
            assert_eq!(text, expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn another_body_is_not_described_by_what_was_said_of_the_first() {
        let limits = BodyLimits::default();
        let mut held = HeldBody::new(&limits, 10);
        held.push(b"12345").unwrap();
        let mut head = ResponseHead::new(200, Source::Upstream);
        for (name, value) in [
            ("Content-Length", "5"),
            ("Content-Encoding", "gzip"),
            ("ETag", "\"a\""),
            ("Digest", "sha-256=x"),
            ("Repr-Digest", "sha-256=:x:"),
            ("Content-Type", "text/plain"),
        ] {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        let mut response = Response::new(head, held, None);
        assert_eq!(response.body(5), Ok(&b"12345"[..]));
        assert_eq!(response.body(4), Err(BodyError::TooLarge(4)));
        response.replace(Bytes::from_static(b"123"));
        assert_eq!(response.body(4), Ok(&b"123"[..]));
        assert_eq!(limits.held(), 5);
        let (head, body, is_other, held) = response.into_parts();
        let fields: Vec<(&[u8], &[u8])> = head.fields.iter().collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"Content-Length", b"3"), (b"ETag", b"W/\"a\""), (b"Content-Type", b"text/plain")];
        assert_eq!((fields, &*body, is_other), (expected.to_vec(), &b"123"[..], true));
        drop(held);
        assert_eq!(limits.held(), 0);
    }
}
