use bytes::{Buf, Bytes};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Length of a frame's header (RFC 9113, section 4.1).
const FRAME_HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
/// Of frames that only cost work (SETTINGS, PING, RST_STREAM, PRIORITY, CONTINUATION, empty DATA), so many may come at once.
const BURST: u32 = 4;

/// The connection's bytes, with an eye on frames that cost us and not the client.
#[derive(Debug)]
pub(super) struct Guarded {
    io: TcpStream,
    /// What was read before it was known to be HTTP/2.
    read: Bytes,
    /// Bytes of the preface that are still to be passed over.
    preface: usize,
    header: [u8; FRAME_HEADER],
    header_len: usize,
    payload: usize,
    per_second: u32,
    window: Instant,
    control: u32,
}

impl Guarded {
    pub(super) fn new(io: TcpStream, read: Bytes, per_second: u32) -> Self {
        Self {
            io,
            read,
            preface: 24,
            header: [0; FRAME_HEADER],
            header_len: 0,
            payload: 0,
            per_second,
            window: Instant::now(),
            control: 0,
        }
    }

    /// Follows the frames; false when there are too many of the wrong kind.
    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skip = (self.preface + self.payload).min(bytes.len());
            if skip > 0 {
                let of_preface = self.preface.min(skip);
                self.preface -= of_preface;
                self.payload -= skip - of_preface;
                bytes.advance(skip);
                continue;
            }
            let n = (FRAME_HEADER - self.header_len).min(bytes.len());
            let (Some(to), Some(from)) = (self.header.get_mut(self.header_len..self.header_len + n), bytes.get(..n))
            else {
                return false;
            };
            to.copy_from_slice(from);
            self.header_len += n;
            bytes.advance(n);
            if self.header_len == FRAME_HEADER {
                self.header_len = 0;
                let [a, b, c, kind, ..] = self.header;
                self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                let is_control = !matches!(kind, DATA | HEADERS | WINDOW_UPDATE) || (kind == DATA && self.payload == 0);
                if is_control && !self.count() {
                    return false;
                }
            }
        }
        true
    }

    fn count(&mut self) -> bool {
        if self.window.elapsed() >= Duration::from_secs(1) {
            self.window = Instant::now();
            self.control = 0;
        }
        self.control += 1;
        self.control <= self.per_second.saturating_mul(BURST)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.read.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        } else {
            let n = self.read.len().min(buf.remaining());
            buf.put_slice(&self.read.split_to(n));
        }
        let is_within = self.follow(buf.filled().get(before..).unwrap_or_default());
        if is_within {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too many control frames")))
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
