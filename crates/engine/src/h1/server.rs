use super::{
    Chunk, Chunked, Framing, encode,
    encode::OutFraming,
    parse::{self, Refused},
    queue::Queue,
};
use crate::{
    Limits, Service, Timer, buffers,
    pace::{self, Pace},
    worker::Drain,
};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{io::AsyncWrite, net::TcpStream};
use tokio_util::io::poll_read_buf;
use wire::{
    BodyError, BodyLength, BodySource, ConnectionFacts, Downstream, Fields, Frame, RequestHead, ResponseHead,
    SendError, Source, Version, downstream::Tunnel,
};

/// Room for at least so much of a head is made before each read.
const HEAD_BUFFER: usize = 1 << 10;
/// Read buffer of a body of unknown length, and of a tunnel.
const STREAM_BUFFER: usize = 16 << 10;
/// Bytes of the next request that are read ahead while one is served, to notice that the client went away.
const PIPELINE_MAX: usize = 16 << 10;
/// An unread rest of a request body up to this size is read and dropped to keep the connection.
const DISCARD_MAX: u64 = 64 << 10;
/// How long a closing connection waits for the client to read what was sent.
const LINGER: Duration = Duration::from_secs(2);
/// The client's preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One client's HTTP/1 connection. Its task and the exchange that it runs share it.
pub(crate) struct Server {
    conn: RefCell<Conn>,
    me: Weak<Self>,
}

struct Conn {
    io: TcpStream,
    read: BytesMut,
    scanned: usize,
    queue: Queue,
    limits: Rc<Limits>,
    timer: Timer,
    requests: u64,
    is_draining: bool,
    /// When the wait for the next head began, or its first byte arrived.
    head_since: Instant,
    // Of the request being served:
    body: Body,
    body_max: Option<u64>,
    pace: Pace,
    body_bytes: u64,
    wants_continue: bool,
    received: u64,
    version: Version,
    is_head: bool,
    keep_alive: bool,
    out: OutFraming,
    has_sent_head: bool,
    head_bytes: u64,
    last_write: Instant,
    written: u64,
    queued_before: u64,
    is_gone: bool,
    is_aborted: bool,
}

enum Body {
    Done,
    Length(u64),
    Chunked(Box<Chunked>),
    Failed(BodyError),
}

enum Next {
    Request(RequestHead),
    Refuse(Refused),
    Http2,
    Close,
}

/// Serves a connection until it ends.
pub(crate) async fn run<S: Service>(
    io: TcpStream,
    facts: ConnectionFacts,
    service: Rc<S>,
    limits: Rc<Limits>,
    drain: Rc<Drain>,
    id: u64,
) {
    let server = Rc::new_cyclic(|me| Server { conn: RefCell::new(Conn::new(io, limits.clone())), me: me.clone() });
    let mut is_registered = false;
    loop {
        let next = poll_fn(|cx| {
            // The task's waker stays the same, so it is left there once.
            if (!is_registered || drain.has_begun()) && drain.poll_begun(id, cx) {
                server.conn.borrow_mut().is_draining = true;
            }
            is_registered = true;
            server.conn.borrow_mut().poll_next(cx)
        })
        .await;
        match next {
            Next::Close => return,
            Next::Http2 => {
                drop(drain.forget(id));
                return match Rc::try_unwrap(server) {
                    Ok(server) => {
                        let conn = server.conn.into_inner();
                        Box::pin(crate::h2::run(conn.io, conn.read.freeze(), facts, service, limits, drain, id)).await;
                    }
                    Err(_) => unreachable!("no exchange holds a connection that has served nothing"),
                };
            }
            Next::Refuse((status, reason)) => {
                service.refused(facts, status, reason);
                refuse(&server, status).await;
                return;
            }
            Next::Request(head) => {
                let downstream: Rc<dyn Downstream> = server.clone();
                // Built in its box, where a value of this size would first be built on the stack and then moved.
                let exchange = Box::write(Box::new_uninit(), service.serve(head, downstream, facts));
                Box::into_pin(exchange).await;
                if !finish(&server).await {
                    return;
                }
            }
        }
    }
}

