//! Spare buffers of a worker. An idle connection holds none, and a busy one does not ask the allocator for each message.

use bytes::BytesMut;
use std::cell::{Cell, RefCell};

/// Bytes of a spare buffer: a head and a short body.
pub(crate) const SIZE: usize = 8 << 10;
/// Larger ones go back to the allocator.
const SIZE_MAX: usize = 32 << 10;
/// A read into less room is not worth its system call.
const READ_MIN: usize = 4 << 10;
/// Spare buffers of one worker.
const SPARE_MAX: usize = 64;

/// Bytes that are queued in one worker, for all its peers, before each of them gets less.
const QUEUED_MANY: usize = 32 << 20;

thread_local! {
    static QUEUED: Cell<usize> = const { Cell::new(0) };
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for at least [`SIZE`] bytes.
pub(crate) fn take() -> BytesMut {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(SIZE))
}

/// Gives a buffer back; what it holds is forgotten. One that is still shared, or of another size, is dropped.
pub(crate) fn give(mut buffer: BytesMut) {
    if buffer.capacity() == 0 {
        return;
    }
    buffer.clear();
    if !buffer.try_reclaim(SIZE) || buffer.capacity() > SIZE_MAX {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_MAX {
            spare.push(buffer);
        }
    });
}

/// How much may be read ahead of one peer, and queued for one. A crowd that does not take its answers leaves less for each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// Bytes that are queued before the other side has to wait.
    pub(crate) queue: usize,
    /// Bytes of one read.
    pub(crate) read: usize,
}

/// The share of each peer, as things are.
pub(crate) fn share() -> Share {
    if QUEUED.get() < QUEUED_MANY {
        Share { queue: 128 << 10, read: 64 << 10 }
    } else {
        Share { queue: 8 << 10, read: 16 << 10 }
    }
}

/// Keeps the number of queued bytes when one queue changes from `before` to `after`.
pub(crate) fn count_queued(before: usize, after: usize) {
    QUEUED.set((QUEUED.get() + after).saturating_sub(before));
}

/// Makes room for a read of up to `wanted` bytes. What is left of a buffer is used up first: pieces of it may wait in a queue
/// for long, and each of them keeps the whole of it.
pub(crate) fn make_room(buffer: &mut BytesMut, wanted: usize) {
    if buffer.capacity() == 0 && wanted <= SIZE {
        *buffer = take();
    }
    let left = buffer.capacity() - buffer.len();
    if left < wanted.min(READ_MIN) {
        buffer.reserve(wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::Queue;
    use bytes::Bytes;

    #[test]
    fn a_crowd_that_takes_nothing_leaves_less_for_each() {
        let generous = share();
        let mut queues: Vec<Queue> = (0..3).map(|_| Queue::default()).collect();
        for queue in &mut queues {
            queue.push(Bytes::from(vec![0; QUEUED_MANY / 2]));
            queue.push(Bytes::from_static(b"small"));
        }
        let meagre = share();
        assert!(meagre.queue < generous.queue && meagre.read < generous.read, "{meagre:?}");
        queues.truncate(2);
        assert_eq!(share().queue, meagre.queue);
        queues.iter_mut().for_each(Queue::clear);
        assert_eq!((share().queue, QUEUED.get()), (generous.queue, 0));
    }

    #[test]
    fn what_is_left_of_a_buffer_is_used_up() {
        let mut buffer = BytesMut::new();
        make_room(&mut buffer, 64 << 10);
        let whole = buffer.capacity();
        let mut pieces = Vec::new();
        // Pieces that wait in a queue, as an upstream sends them that has no hurry.
        for _ in 0..6 {
            make_room(&mut buffer, 64 << 10);
            buffer.extend_from_slice(&[0; 10_000]);
            pieces.push(buffer.split().freeze());
        }
        assert_eq!(buffer.capacity(), whole - 60_000, "another buffer was taken");
        buffer.extend_from_slice(&vec![0; buffer.capacity() - 100]);
        make_room(&mut buffer, 64 << 10);
        assert!(buffer.capacity() - buffer.len() >= 64 << 10);
    }
}
