//! A client's connection: one request after the other.

mod conn;
mod downstream;

use super::{encode::OutFraming, incoming::Incoming, parse::Refused, queue::Queue};
use crate::{Limits, Service, Timer, pace::Pace, worker::Drain};
use bytes::{Bytes, BytesMut};
use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::{Rc, Weak},
    task::Poll,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWrite, net::TcpStream};
use tokio_util::io::poll_read_buf;
use wire::{
    BodyError, BodyLength, BodySource, ConnectionFacts, Downstream, Fields, Frame, RequestHead, ResponseHead, Source,
    Version,
};

/// Room for at least so much of a head is made before each read.
const HEAD_BUFFER: usize = 1 << 10;
/// Read buffer of a body of unknown length, and of a tunnel.
const STREAM_BUFFER: usize = 16 << 10;
/// An unread rest of a request body up to this size is read and dropped to keep the connection.
const DISCARD_MAX: u64 = 64 << 10;
/// How long a closing connection waits for the client to read what was sent.
const LINGER: Duration = Duration::from_secs(2);

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
    /// What of its body is still to come, or why that cannot be had.
    body: Result<Incoming, BodyError>,
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

/// Persistence (RFC 9112, section 9.3).
pub(super) fn wants_keep_alive(fields: &Fields, version: Version) -> bool {
    let mut keep_alive = version == Version::Http11;
    for value in fields.get_all("connection") {
        if value.eq_ignore_ascii_case(b"keep-alive") {
            keep_alive = true;
            continue;
        }
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
