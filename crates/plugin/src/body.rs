use bytes::{Bytes, BytesMut};
use std::{
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use wire::{BodyError, BodyLength, BodySource, Frame};

/// What request bodies in memory may cost, over all requests and for one.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Bytes in memory now, of all requests and all workers.
    held: Arc<AtomicU64>,
    /// Bytes that may be.
    pub budget: u64,
    /// Longest body that `post_arg*` looks into.
    pub arguments: u64,
    /// Longest body that `graphql_*` looks into.
    pub graphql: u64,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self::new(512 << 20, 64 << 20, 1 << 20)
    }
}

impl BodyLimits {
    /// Nothing is in memory yet.
    pub fn new(budget: u64, arguments: u64, graphql: u64) -> Self {
        Self { held: Arc::default(), budget, arguments, graphql }
    }

    /// Bytes of bodies that are in memory now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), BodyError> {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if held <= self.budget {
            return Ok(());
        }
        self.give_back(bytes);
        Err(BodyError::NoBudget)
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A request's body: still at the client, or read into memory by the first that needs it.
#[allow(missing_debug_implementations)]
pub struct RequestBody {
    source: Rc<dyn BodySource>,
    /// Counted once per worker and not once per request: all workers share the counter within.
    limits: Rc<BodyLimits>,
    held: Held,
    /// How many bytes of the budget are ours.
    taken: u64,
    offset: bool,
    started: bool,
}

enum Held {
    Nothing,
    /// The beginning of a body that is longer than anybody wanted in memory.
    Start(Bytes),
    Whole(Bytes),
}

impl RequestBody {
    /// A body that is still at the client.
    pub fn new(source: Rc<dyn BodySource>, limits: Rc<BodyLimits>) -> Self {
        Self { source, limits, held: Held::Nothing, taken: 0, offset: false, started: false }
    }

    /// What bodies may cost.
    pub fn limits(&self) -> &BodyLimits {
        &self.limits
    }

    /// What is known of the length.
    pub fn length(&self) -> BodyLength {
        match &self.held {
            Held::Whole(bytes) if bytes.is_empty() => BodyLength::None,
            Held::Whole(bytes) => BodyLength::Exact(bytes.len() as u64),
            Held::Nothing | Held::Start(_) => self.source.length(),
        }
    }

    /// Whether the whole body is in memory.
    pub fn is_buffered(&self) -> bool {
        matches!(self.held, Held::Whole(_))
    }

    /// Whether nothing of it is unknown: it is in memory, or there is none.
    pub fn is_known(&self) -> bool {
        self.is_buffered() || self.source.length() == BodyLength::None
    }

    /// The whole body when it is in memory.
    pub fn buffered(&self) -> Option<&Bytes> {
        match &self.held {
            Held::Whole(bytes) => Some(bytes),
            Held::Nothing | Held::Start(_) => None,
        }
    }

    /// Whether nothing of it has been passed on, so that the request can be sent again.
    pub fn is_replayable(&self) -> bool {
        self.is_buffered() || !self.started || self.source.length() == BodyLength::None
    }

    /// Goes back to the start of a buffered body.
    pub fn rewind(&mut self) {
        self.offset = false;
    }

    /// The whole body, read into memory if it was not; at most `max` bytes.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] above `max`, or what reading it ended with.
    pub async fn bytes(&mut self, max: usize) -> Result<Bytes, BodyError> {
        let max = max as u64;
        self.gather(max).await?;
        match &self.held {
            Held::Whole(bytes) if bytes.len() as u64 <= max => Ok(bytes.clone()),
            _ => Err(BodyError::TooLarge(max)),
        }
    }

    /// Reads the body into memory unless it is longer than `max` bytes; says whether it is there. What was read of a longer one is
    /// passed on before the rest.
    ///
    /// # Errors
    /// What reading it ended with; [`BodyError::NoBudget`] when too much of other requests is in memory.
    pub async fn gather(&mut self, max: u64) -> Result<bool, BodyError> {
        self.gather_with(max, |_| true).await
    }