/// Answers what was refused before anything of it was passed on, and closes.
async fn refuse(server: &Rc<Server>, status: u16) {
    let mut head = ResponseHead::new(status, Source::Gateway);
    let page = wire::status::page(status).unwrap_or_default();
    head.fields.push(b"Date", &crate::http_date());
    head.fields.push(b"Content-Type", b"text/html; charset=utf-8");
    server.conn.borrow_mut().keep_alive = false;
    server.send_head(&head, BodyLength::Exact(page.len() as u64));
    server.send_frame(Frame::Data(Bytes::from(page)));
    server.send_frame(Frame::End);
    if poll_fn(|cx| server.poll_flush(cx)).await.is_ok() {
        linger(server).await;
    }
}

/// Brings an exchange's leftovers to an end; says whether the connection goes on.
async fn finish(server: &Rc<Server>) -> bool {
    {
        let conn = server.conn.borrow();
        let is_complete = conn.has_sent_head && matches!(conn.out, OutFraming::None | OutFraming::Length(0));
        if conn.is_aborted || conn.is_gone || !(is_complete || conn.out == OutFraming::UntilClose) {
            return false;
        }
    }
    if poll_fn(|cx| server.poll_flush(cx)).await.is_err() {
        return false;
    }
    let (keep_alive, wants_continue) = {
        let conn = server.conn.borrow();
        (conn.keep_alive, conn.wants_continue)
    };
    if keep_alive && !wants_continue && discard(server).await {
        let mut conn = server.conn.borrow_mut();
        conn.head_since = crate::now();
        conn.queue.shrink();
        return true;
    }
    linger(server).await;
    false
}

/// Reads and drops a short rest of the request body.
async fn discard(server: &Rc<Server>) -> bool {
    let mut left = DISCARD_MAX;
    loop {
        match poll_fn(|cx| server.poll_frame(cx)).await {
            Ok(Frame::End) => return true,
            Ok(Frame::Data(data)) => match left.checked_sub(data.len() as u64) {
                Some(rest) => left = rest,
                None => return false,
            },
            Ok(Frame::Trailers(_)) => {}
            Err(_) => return false,
        }
    }
}

/// Ends our direction and waits shortly for the client's end, so that the kernel does not cut off what it has not read yet.
async fn linger(server: &Rc<Server>) {
    let until = crate::now() + LINGER;
    let mut left = 256 << 10;
    poll_fn(|cx| {
        let conn = &mut *server.conn.borrow_mut();
        let _ = Pin::new(&mut conn.io).poll_shutdown(cx);
        loop {
            conn.read.clear();
            conn.read.reserve(HEAD_BUFFER);
            match poll_read_buf(Pin::new(&mut conn.io), cx, &mut conn.read) {
                Poll::Ready(Ok(n)) if n > 0 && left > n => left -= n,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return conn.timer.poll(cx, until),
            }
        }
    })
    .await;
}

