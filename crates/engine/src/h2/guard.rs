use super::frames::{Fault, Frames};
use crate::{H2Limits, Timer};
use bytes::Bytes;
use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How long a connection that ends waits for the client to read what was sent.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read and dropped meanwhile.
const LINGER_MAX: usize = 256 << 10;

/// Why a connection has to end; set by the guard, read by the connection's task.
pub(super) type Verdict = Rc<Cell<Option<Fault>>>;

/// The connection's bytes, with an eye on the frames in them.
#[derive(Debug)]
pub(super) struct Guarded {
    io: TcpStream,
    /// What was read before it was known to be HTTP/2.
    read: Bytes,
    frames: Frames,
    verdict: Verdict,
    last_write: Rc<Cell<Instant>>,
    timer: Timer,
    lingers: Option<Instant>,
    left: usize,
}

impl Guarded {
    /// `last_write` is kept at the time when the client took bytes last.
    pub(super) fn new(
        io: TcpStream,
        read: Bytes,
        bounds: H2Limits,
        verdict: Verdict,
        last_write: Rc<Cell<Instant>>,
    ) -> Self {
        let frames = Frames::new(bounds, crate::now());
        Self { io, read, frames, verdict, last_write, timer: Timer::default(), lingers: None, left: LINGER_MAX }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        self.last_write.set(crate::now());
        if let Err(fault) = self.frames.sent(bytes)
            && self.verdict.get().is_none()
        {
            self.verdict.set(Some(fault));
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.verdict.get().is_some() {
            // Nobody is to be woken: the connection's task looks at the verdict after every turn.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if this.read.is_empty() {
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        } else {
            let n = this.read.len().min(buf.remaining());
            buf.put_slice(&this.read.split_to(n));
        }
        match this.frames.follow(buf.filled().get(before..).unwrap_or_default(), crate::now()) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(fault) => {
                // Nothing of it is acted upon.
                buf.set_filled(before);
                this.verdict.set(Some(fault));
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.wrote(buf.get(..n).unwrap_or_default());
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        let mut left = n;
        for buf in bufs {
            let step = left.min(buf.len());
            self.wrote(buf.get(..step).unwrap_or_default());
            left -= step;
        }
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Ends our direction and waits shortly for the client's end: with unread bytes left, the kernel would reset the
    /// connection, and a GOAWAY on its way would be lost.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let until = match this.lingers {
            Some(until) => until,
            None => {
                ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                *this.lingers.insert(crate::now() + LINGER)
            }
        };
        let mut piece = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(&mut this.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && this.left > buf.filled().len() => {
                    this.left -= buf.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return this.timer.poll(cx, until).map(Ok),
            }
        }
    }
}