    /// The same, while `look` sees after each piece all that has come so far, and may end it.
    ///
    /// # Errors
    /// As those of [`RequestBody::gather`].
    pub async fn gather_with(&mut self, max: u64, mut look: impl FnMut(&[u8]) -> bool) -> Result<bool, BodyError> {
        let mut read = match &mut self.held {
            Held::Whole(bytes) => return Ok(look(bytes)),
            Held::Start(start) if start.len() as u64 > max => return Ok(false),
            Held::Nothing if self.started => return Ok(false),
            Held::Start(start) => BytesMut::from(&**start),
            Held::Nothing => BytesMut::new(),
        };
        if let BodyLength::Exact(n) = self.source.length()
            && n > max
        {
            return Ok(false);
        }
        if !read.is_empty() && !look(&read) {
            return Ok(false);
        }
        loop {
            match poll_fn(|cx| self.source.poll_frame(cx)).await? {
                Frame::Data(data) => {
                    self.limits.take(data.len() as u64)?;
                    self.taken += data.len() as u64;
                    read.extend_from_slice(&data);
                    if read.len() as u64 > max || !look(&read) {
                        self.held = Held::Start(read.freeze());
                        return Ok(false);
                    }
                }
                // Trailers of a request that was read whole are dropped, as RFC 9110, section 6.5.1 allows.
                Frame::Trailers(_) => {}
                Frame::End => break,
            }
        }
        self.held = Held::Whole(read.freeze());
        Ok(true)
    }

    /// Puts another body in its place. It is in memory already, and so it counts even where the budget is used up.
    pub fn replace(&mut self, bytes: Bytes) {
        self.limits.give_back(self.taken);
        self.taken = bytes.len() as u64;
        self.limits.held.fetch_add(self.taken, Ordering::Relaxed);
        self.held = Held::Whole(bytes);
        self.offset = false;
    }

    /// Pulls the next frame to pass on upstream.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        match &mut self.held {
            Held::Whole(bytes) => {
                let frame = if self.offset || bytes.is_empty() { Frame::End } else { Frame::Data(bytes.clone()) };
                self.offset = true;
                Poll::Ready(Ok(frame))
            }
            Held::Start(start) => {
                let start = std::mem::take(start);
                self.held = Held::Nothing;
                self.started = true;
                self.limits.give_back(std::mem::take(&mut self.taken));
                Poll::Ready(Ok(Frame::Data(start)))
            }
            Held::Nothing => {
                let polled = self.source.poll_frame(cx);
                self.started |= polled.is_ready();
                polled
            }
        }
    }
}

/// A response's body that a filter has to hold until it is whole: bounded for one response, and counted with the request bodies that
/// are in memory.
#[derive(Debug)]
pub struct HeldBody {
    limits: BodyLimits,
    data: BytesMut,
    max: u64,
    taken: u64,
}

impl HeldBody {
    /// At most `max` bytes.
    pub fn new(limits: &BodyLimits, max: u64) -> Self {
        Self { limits: limits.clone(), data: BytesMut::new(), max, taken: 0 }
    }

    /// Adds what has come.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`]: nothing was added; or [`BodyError::NoBudget`].
    pub fn push(&mut self, data: &[u8]) -> Result<(), BodyError> {
        if self.room() < data.len() as u64 {
            return Err(BodyError::TooLarge(self.max));
        }
        self.count(data.len() as u64)?;
        self.data.extend_from_slice(data);
        Ok(())
    }

    /// How many more bytes may come.
    pub fn room(&self) -> u64 {
        self.max.saturating_sub(self.data.len() as u64)
    }

    /// Counts memory for what is made of the body, until this is dropped.
    ///
    /// # Errors
    /// [`BodyError::NoBudget`]
    pub fn count(&mut self, bytes: u64) -> Result<(), BodyError> {
        self.limits.take(bytes)?;
        self.taken += bytes;
        Ok(())
    }

