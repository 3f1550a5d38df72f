//! One connection to an upstream.

use super::{
    Framing,
    encode::{self, OutFraming},
    incoming::Incoming,
    parse,
    queue::Queue,
};
use crate::{
    Limits, buffers,
    tls::{Secure, Stream, TlsId},
};
use bytes::{Buf, BytesMut};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;
use wire::{BodyLength, Fields, Frame, Method, ResponseHead};

/// Room for at least so much of a head is made before each read.
const HEAD_BUFFER: usize = 1 << 10;
const TUNNEL_BUFFER: usize = 16 << 10;
/// Interim responses before a final one.
const MAX_INTERIM: u32 = 16;

/// Whose fault it is and whether the request may be tried again is decided by the exchange from these.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The connection ended before the first byte of an answer.
    #[error("the upstream closed the connection before it answered")]
    Closed,
    /// It ended in the middle of an answer.
    #[error("the upstream closed the connection in the middle of its answer")]
    Truncated,
    /// The answer is not HTTP, or ambiguous.
    #[error("the upstream's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The operating system's error.
    #[error("the connection to the upstream failed: {0}")]
    Io(#[from] io::Error),
}

/// A connection to an upstream, between or within exchanges.
#[derive(Debug)]
pub struct Client {
    io: Stream,
    read: BytesMut,
    scanned: usize,
    queue: Queue,
    out: OutFraming,
    body: Incoming,
    is_head: bool,
    is_reusable: bool,
    has_answer: bool,
    is_answered: bool,
    interim: u32,
    written: u64,
    received: u64,
    is_upgraded: bool,
    /// Requests sent on it.
    pub requests: u64,
    /// When it was connected.
    pub born: Instant,
    /// When bytes last moved, or when it was put back into its pool.
    pub last_progress: Instant,
}

impl Client {
    /// Connects, over TLS if it is told how. The caller bounds the time.
    ///
    /// # Errors
    /// The operating system's, or why there is no TLS.
    pub async fn connect(addr: SocketAddr, secure: Option<Secure<'_>>) -> io::Result<Self> {
        Stream::connect(addr, secure).await.map(Self::over)
    }

    /// On a connection that somebody else has made and nothing was sent on.
    pub fn over(io: impl Into<Stream>) -> Self {
        let now = crate::now();
        Self {
            io: io.into(),
            read: BytesMut::new(),
            scanned: 0,
            queue: Queue::default(),
            out: OutFraming::None,
            body: Incoming::Done,
            is_head: false,
            is_reusable: true,
            has_answer: false,
            is_answered: true,
            interim: 0,
            written: 0,
            received: 0,
            is_upgraded: false,
            requests: 0,
            born: now,
            last_progress: now,
        }
    }

    /// Queues a request's head.
    pub fn send_head(
        &mut self,
        method: &Method,
        target: &[u8],
        host: &[u8],
        fields: &Fields,
        body: BodyLength,
        upgrade: Option<&[u8]>,
    ) {
        self.requests += 1;
        self.is_head = *method == Method::Head;
        self.has_answer = false;
        self.is_answered = false;
        self.interim = 0;
        self.scanned = 0;
        self.written = 0;
        self.received = 0;
        self.last_progress = crate::now();
        self.out = match body {
            // A request that usually has a body says that it has none (RFC 9110, section 8.6).
            BodyLength::None if matches!(method, Method::Post | Method::Put | Method::Patch) => OutFraming::Length(0),
            BodyLength::None => OutFraming::None,
            BodyLength::Exact(n) => OutFraming::Length(n),
            BodyLength::Unknown => OutFraming::Chunked,
        };
        encode::request_head(self.queue.tail(), method, target, host, fields, self.out, upgrade);
    }

    /// Queues a frame of the request's body; says whether it fits what the head promised.
    #[must_use]
    pub fn send_frame(&mut self, frame: Frame) -> bool {
        match encode::frame(&mut self.queue, self.out, frame) {
            Some(framing) => {
                self.out = framing;
                true
            }
            None => {
                self.is_reusable = false;
                false
            }
        }
    }

    /// Whether the queue has room for another frame.
    pub fn has_room(&self) -> bool {
        self.queue.len() < buffers::share().queue
    }

    /// Bytes of this request that were handed to the operating system, and bytes that came back.
    pub fn bytes(&self) -> (u64, u64) {
        (self.written, self.received)
    }

    /// Whether any byte of the request was handed to the operating system.
    pub fn has_sent(&self) -> bool {
        self.written > 0
    }

