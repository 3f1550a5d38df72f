use crate::buffers;
use bytes::{Buf, Bytes, BytesMut};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Frames up to this size are copied behind the head, so that both leave in one write.
const COPY_MAX: usize = 8 << 10;
/// Slices given to one write call.
const MAX_SLICES: usize = 16;

/// Bytes on their way to a socket: small pieces gathered, large ones by reference.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    whole: VecDeque<Bytes>,
    tail: BytesMut,
    whole_bytes: usize,
    /// What of it is in the worker's count.
    counted: usize,
}

impl Queue {
    /// The gathering buffer, to encode into.
    pub(crate) fn tail(&mut self) -> &mut BytesMut {
        if self.tail.capacity() == 0 {
            self.tail = buffers::take();
        }
        &mut self.tail
    }

    /// Queues content.
    pub(crate) fn push(&mut self, data: Bytes) {
        if data.len() <= COPY_MAX {
            self.tail().extend_from_slice(&data);
            return self.count();
        }
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.whole_bytes += tail.len();
            self.whole.push_back(tail);
        }
        self.whole_bytes += data.len();
        self.whole.push_back(data);
        self.count();
    }

    /// Brings the worker's count up to date.
    fn count(&mut self) {
        let now = self.len();
        buffers::count_queued(self.counted, now);
        self.counted = now;
    }

    /// Bytes that have not been handed to the operating system.
    pub(crate) fn len(&self) -> usize {
        self.whole_bytes + self.tail.len()
    }

    /// Gives the memory of an empty queue back.
    pub(crate) fn shrink(&mut self) {
        if self.len() == 0 {
            buffers::give(std::mem::take(&mut self.tail));
            self.whole = VecDeque::new();
        }
    }

    /// Forgets what was queued.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes until nothing is left; says how many bytes went out so far in `written`.
    pub(crate) fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        written: &mut u64,
    ) -> Poll<io::Result<()>> {
        while self.len() > 0 {
            let n = if self.whole.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, &self.tail))?
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let pieces = self.whole.iter().map(|b| &b[..]).chain(Some(&self.tail[..]).filter(|t| !t.is_empty()));
                let mut count = 0;
                for (slot, piece) in slices.iter_mut().zip(pieces) {
                    *slot = IoSlice::new(piece);
                    count += 1;
                }
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, slices.get(..count).unwrap_or_default()))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += n as u64;
            self.advance(n);
            self.count();
        }
        // The buffer is warm, and somebody else may use it before this connection has something to say again.
        buffers::give(std::mem::take(&mut self.tail));
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut n: usize) {
        while n > 0 {
            let Some(front) = self.whole.front_mut() else {
                self.tail.advance(n.min(self.tail.len()));
                return;
            };
            let step = n.min(front.len());
            front.advance(step);
            self.whole_bytes -= step;
            n -= step;
            if front.is_empty() {
                self.whole.pop_front();
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        buffers::count_queued(self.counted, 0);
    }
}
