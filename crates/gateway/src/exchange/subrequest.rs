//! Requests that a plugin makes to the gateway itself: through the whole request path, without a connection.

use super::Edge;
use bytes::Bytes;
use engine::{Service, Timer, h1::parse};
use futures_util::future::LocalBoxFuture;
use plugin::{Dispatcher, Subanswer, Subrequest};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};
use wire::{
    BodyError, BodyLength, BodySource, ConnectionFacts, Downstream, Frame, PeerAddr, RequestHead, ResponseHead,
    SendError, downstream::Tunnel,
};

impl Dispatcher for Edge {
    fn dispatch(self: Rc<Self>, request: Subrequest) -> LocalBoxFuture<'static, Subanswer> {
        Box::pin(async move {
            let Subrequest { head: text, body, client, local, serial, max_answer } = request;
            let mut head = RequestHead::default();
            // As strict as with any client.
            if let Err((status, _)) = parse::request(&text, &self.options.limits, &mut head) {
                return Subanswer { status, ..Subanswer::default() };
            }
            // The address is the outer client's, whatever the request says: it stands for the connection, and in the field that
            // would be believed if that client were a trusted peer.
            head.fields.set(&self.options.real_ip_header, client.to_string().as_bytes());
            let has_body = head.method != wire::Method::Head;
            let buffer = Rc::new(Buffer::new(body, has_body, max_answer));
            let connection = ConnectionFacts { peer: PeerAddr(client.0), local, serial };
            let downstream: Rc<dyn Downstream> = buffer.clone();
            self.serve(head, downstream, connection).await;
            buffer.answer()
        })
    }
}

/// A client within the gateway: its request's body, and what it is answered.
pub(super) struct Buffer {
    body: RefCell<Bytes>,
    length: BodyLength,
    max_body: Cell<u64>,
    has_body: bool,
    max_answer: usize,
    head: RefCell<Option<ResponseHead>>,
    received: RefCell<Vec<u8>>,
    is_ended: Cell<bool>,
    is_too_long: Cell<bool>,
    timer: RefCell<Timer>,
}

impl Buffer {
    pub(super) fn new(body: Bytes, has_body: bool, max_answer: usize) -> Self {
        let length = if body.is_empty() { BodyLength::None } else { BodyLength::Exact(body.len() as u64) };
        Self {
            body: RefCell::new(body),
            length,
            max_body: Cell::new(u64::MAX),
            has_body,
            max_answer,
            head: RefCell::default(),
            received: RefCell::default(),
            is_ended: Cell::default(),
            is_too_long: Cell::default(),
            timer: RefCell::default(),
        }
    }

    fn answer(&self) -> Subanswer {
        let head = self.head.take();
        let is_whole = self.is_ended.get() && !self.is_too_long.get();
        let Some(head) = head.filter(|_| is_whole) else {
            return Subanswer { status: 502, is_too_long: self.is_too_long.get(), ..Subanswer::default() };
        };
        let ResponseHead { status, reason, fields, .. } = head;
        Subanswer { status, reason, fields, body: self.received.take().into(), is_too_long: false }
    }
}

impl BodySource for Buffer {
    fn poll_frame(&self, _: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        let body = self.body.take();
        Poll::Ready(match body.len() as u64 {
            0 => Ok(Frame::End),
            len if len > self.max_body.get() => Err(BodyError::TooLarge(self.max_body.get())),
            _ => Ok(Frame::Data(body)),
        })
    }

    fn length(&self) -> BodyLength {
        self.length
    }

    fn limit(&self, max: u64) {
        self.max_body.set(max);
    }
}

impl Downstream for Buffer {
    fn send_interim(&self, _: &ResponseHead) {}

    fn send_head(&self, head: &ResponseHead, _: BodyLength) {
        self.head.replace(Some(head.clone()));
    }

    fn send_frame(&self, frame: Frame) {
        match frame {
            Frame::Data(_) if !self.has_body => {}
            Frame::Data(data) => {
                let mut received = self.received.borrow_mut();
                if received.len() + data.len() > self.max_answer {
                    self.is_too_long.set(true);
                    received.clear();
                } else if !self.is_too_long.get() {
                    received.extend_from_slice(&data);
                }
            }
            Frame::Trailers(_) | Frame::End => self.is_ended.set(true),
        }
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        // Nobody wants the rest.
        Poll::Ready(if self.is_too_long.get() { Err(SendError::Gone) } else { Ok(()) })
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn poll_deadline(&self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.timer.borrow_mut().poll(cx, deadline)
    }

    fn close_after(&self) {}

    fn abort(&self) {
        self.is_ended.set(false);
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

    fn is_subrequest(&self) -> bool {
        true
    }
}