    /// Ready when all that was queued has been handed to the operating system.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        if self.queue.len() == 0 && !self.io.has_unsent() {
            return Poll::Ready(Ok(()));
        }
        let before = self.written;
        let mut polled = self.queue.poll_write(&mut self.io, cx, &mut self.written);
        if matches!(polled, Poll::Ready(Ok(()))) {
            polled = Pin::new(&mut self.io).poll_flush(cx);
        }
        if before != self.written || polled.is_ready() {
            self.last_progress = crate::now();
        }
        polled.map_err(|error| {
            self.is_reusable = false;
            UpstreamError::Io(error)
        })
    }

    /// Reads the next response head: any number of interim ones, then the final one.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, limits: &Limits) -> Poll<Result<ResponseHead, UpstreamError>> {
        loop {
            match parse::find_end(&self.read, &mut self.scanned) {
                Err((_, reason)) => return Poll::Ready(Err(self.malformed(reason))),
                Ok(Some(end)) => return Poll::Ready(self.begin_answer(end, limits)),
                Ok(None) if self.read.len() > limits.header_bytes.max(64 << 10) => {
                    return Poll::Ready(Err(self.malformed("headers-too-large")));
                }
                Ok(None) => {}
            }
            if self.read.capacity() == 0 {
                self.read = buffers::take();
            }
            self.read.reserve(HEAD_BUFFER);
            let Poll::Ready(read) = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read) else {
                // What waits holds no buffer.
                if self.read.is_empty() {
                    buffers::give(std::mem::take(&mut self.read));
                }
                return Poll::Pending;
            };
            match read {
                Ok(0) if !self.has_answer => return Poll::Ready(Err(UpstreamError::Closed)),
                Ok(0) => return Poll::Ready(Err(UpstreamError::Truncated)),
                Ok(n) => {
                    self.received += n as u64;
                    self.has_answer = true;
                    self.last_progress = crate::now();
                }
                Err(error) if !self.has_answer && error.kind() == io::ErrorKind::ConnectionReset => {
                    return Poll::Ready(Err(UpstreamError::Closed));
                }
                Err(error) => return Poll::Ready(Err(self.cut(error))),
            }
        }
    }

    fn begin_answer(&mut self, end: usize, limits: &Limits) -> Result<ResponseHead, UpstreamError> {
        let parsed = parse::response(self.read.get(..end).unwrap_or_default(), limits);
        self.read.advance(end);
        self.scanned = 0;
        let (head, version) = parsed.map_err(|(_, reason)| self.malformed(reason))?;
        if head.status == 101 {
            self.is_upgraded = true;
            self.is_reusable = false;
            self.is_answered = true;
            return Ok(head);
        }
        if head.status < 200 {
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(self.malformed("too-many-interim-responses"));
            }
            return Ok(head);
        }
        let framing = Framing::of_response(&head.fields, version, head.status, self.is_head)
            .map_err(|(_, reason)| self.malformed(reason))?;
        self.body = framing.into();
        self.is_answered = true;
        self.is_reusable &= super::server::wants_keep_alive(&head.fields, version) && framing != Framing::UntilClose;
        Ok(head)
    }

    /// What is known of the answer's length.
    pub fn length(&self) -> BodyLength {
        self.body.length()
    }

    /// Pulls the next frame of the answer's body.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, UpstreamError>> {
        loop {
            match self.body.take(&mut self.read) {
                Ok(Some(frame)) => return Poll::Ready(Ok(frame)),
                Ok(None) => {}
                Err(reason) => return Poll::Ready(Err(self.malformed(reason))),
            }
            let max = buffers::share().read;
            buffers::make_room(&mut self.read, self.body.wanted(max, max / 2));
            match ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read)) {
                Ok(0) if matches!(self.body, Incoming::UntilClose) => {
                    self.body = Incoming::Done;
                    return Poll::Ready(Ok(Frame::End));
                }
                Ok(0) => {
                    self.is_reusable = false;
                    return Poll::Ready(Err(UpstreamError::Truncated));
                }
                Ok(n) => {
                    self.received += n as u64;
                    self.last_progress = crate::now();
                }
                Err(error) => return Poll::Ready(Err(self.cut(error))),
            }
        }
    }

    /// Whether the connection may serve another request: both messages are complete, and nothing came after the answer.
    pub fn is_reusable(&self) -> bool {
        self.is_reusable
            && self.is_answered
            && matches!(self.body, Incoming::Done)
            && self.read.is_empty()
            && self.queue.len() == 0
            && matches!(self.out, OutFraming::None | OutFraming::Length(0))
    }

    /// Whether an idle connection is still open and silent. Bytes that nobody asked for would become the next client's answer.
    pub fn is_silent(&mut self) -> bool {
        self.io.is_silent()
    }

    /// The TLS settings that it was made with, and the name of the server; `None` in plain text.
    pub(crate) fn secured(&self) -> Option<(TlsId, &str)> {
        self.io.secured()
    }

    /// Gives the memory of an idle connection back.
    pub fn shrink(&mut self) {
        buffers::give(std::mem::take(&mut self.read));
        self.queue.shrink();
    }

    /// Reads raw bytes after an upgrade.
    pub fn poll_raw_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<BytesMut>> {
        if self.read.is_empty() {
            self.read.reserve(TUNNEL_BUFFER);
            self.received += ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read))? as u64;
        }
        Poll::Ready(Ok(self.read.split()))
    }

    /// Queues raw bytes after an upgrade.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.queue.tail().extend_from_slice(bytes);
    }

    /// Ends our direction of an upgraded connection.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// The connection broke. Over TLS that is also an end that the upstream has not announced: whoever is on the way could have
    /// made it, so it ends no answer.
    fn cut(&mut self, error: io::Error) -> UpstreamError {
        self.is_reusable = false;
        match error.kind() {
            io::ErrorKind::UnexpectedEof if self.has_answer => UpstreamError::Truncated,
            io::ErrorKind::UnexpectedEof => UpstreamError::Closed,
            _ => error.into(),
        }
    }

    fn malformed(&mut self, reason: &'static str) -> UpstreamError {
        self.is_reusable = false;
        UpstreamError::Malformed(reason)
    }
}