    /// What has come.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// Takes out what has come, which counts until this is dropped.
    pub fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.data).freeze()
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        self.limits.give_back(self.taken);
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.limits.give_back(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use parking_lot::Mutex;
    use std::{collections::VecDeque, task::Waker};

    /// Sends what it was told to; waits for ever when that is over.
    struct Client(BodyLength, Mutex<VecDeque<Frame>>);

    impl BodySource for Client {
        fn poll_frame(&self, _: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
            self.1.lock().pop_front().map_or(Poll::Pending, |frame| Poll::Ready(Ok(frame)))
        }

        fn length(&self) -> BodyLength {
            self.0
        }

        fn limit(&self, _: u64) {}
    }

    fn body(limits: &Rc<BodyLimits>, length: BodyLength, pieces: &[&'static [u8]], ends: bool) -> RequestBody {
        let data = pieces.iter().map(|piece| Frame::Data(Bytes::from_static(piece)));
        let frames = data.chain(ends.then_some(Frame::End)).collect();
        RequestBody::new(Rc::new(Client(length, Mutex::new(frames))), limits.clone())
    }

    fn rest(body: &mut RequestBody) -> Vec<u8> {
        let mut all = Vec::new();
        while let Poll::Ready(Ok(Frame::Data(data))) = body.poll_frame(&mut Context::from_waker(Waker::noop())) {
            all.extend_from_slice(&data);
        }
        all
    }

    #[test]
    fn a_body_that_is_longer_than_wanted_is_passed_on_whole() {
        let limits = Rc::new(BodyLimits::default());
        for (desc, length, max, whole) in [
            ("short", BodyLength::Unknown, 6, true),
            ("long", BodyLength::Unknown, 3, false),
            ("long, and says so", BodyLength::Exact(6), 5, false),
        ] {
            let mut body = body(&limits, length, &[b"ab", b"cd", b"ef"], true);
            assert_eq!(body.gather(max).now_or_never(), Some(Ok(whole)), "{desc}");
            assert_eq!((body.is_buffered(), body.is_replayable()), (whole, true), "{desc}");
            assert_eq!(rest(&mut body), b"abcdef", "{desc}");
            assert_eq!(body.is_replayable(), whole, "{desc}");
        }
        // Somebody else wants more.
        let mut body = body(&limits, BodyLength::Unknown, &[b"ab", b"cd", b"ef"], true);
        assert_eq!(body.gather(1).now_or_never(), Some(Ok(false)));
        assert_eq!(body.bytes(5).now_or_never(), Some(Err(BodyError::TooLarge(5))));
        assert_eq!(body.bytes(6).now_or_never().unwrap().unwrap(), "abcdef");
        drop(body);
        assert_eq!(limits.held(), 0);
    }

    #[test]
    fn a_held_response_is_bounded_and_counted() {
        let limits = BodyLimits { budget: 10, ..BodyLimits::default() };
        let mut held = HeldBody::new(&limits, 6);
        assert_eq!(held.push(b"abcd"), Ok(()));
        assert_eq!(held.push(b"efg"), Err(BodyError::TooLarge(6)));
        assert_eq!((held.bytes(), held.room(), limits.held()), (&b"abcd"[..], 2, 4));
        assert_eq!(held.count(7), Err(BodyError::NoBudget));
        assert_eq!(held.count(6), Ok(()));
        assert_eq!(HeldBody::new(&limits, 6).push(b"a"), Err(BodyError::NoBudget));
        drop(held);
        assert_eq!(limits.held(), 0);
    }

    #[test]
    fn the_budget_is_shared_and_given_back() {
        let limits = Rc::new(BodyLimits { budget: 10, ..BodyLimits::default() });
        let mut first = body(&limits, BodyLength::Unknown, &[b"abcdef"], false);
        // It waits for more.
        assert_eq!(first.gather(100).now_or_never(), None);
        let mut second = body(&limits, BodyLength::Unknown, &[b"abc", b"def"], true);
        assert_eq!(second.gather(100).now_or_never(), Some(Err(BodyError::NoBudget)));
        assert_eq!(limits.held(), 9);
        drop(second);
        assert_eq!(limits.held(), 6);
        // The client goes away in the middle.
        drop(first);
        assert_eq!(limits.held(), 0);
        let mut third = body(&limits, BodyLength::Unknown, &[b"abcdefghij"], true);
        assert_eq!(third.gather(100).now_or_never(), Some(Ok(true)));
        third.replace(Bytes::from_static(b"x"));
        assert_eq!(limits.held(), 1);
        drop(third);
        assert_eq!(limits.held(), 0);
    }
}
