//! Spare buffers of a worker. An idle connection holds none, and a busy one does not ask the allocator for each message.

use bytes::BytesMut;
use std::cell::RefCell;

/// Bytes of a spare buffer: a head and a short body.
pub(crate) const SIZE: usize = 8 << 10;
/// Larger ones go back to the allocator.
const SIZE_MAX: usize = 32 << 10;
/// Spare buffers of one worker.
const SPARE_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for at least [`SIZE`] bytes.
pub(crate) fn take() -> BytesMut {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(SIZE))
}

/// Gives a buffer back; what it holds is forgotten. One that is still shared, or of another size, is dropped.
pub(crate) fn give(mut buffer: BytesMut) {
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
