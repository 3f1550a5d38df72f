//! Requests that plugins make to other servers.

use super::{
    Edge,
    connection::{Connected, may_repeat, was_dead},
    relay::{AttemptError, Relay, Timeouts},
    subrequest::Buffer,
};
use crate::upstream::Node;
use bytes::BytesMut;
use engine::tls::{Secure, TlsSettings, server_name};
use futures_util::future::LocalBoxFuture;
use plugin::{Courier, Outbound, OutboundAnswer, OutboundError, RequestBody, Trust};
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
    fn tls_settings(&self, trust: &Trust) -> Arc<TlsSettings> {
        let verifies = match trust {
            Trust::AsUpstream(tls) => match tls.0.clone().downcast() {
                Ok(settings) => return settings,
                // It is not ours; nothing less than this is meant.
                Err(_) => true,
            },
            Trust::Verified => true,
            Trust::Unverified => false,
            Trust::AsUpstreams => self.upstreams.verifies_upstreams(),
        };
        self.upstreams.tls(&self.upstreams.nobody(), verifies)
    }

    /// `None` when the answer is too long.
    async fn ask(&self, request: &Outbound) -> Result<Option<OutboundAnswer>, AttemptError> {
        let node = Arc::new(Node::of(&request.server, request.port));
        let addr = self.resolver.resolve(&node).await?;
        let timeouts = Timeouts { connect: request.connect, send: request.send, read: request.read };
        let tls = request.tls.as_ref().map(|tls| (self.tls_settings(&tls.trust), server_name(&tls.name)));
        let secure = tls.as_ref().map(|(settings, name)| Secure { settings, name });
        let mut may_be_kept = true;
        loop {
            let connected = self.connect(addr, secure, request.connect, may_be_kept).await?;
            let Connected { mut client, is_kept, .. } = connected;
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
                Err(error) if was_dead(is_kept, &error) && may_repeat(&request.method, relay.client.has_sent()) => {
                    may_be_kept = false;
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
