//! The connection as the exchange sees it.

use super::{HEAD_BUFFER, STREAM_BUFFER, Server};
use crate::{
    buffers,
    h1::{
        encode::{self, OutFraming},
        incoming::Incoming,
    },
};
use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;
use wire::{
    BodyError, BodyLength, BodySource, Downstream, Frame, ResponseHead, SendError, Version, downstream::Tunnel,
};

/// Bytes of the next request that are read ahead while one is served, to notice that the client went away.
const PIPELINE_MAX: usize = 16 << 10;

impl BodySource for Server {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        self.conn.borrow_mut().poll_body(cx)
    }

    fn length(&self) -> BodyLength {
        self.conn.borrow().body.as_ref().map_or(BodyLength::Unknown, Incoming::length)
    }

    fn limit(&self, max: u64) {
        let conn = &mut *self.conn.borrow_mut();
        conn.body_max = Some(max);
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
        if !matches!(conn.body, Ok(Incoming::Done)) || conn.read.len() >= PIPELINE_MAX {
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
