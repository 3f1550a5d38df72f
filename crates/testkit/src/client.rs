//! A client that is no connection: it sends one body and keeps what it is sent.

use crate::compare::Answer;
use bytes::Bytes;
use engine::Timer;
use std::{
    cell::{Cell, RefCell},
    task::{Context, Poll},
    time::Instant,
};
use wire::{BodyError, BodyLength, BodySource, Downstream, Fields, Frame, ResponseHead, SendError, downstream::Tunnel};

pub(crate) struct Client {
    body: RefCell<Option<Bytes>>,
    length: BodyLength,
    /// An answer to HEAD loses its body in the codec.
    takes_body: bool,
    max: Cell<u64>,
    head: RefCell<Option<ResponseHead>>,
    received: RefCell<Vec<u8>>,
    is_ended: Cell<bool>,
    is_aborted: Cell<bool>,
    timer: RefCell<Timer>,
}

impl Client {
    pub(crate) fn sending(body: Option<&str>, takes_body: bool) -> Self {
        let length = body.map_or(BodyLength::None, |body| BodyLength::Exact(body.len() as u64));
        Self {
            body: RefCell::new(body.map(|body| Bytes::copy_from_slice(body.as_bytes()))),
            length,
            takes_body,
            max: Cell::new(u64::MAX),
            head: RefCell::default(),
            received: RefCell::default(),
            is_ended: Cell::default(),
            is_aborted: Cell::default(),
            timer: RefCell::default(),
        }
    }

    /// The answer, which has to be whole.
    pub(crate) fn answer(&self) -> Answer {
        assert!(!self.is_aborted.get(), "the exchange was reset");
        assert!(self.is_ended.get(), "the answer has no end");
        let head = self.head.borrow();
        let head = head.as_ref().expect("an answer has a head");
        Answer { status: head.status, fields: texts(&head.fields), body: self.received.borrow().clone() }
    }
}

/// Fields as text.
pub(crate) fn texts(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

impl BodySource for Client {
    fn poll_frame(&self, _cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        Poll::Ready(match self.body.borrow_mut().take().filter(|body| !body.is_empty()) {
            Some(body) if body.len() as u64 > self.max.get() => Err(BodyError::TooLarge(self.max.get())),
            Some(body) => Ok(Frame::Data(body)),
            None => Ok(Frame::End),
        })
    }

    fn length(&self) -> BodyLength {
        self.length
    }

    fn limit(&self, max: u64) {
        self.max.set(max);
    }
}

impl Downstream for Client {
    fn send_interim(&self, _head: &ResponseHead) {}

    fn send_head(&self, head: &ResponseHead, _body: BodyLength) {
        assert!(self.head.replace(Some(head.clone())).is_none(), "an answer has one head");
    }

    fn send_frame(&self, frame: Frame) {
        assert!(!self.is_ended.get(), "nothing follows the end of an answer: {frame:?}");
        match frame {
            Frame::Data(_) if !self.takes_body => {}
            Frame::Data(data) => self.received.borrow_mut().extend_from_slice(&data),
            Frame::Trailers(_) | Frame::End => self.is_ended.set(true),
        }
    }

    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&self, _cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn poll_deadline(&self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.timer.borrow_mut().poll(cx, deadline)
    }

    fn close_after(&self) {}

    fn abort(&self) {
        self.is_aborted.set(true);
    }

    fn bytes_sent(&self) -> (u64, u64) {
        let body = self.received.borrow().len() as u64;
        (body, body)
    }

    fn bytes_received(&self) -> u64 {
        0
    }

    fn connection_requests(&self) -> u64 {
        1
    }

    fn tunnel(&self) -> Option<Box<dyn Tunnel>> {
        None
    }
}
