//! The Admin, control, status and export listeners: handlers on the engine's own connections.

use bytes::Bytes;
use engine::Service;
use plugin::{Reply, ReplyBody};
use std::{future::poll_fn, rc::Rc};
use wire::{
    BodyError, BodyLength, ConnectionFacts, Downstream, Frame, Method, RequestHead, ResponseHead, Source, path, status,
};

/// A request to one of our own APIs.
pub(crate) type Call = admin::AdminRequest;

/// Something that answers calls.
pub(crate) trait Api: 'static {
    /// Whether a call is worth reading its body, which is not in it yet.
    ///
    /// # Errors
    /// The answer to one that is not.
    fn admit(&self, _call: &Call) -> Result<(), Reply> {
        Ok(())
    }

    /// Answers one call.
    fn answer(&self, call: Call) -> impl Future<Output = Reply>;

    /// Bytes that the body of a request may have, once it was admitted.
    fn max_body(&self) -> usize;

    /// The answer to a body that could not be read.
    fn bad_body(&self, error: &BodyError) -> Reply;
}

/// Serves an API on a listener.
pub(crate) struct ApiService<A> {
    pub(crate) api: A,
    pub(crate) server: String,
}

impl<A: Api> Service for ApiService<A> {
    async fn serve(&self, head: RequestHead, downstream: Rc<dyn Downstream>, connection: ConnectionFacts) {
        let is_head = head.method == Method::Head;
        let (raw_path, query) = path::split_query(&head.target);
        let Ok(normal) = path::MatchPath::normalise(raw_path) else {
            downstream.close_after();
            return self.send(Reply::status(400), &downstream, is_head).await;
        };
        let mut call = Call {
            path: String::from_utf8_lossy(&normal.path).into_owned(),
            query: query.map(<[u8]>::to_vec),
            method: head.method,
            fields: head.fields,
            body: Bytes::new(),
            peer: connection.peer.0.ip(),
        };
        let reply = match self.api.admit(&call) {
            Err(reply) => reply,
            Ok(()) => match read_body(&downstream, self.api.max_body()).await {
                Err(BodyError::Gone) => return downstream.abort(),
                Err(error) => self.api.bad_body(&error),
                Ok(body) => {
                    call.body = body;
                    self.api.answer(call).await
                }
            },
        };
        self.send(reply, &downstream, is_head).await;
    }

    fn refused(&self, connection: ConnectionFacts, status: u16, reason: &'static str) {
        tracing::warn!(reason, status, client = %connection.peer.0.ip(), "request to an API of the gateway refused");
    }

    fn cut(&self, connection: ConnectionFacts, reason: &'static str) {
        tracing::warn!(reason, client = %connection.peer.0.ip(), "connection to an API of the gateway ended");
    }
}

impl<A> ApiService<A> {
    async fn send(&self, reply: Reply, downstream: &Rc<dyn Downstream>, is_head: bool) {
        let Reply { status, fields, body } = reply;
        let mut head = ResponseHead::new(status, Source::Gateway);
        head.fields.push(b"Date", &engine::http_date());
        for (name, value) in fields.iter() {
            head.fields.push(name, value);
        }
        let body = match body {
            ReplyBody::Bytes(body) => body,
            ReplyBody::Default => {
                let page = status::page(status).map(Bytes::from).unwrap_or_default();
                if !page.is_empty() {
                    head.fields.set("Content-Type", b"text/html; charset=utf-8");
                }
                page
            }
        };
        if !body.is_empty() && !head.fields.contains("content-type") {
            head.fields.push(b"Content-Type", b"text/plain; charset=utf-8");
        }
        head.fields.set("Server", self.server.as_bytes());
        let length = if body.is_empty() { BodyLength::None } else { BodyLength::Exact(body.len() as u64) };
        downstream.send_head(&head, length);
        if !body.is_empty() && !is_head {
            downstream.send_frame(Frame::Data(body));
        }
        downstream.send_frame(Frame::End);
        let _ = poll_fn(|cx| downstream.poll_flush(cx)).await;
    }
}

async fn read_body(downstream: &Rc<dyn Downstream>, max: usize) -> Result<Bytes, BodyError> {
    if let BodyLength::Exact(n) = downstream.length()
        && n > max as u64
    {
        return Err(BodyError::TooLarge(max as u64));
    }
    let mut whole = bytes::BytesMut::new();
    loop {
        match poll_fn(|cx| downstream.poll_frame(cx)).await? {
            Frame::Data(data) if whole.len() + data.len() > max => return Err(BodyError::TooLarge(max as u64)),
            Frame::Data(data) => whole.extend_from_slice(&data),
            Frame::Trailers(_) => {}
            Frame::End => return Ok(whole.freeze()),
        }
    }
}
