//! Requests that plugins make to other servers.

use super::{
    Edge,
    relay::{AttemptError, Relay, Timeouts, within},
    subrequest::Buffer,
};
use crate::upstream::Node;
use bytes::BytesMut;
use engine::h1::client::{Client, UpstreamError};
use futures_util::future::LocalBoxFuture;
use plugin::{Courier, Outbound, OutboundAnswer, OutboundError, RequestBody};
use std::{cell::Cell, rc::Rc, sync::Arc};
use wire::{BodyLength, Downstream, Frame};

/// What may go on beside requests on one worker.
const DETACHED_MAX: usize = 1024;

impl Courier for Edge {
    fn send(self: Rc<Self>, request: Outbound) -> LocalBoxFuture<'static, Result<OutboundAnswer, OutboundError>> {
        Box::pin(async move {
            let max = request.max_answer;
            match self.ask(&request).await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => Err(OutboundError::TooLong(max)),
                Err(error) => Err(OutboundError::Failed(error.to_string())),
            }
        })
    }

    fn detach(self: Rc<Self>, work: LocalBoxFuture<'static, ()>) -> bool {
        let Some(place) = Place::take(&self.detached) else { return false };
        engine::spawn_beside(async move {
            work.await;
            drop(place);
        });
        true
    }
}

impl Edge {
    /// `None` when the answer is too long.
    async fn ask(&self, request: &Outbound) -> Result<Option<OutboundAnswer>, AttemptError> {
        let node = Arc::new(Node::of(&request.server, request.port));
        let addr = self.resolver.resolve(&node).await?;
        let timeouts = Timeouts { connect: request.connect, send: request.send, read: request.read };
        let mut pooled = self.pool.take(addr, None);
        loop {
            let is_pooled = pooled.is_some();
            let mut client = match pooled.take() {
                Some(client) => client,
                None => match within(request.connect, Client::connect(addr, None)).await {
                    Some(Ok(client)) => Box::new(client),
                    Some(Err(error)) => return Err(UpstreamError::Io(error).into()),
                    None => return Err(AttemptError::TimedOut("accept the connection")),
                },
            };
            let source: Rc<dyn Downstream> = Rc::new(Buffer::new(request.body.clone(), false, 0));
            let mut body = RequestBody::new(source.clone(), self.bodies.clone());
            let length = match request.body.len() {
                0 => BodyLength::None,
                length => BodyLength::Exact(length as u64),
            };
            client.send_head(&request.method, &request.target, &request.host, &request.fields, length, None);
            let mut relay = Relay::new(client, &source, &self.options.limits, timeouts);
            let head = match relay.head(&mut body).await {
                Ok(head) => head,
                Err(AttemptError::Upstream(UpstreamError::Closed))
                    if is_pooled && (request.method.is_idempotent() || !relay.client.has_sent()) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut answer = BytesMut::new();
            loop {
                match std::future::poll_fn(|cx| relay.poll_frame(cx, &mut body)).await? {
                    Frame::Data(data) if answer.len() + data.len() > request.max_answer => return Ok(None),
                    Frame::Data(data) => answer.extend_from_slice(&data),
                    Frame::Trailers(_) | Frame::End => break,
                }
            }
            self.pool.put(addr, relay.client, &self.options.pool);
            return Ok(Some(OutboundAnswer { status: head.status, fields: head.fields, body: answer.freeze() }));
        }
    }
}

/// One of the things that go on; whoever drops it makes room.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(count: &Rc<Cell<usize>>) -> Option<Self> {
        if count.get() >= DETACHED_MAX {
            return None;
        }
        count.set(count.get() + 1);
        Some(Self(count.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
