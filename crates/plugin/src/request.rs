use bytes::{Bytes, BytesMut};
use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};
use wire::{BodyError, BodyLength, BodySource, Fields, Frame, Method, Version};

/// The request as the chain sees it. Plugins change `fields`; method, target and host of the upstream request are
/// changed in [`crate::UpstreamRequest`].
#[allow(missing_debug_implementations)]
pub struct Request {
    /// The method as received.
    pub method: Method,
    /// The target as received: path and query.
    pub target: Vec<u8>,
    /// The version in which it was received.
    pub version: Version,
    /// Header fields, as later plugins and the upstream will see them.
    pub fields: Fields,
    /// The authority as received (`Host`), with its port if it had one.
    pub authority: Vec<u8>,
    /// The host in lower case without port and trailing dot; what routing sees.
    pub host: String,
    /// The canonical path, see [`wire::path::MatchPath`].
    pub path: Vec<u8>,
    /// The raw query, without `?`.
    pub query: Option<Vec<u8>>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The body.
    pub body: RequestBody,
}

impl Request {
    /// The first value of a query argument, decoded.
    pub fn arg(&self, name: &[u8]) -> Option<Vec<u8>> {
        let query = self.query.as_deref()?;
        query.split(|&b| b == b'&').find_map(|pair| {
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let key = halves.next()?;
            if key.is_empty() || *wire::path::decode_query(key) != *name {
                return None;
            }
            Some(wire::path::decode_query(halves.next().unwrap_or_default()).into_owned())
        })
    }

    /// A cookie's value.
    pub fn cookie(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.get_all("cookie").flat_map(|line| line.split(|&b| b == b';')).find_map(|pair| {
            let pair = pair.trim_ascii();
            let (key, value) = pair.split_at_checked(pair.iter().position(|&b| b == b'=')?)?;
            (key == name).then(|| value.get(1..).unwrap_or_default())
        })
    }
}

/// A request's body: still at the client, or read into memory by the first plugin that needs it.
#[allow(missing_debug_implementations)]
pub struct RequestBody {
    source: Rc<dyn BodySource>,
    buffered: Option<Bytes>,
    offset: bool,
    started: bool,
}

impl RequestBody {
    /// A body that is still at the client.
    pub fn new(source: Rc<dyn BodySource>) -> Self {
        Self { source, buffered: None, offset: false, started: false }
    }

    /// What is known of the length.
    pub fn length(&self) -> BodyLength {
        match &self.buffered {
            Some(bytes) if bytes.is_empty() => BodyLength::None,
            Some(bytes) => BodyLength::Exact(bytes.len() as u64),
            None => self.source.length(),
        }
    }

    /// Whether the whole body is in memory.
    pub fn is_buffered(&self) -> bool {
        self.buffered.is_some()
    }

    /// The whole body when it is in memory.
    pub fn buffered(&self) -> Option<&Bytes> {
        self.buffered.as_ref()
    }

    /// Whether nothing of it has been passed on, so that the request can be sent again.
    pub fn is_replayable(&self) -> bool {
        self.buffered.is_some() || !self.started || self.source.length() == BodyLength::None
    }

    /// Goes back to the start of a buffered body.
    pub fn rewind(&mut self) {
        self.offset = false;
    }

    /// The whole body, read into memory if it was not; at most `max` bytes.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] above `max`, or what reading it ended with.
    pub async fn bytes(&mut self, max: usize) -> Result<Bytes, BodyError> {
        if let Some(bytes) = &self.buffered {
            return if bytes.len() > max { Err(BodyError::TooLarge(max as u64)) } else { Ok(bytes.clone()) };
        }
        if let BodyLength::Exact(n) = self.source.length()
            && n > max as u64
        {
            return Err(BodyError::TooLarge(max as u64));
        }
        let mut whole = BytesMut::new();
        loop {
            match poll_fn(|cx| self.source.poll_frame(cx)).await? {
                Frame::Data(data) => {
                    if whole.len() + data.len() > max {
                        return Err(BodyError::TooLarge(max as u64));
                    }
                    whole.extend_from_slice(&data);
                }
                // Trailers of a request that was read whole are dropped, as RFC 9110, section 6.5.1 allows.
                Frame::Trailers(_) => {}
                Frame::End => break,
            }
        }
        let whole = whole.freeze();
        self.buffered = Some(whole.clone());
        Ok(whole)
    }

    /// Puts another body in its place.
    pub fn replace(&mut self, bytes: Bytes) {
        self.buffered = Some(bytes);
        self.offset = false;
    }

    /// Pulls the next frame to pass on upstream.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        if let Some(bytes) = &self.buffered {
            let frame = if self.offset || bytes.is_empty() { Frame::End } else { Frame::Data(bytes.clone()) };
            self.offset = true;
            return Poll::Ready(Ok(frame));
        }
        let polled = self.source.poll_frame(cx);
        self.started |= polled.is_ready();
        polled
    }
}