impl Conn {
    fn new(io: TcpStream, limits: Rc<Limits>) -> Self {
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
            body: Body::Done,
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

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
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

    fn poll_head_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.io.poll_read_ready(cx))?;
        if self.read.capacity() == 0 {
            self.read = buffers::take();
        }
        self.read.reserve(HEAD_BUFFER);
        poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read)
    }

    fn over_limit(&self) -> Option<Refused> {
        match memchr::memchr(b'\r', &self.read) {
            None if self.read.len() > self.limits.request_line => Some((414, "request-line-too-long")),
            Some(line) if line > self.limits.request_line => Some((414, "request-line-too-long")),
            Some(line) if self.read.len() - line > self.limits.header_bytes + 4 => Some((431, "headers-too-large")),
            _ => None,
        }
    }

    /// Begins an exchange with the head that ends at `end`.
    fn begin(&mut self, end: usize) -> Next {
        let mut head = RequestHead::default();
        let parsed = parse::request(self.read.get(..end).unwrap_or_default(), &self.limits, &mut head);
        self.read.advance(end);
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
        self.body = match framing {
            Framing::None | Framing::Length(0) => Body::Done,
            Framing::Length(n) => Body::Length(n),
            _ => Body::Chunked(Box::default()),
        };
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

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        loop {
            match self.take_body() {
                Ok(Some(frame)) => return Poll::Ready(Ok(frame)),
                Ok(None) => {}
                Err(error) => {
                    self.keep_alive = false;
                    self.body = Body::Failed(error.clone());
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
            self.body = Body::Failed(error.clone());
            return Poll::Ready(Err(error));
        }
    }

    /// Reads some of the body. A client that is waited for holds no buffer, however much it has announced.
    fn poll_body_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.io.poll_read_ready(cx)?.is_ready() {
            let max = buffers::share().read;
            let wanted = match &self.body {
                Body::Length(left) => usize::try_from(*left).unwrap_or(max).clamp(512, max),
                _ => STREAM_BUFFER,
            };
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
    fn take_body(&mut self) -> Result<Option<Frame>, BodyError> {
        loop {
            let n = match &mut self.body {
                Body::Done => return Ok(Some(Frame::End)),
                Body::Failed(error) => return Err(error.clone()),
                Body::Length(left) => {
                    if self.read.is_empty() {
                        return Ok(None);
                    }
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(self.read.len());
                    *left -= n as u64;
                    if *left == 0 {
                        self.body = Body::Done;
                    }
                    n
                }
                Body::Chunked(decoder) => match decoder.decode(&self.read).map_err(BodyError::Malformed)? {
                    Chunk::More => return Ok(None),
                    Chunk::Skip(n) => {
                        let _ = self.read.split_to(n);
                        continue;
                    }
                    Chunk::Data(n) => n,
                    Chunk::End(n, trailers) => {
                        let _ = self.read.split_to(n);
                        self.body = Body::Done;
                        return Ok(Some(if trailers.is_empty() { Frame::End } else { Frame::Trailers(trailers) }));
                    }
                },
            };
            self.body_bytes += n as u64;
            self.received += n as u64;
            if let Some(max) = self.body_max
                && self.body_bytes > max
            {
                return Err(BodyError::TooLarge(max));
            }
            return Ok(Some(Frame::Data(self.read.split_to(n).freeze())));
        }
    }

    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
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

    fn send_head(&mut self, head: &ResponseHead, body: BodyLength) {
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
    fn has_short_rest(&self) -> bool {
        match &self.body {
            Body::Done => true,
            Body::Length(left) => *left <= DISCARD_MAX,
            Body::Chunked(_) => true,
            Body::Failed(_) => false,
        }
    }
}

impl BodySource for Server {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        self.conn.borrow_mut().poll_body(cx)
    }

    fn length(&self) -> BodyLength {
        let conn = self.conn.borrow();
        match &conn.body {
            Body::Done => BodyLength::None,
            Body::Length(n) => BodyLength::Exact(*n),
            Body::Chunked(_) | Body::Failed(_) => BodyLength::Unknown,
        }
    }

    fn limit(&self, max: u64) {
        let conn = &mut *self.conn.borrow_mut();
        conn.body_max = Some(conn.body_max.map_or(max, |old| old.min(max)));
    }
}

impl Downstream for Server {
    fn send_interim(&self, head: &ResponseHead) {
        let conn = &mut *self.conn.borrow_mut();
        if conn.version == Version::Http10 || conn.has_sent_head {
            return;
        }
        if head.status == 100 {
            // The client that waits gets one 100; who did not ask gets what the upstream sent.
            conn.wants_continue = false;
        }
        let before = conn.queue.len();
        encode::response_head(conn.queue.tail(), head, BodyLength::None, OutFraming::None, None);
        conn.queued_before += (conn.queue.len() - before) as u64;
    }

    fn send_head(&self, head: &ResponseHead, body: BodyLength) {
        self.conn.borrow_mut().send_head(head, body);
    }

    fn send_frame(&self, frame: Frame) {
        let conn = &mut *self.conn.borrow_mut();
        if conn.is_head || conn.is_gone || conn.is_aborted {
            return;
        }
        match encode::frame(&mut conn.queue, conn.out, frame) {
            Some(framing) => conn.out = framing,
            // More or less than was promised: the client must not take it for whole.
            None => {
                conn.is_aborted = true;
                conn.queue.clear();
            }
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let conn = &mut *self.conn.borrow_mut();
        if conn.is_gone {
            return Poll::Ready(Err(SendError::Gone));
        }
        let max = buffers::share().queue;
        if conn.queue.len() < max {
            return Poll::Ready(Ok(()));
        }
        match conn.poll_queue(cx) {
            Poll::Pending if conn.queue.len() < max => Poll::Ready(Ok(())),
            polled => polled,
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.conn.borrow_mut().poll_queue(cx)
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let conn = &mut *self.conn.borrow_mut();
        if conn.is_gone {
            return Poll::Ready(());
        }
        // While the body is read, reading it finds out.
        if !matches!(conn.body, Body::Done) || conn.read.len() >= PIPELINE_MAX {
            return Poll::Pending;
        }
        loop {
            ready!(conn.io.poll_read_ready(cx)).ok();
            if conn.read.capacity() == 0 {
                conn.read = buffers::take();
            }
            conn.read.reserve(HEAD_BUFFER);
            match poll_read_buf(Pin::new(&mut conn.io), cx, &mut conn.read) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) if n > 0 => {
                    if conn.read.len() >= PIPELINE_MAX {
                        return Poll::Pending;
                    }
                }
                Poll::Ready(_) => {
                    conn.is_gone = true;
                    return Poll::Ready(());
                }
            }
        }
    }

    fn poll_deadline(&self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.conn.borrow_mut().timer.poll(cx, deadline)
    }

    fn close_after(&self) {
        self.conn.borrow_mut().keep_alive = false;
    }

    fn abort(&self) {
        let conn = &mut *self.conn.borrow_mut();
        conn.is_aborted = true;
        // A reset instead of an orderly end, so that nobody takes the body for whole.
        let _ = socket2::SockRef::from(&conn.io).set_linger(Some(Duration::ZERO));
    }

    fn bytes_sent(&self) -> (u64, u64) {
        let conn = self.conn.borrow();
        let sent =
            conn.written.saturating_sub(conn.queued_before).max(if conn.queue.len() == 0 { conn.written } else { 0 });
        (sent, sent.saturating_sub(conn.head_bytes))
    }

    fn bytes_received(&self) -> u64 {
        self.conn.borrow().received
    }

    fn connection_requests(&self) -> u64 {
        self.conn.borrow().requests
    }

    fn tunnel(&self) -> Option<Box<dyn Tunnel>> {
        let server = self.me.upgrade()?;
        server.conn.borrow_mut().keep_alive = false;
        Some(Box::new(RawConnection(server)))
    }
}

struct RawConnection(Rc<Server>);

impl Tunnel for RawConnection {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let conn = &mut *self.0.conn.borrow_mut();
        if conn.read.is_empty() {
            conn.read.reserve(STREAM_BUFFER);
            if ready!(poll_read_buf(Pin::new(&mut conn.io), cx, &mut conn.read))? == 0 {
                return Poll::Ready(Ok(0));
            }
        }
        let n = conn.read.len().min(buf.len());
        let taken = conn.read.split_to(n);
        if let Some(to) = buf.get_mut(..n) {
            to.copy_from_slice(&taken);
        }
        conn.received += n as u64;
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let conn = &mut *self.0.conn.borrow_mut();
        if ready!(conn.poll_queue(cx)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = ready!(Pin::new(&mut conn.io).poll_write(cx, buf))?;
        conn.written += n as u64;
        Poll::Ready(Ok(n))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.conn.borrow_mut().io).poll_shutdown(cx)
    }
}

fn is_preface(read: &[u8]) -> bool {
    let n = read.len().min(PREFACE.len());
    read.get(..n) == PREFACE.get(..n)
}

/// Persistence (RFC 9112, section 9.3).
pub(super) fn wants_keep_alive(fields: &Fields, version: Version) -> bool {
    let mut keep_alive = version == Version::Http11;
    for value in fields.get_all("connection") {
        for option in value.split(|&b| b == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    keep_alive
}
