//! Reading heads and bodies from a client, and writing to it.

use super::{Conn, DISCARD_MAX, HEAD_BUFFER, Next, STREAM_BUFFER, wants_keep_alive};
use crate::h1::{
    Framing,
    encode::{self, OutFraming},
    incoming::Incoming,
    parse::{self, Refused},
    queue::Queue,
};
use crate::{
    Limits, Timer, buffers,
    pace::{self, Pace},
};
use bytes::{Buf, BytesMut};
use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;
use wire::{BodyError, BodyLength, Frame, RequestHead, ResponseHead, SendError, Version};

/// The client's preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Conn {
    pub(super) fn new(io: TcpStream, limits: Rc<Limits>) -> Self {
        let now = crate::now();
        Self {
            io,
            read: BytesMut::new(),
            scanned: 0,
            queue: Queue::default(),
            limits,
            timer: Timer::default(),
            requests: 0,
            is_draining: false,
            head_since: now,
            body: Ok(Incoming::Done),
            body_max: None,
            pace: Pace::new(now),
            body_bytes: 0,
            wants_continue: false,
            received: 0,
            version: Version::Http11,
            is_head: false,
            keep_alive: true,
            out: OutFraming::None,
            has_sent_head: false,
            head_bytes: 0,
            last_write: now,
            written: 0,
            queued_before: 0,
            is_gone: false,
            is_aborted: false,
        }
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            // One empty line before a request line is tolerated (RFC 9112, section 2.2).
            if self.scanned == 0 && self.read.starts_with(b"\r\n") && self.read.len() > 2 {
                self.read.advance(2);
            }
            if !self.read.is_empty() {
                if self.requests == 0 && self.limits.h2.enabled && is_preface(&self.read) {
                    if self.read.len() >= PREFACE.len() {
                        return Poll::Ready(Next::Http2);
                    }
                } else {
                    match parse::find_end(&self.read, &mut self.scanned) {
                        Err(refused) => return Poll::Ready(Next::Refuse(refused)),
                        Ok(Some(end)) => return Poll::Ready(self.begin(end)),
                        Ok(None) => {
                            if let Some(refused) = self.over_limit() {
                                return Poll::Ready(Next::Refuse(refused));
                            }
                        }
                    }
                }
            } else {
                // What waits idle holds no buffer.
                self.scanned = 0;
                buffers::give(std::mem::take(&mut self.read));
                if self.is_draining {
                    return Poll::Ready(Next::Close);
                }
            }
            match self.poll_head_bytes(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Next::Close),
                Poll::Ready(Ok(n)) => {
                    if self.read.len() == n {
                        self.head_since = crate::now();
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Next::Close),
                Poll::Pending => {
                    let is_idle = self.read.is_empty();
                    let wait = if is_idle && self.requests > 0 {
                        self.limits.keepalive_timeout
                    } else {
                        let allowed = pace::allowance(self.read.len() as u64, self.limits.min_rate);
                        allowed.filter(|_| !is_idle).unwrap_or(Duration::MAX).min(self.limits.head_timeout)
                    };
                    ready!(self.timer.poll(cx, self.head_since + wait));
                    return Poll::Ready(if is_idle { Next::Close } else { Next::Refuse((408, "head-timeout")) });
                }
            }
        }
    }

    pub(super) fn poll_head_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.io.poll_read_ready(cx))?;
        if self.read.capacity() == 0 {
            self.read = buffers::take();
        }
        self.read.reserve(HEAD_BUFFER);
        poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read)
    }

    pub(super) fn over_limit(&self) -> Option<Refused> {
        match memchr::memchr(b'\r', &self.read) {
            None if self.read.len() > self.limits.request_line => Some((414, "request-line-too-long")),
            Some(line) if line > self.limits.request_line => Some((414, "request-line-too-long")),
            Some(line) if self.read.len() - line > self.limits.header_bytes + 4 => Some((431, "headers-too-large")),
            _ => None,
        }
    }

    /// Begins an exchange with the head that ends at `end`.
    pub(super) fn begin(&mut self, end: usize) -> Next {
        let mut head = RequestHead::default();
        let parsed = parse::request(self.read.get(..end).unwrap_or_default(), &self.limits, &mut head);
        self.read.advance(end);
        if self.read.is_empty() {
            buffers::give(std::mem::take(&mut self.read));
        }
        self.scanned = 0;
        self.requests += 1;
        self.written = 0;
        self.queued_before = 0;
        self.head_bytes = 0;
        self.has_sent_head = false;
        self.out = OutFraming::None;
        self.is_head = false;
        if let Err(refused) = parsed {
            return Next::Refuse(refused);
        }
        let framing = match Framing::of_request(&head.fields, head.version) {
            Ok(framing) => framing,
            Err(refused) => return Next::Refuse(refused),
        };
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        if has_body && matches!(head.method, wire::Method::Trace) {
            return Next::Refuse((400, "body-where-none-may-be"));
        }
        self.wants_continue = false;
        for expect in head.fields.get_all("expect") {
            if !expect.eq_ignore_ascii_case(b"100-continue") {
                return Next::Refuse((417, "expectation"));
            }
            self.wants_continue = has_body && head.version == Version::Http11;
        }
        if let (Framing::Length(n), Some(max)) = (framing, self.limits.request_body)
            && n > max
        {
            return Next::Refuse((413, "body-too-large"));
        }
        let now = crate::now();
        self.body = Ok(framing.into());
        self.body_max = self.limits.request_body;
        self.pace = Pace::new(now);
        self.last_write = now;
        self.body_bytes = 0;
        self.received = end as u64;
        self.version = head.version;
        self.is_head = head.method == wire::Method::Head;
        self.keep_alive = wants_keep_alive(&head.fields, head.version)
            && self.requests < self.limits.requests_per_connection
            && !self.is_draining;
        Next::Request(head)
    }

    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        loop {
            match self.take_body() {
                Ok(Some(frame)) => return Poll::Ready(Ok(frame)),
                Ok(None) => {}
                Err(error) => {
                    self.keep_alive = false;
                    self.body = Err(error.clone());
                    return Poll::Ready(Err(error));
                }
            }
            if self.wants_continue {
                self.wants_continue = false;
                self.queue.tail().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            if !self.has_sent_head && self.queue.len() > 0 {
                let _ = self.poll_queue(cx);
            }
            let error = match self.poll_body_bytes(cx) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.pace.came(n, crate::now());
                    continue;
                }
                Poll::Ready(_) => {
                    self.is_gone = true;
                    BodyError::Gone
                }
                Poll::Pending => {
                    let deadline = self.pace.deadline(crate::now(), &self.limits);
                    ready!(self.timer.poll(cx, deadline));
                    BodyError::TimedOut
                }
            };
            self.keep_alive = false;
            self.body = Err(error.clone());
            return Poll::Ready(Err(error));
        }
    }

    /// Reads some of the body. A client that is waited for holds no buffer, however much it has announced.
    pub(super) fn poll_body_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.io.poll_read_ready(cx)?.is_ready() {
            let max = buffers::share().read;
            let wanted = self.body.as_ref().map_or(STREAM_BUFFER, |body| body.wanted(max, STREAM_BUFFER));
            buffers::make_room(&mut self.read, wanted);
            let polled = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read);
            if polled.is_ready() {
                return polled;
            }
        }
        if self.read.is_empty() {
            buffers::give(std::mem::take(&mut self.read));
        }
        Poll::Pending
    }

    /// The next frame out of what was read.
    pub(super) fn take_body(&mut self) -> Result<Option<Frame>, BodyError> {
        let frame = match &mut self.body {
            Ok(body) => body.take(&mut self.read).map_err(BodyError::Malformed)?,
            Err(error) => return Err(error.clone()),
        };
        if let Some(Frame::Data(data)) = &frame {
            self.body_bytes += data.len() as u64;
            self.received += data.len() as u64;
            if let Some(max) = self.body_max
                && self.body_bytes > max
            {
                return Err(BodyError::TooLarge(max));
            }
        }
        Ok(frame)
    }

    pub(super) fn poll_queue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.is_gone {
            return Poll::Ready(Err(SendError::Gone));
        }
        let before = self.written;
        let polled = self.queue.poll_write(&mut self.io, cx, &mut self.written);
        if self.written != before {
            self.last_write = crate::now();
        }
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => {
                self.is_gone = true;
                Poll::Ready(Err(SendError::Gone))
            }
            Poll::Pending => {
                ready!(self.timer.poll(cx, self.last_write + self.limits.send_timeout));
                self.is_gone = true;
                Poll::Ready(Err(SendError::TimedOut))
            }
        }
    }

    pub(super) fn send_head(&mut self, head: &ResponseHead, body: BodyLength) {
        self.has_sent_head = true;
        let has_none = self.is_head || matches!(head.status, 204 | 304) || head.status < 200;
        self.out = match body {
            _ if has_none => OutFraming::None,
            BodyLength::None => OutFraming::Length(0),
            BodyLength::Exact(n) => OutFraming::Length(n),
            BodyLength::Unknown if self.version == Version::Http10 => OutFraming::UntilClose,
            BodyLength::Unknown => OutFraming::Chunked,
        };
        let is_unread = self.wants_continue || !self.has_short_rest();
        if self.out == OutFraming::UntilClose || is_unread || self.is_draining {
            self.keep_alive = false;
        }
        let upgrade = head.status == 101;
        let connection: Option<&[u8]> = match self.keep_alive {
            _ if upgrade => Some(b"Upgrade"),
            false => Some(b"close"),
            true if self.version == Version::Http10 => Some(b"keep-alive"),
            true => Some(b"keep-alive"),
        };
        let before = self.queue.len();
        encode::response_head(self.queue.tail(), head, body, self.out, connection);
        self.head_bytes = (self.queue.len() - before) as u64;
    }

    /// Whether what is left of the request body is short enough to be read and dropped.
    pub(super) fn has_short_rest(&self) -> bool {
        match &self.body {
            Ok(Incoming::Length(left)) => *left <= DISCARD_MAX,
            Ok(_) => true,
            Err(_) => false,
        }
    }
}

fn is_preface(read: &[u8]) -> bool {
    let n = read.len().min(PREFACE.len());
    read.get(..n) == PREFACE.get(..n)
}
