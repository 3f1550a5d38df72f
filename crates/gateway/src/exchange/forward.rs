//! From the chosen upstream to the last byte of its answer.

use super::{
    Exchange,
    connection::{Connected, may_repeat, was_dead},
    held_answer::Start,
    relay::{AttemptError, Relay, Timeouts, within},
    request, response, tunnel, upstream_head,
};
use crate::{
    chain::{Chain, run},
    snapshot::{CompiledRoute, Snapshot},
    upstream::{CompiledUpstream, Pick},
};
use engine::{
    PoolLimits,
    h1::client::{Client, UpstreamError},
    tls::{Secure, server_name},
};
use plugin::{ChosenUpstream, Frames, Reply, SlotId, UpstreamHead};
use std::{
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};
use wire::{BodyError, BodyLength, Frame, ResponseHead, Source};

/// The nodes of a service that is not known yet are waited for so long.
const DISCOVERY: Duration = Duration::from_secs(10);

impl<'a> Exchange<'a> {
    pub(super) async fn forward(&mut self, route: &CompiledRoute, snapshot: &Snapshot) {
        let chosen = match &self.cx.upstream.chosen {
            Some(ChosenUpstream::Own(slot, index)) => self.own_upstream(snapshot.global(), *slot, *index).ok_or(500),
            Some(ChosenUpstream::Id(id)) => snapshot.upstream_of(route, Some(id)),
            None => snapshot.upstream_of(route, None),
        };
        let upstream = match chosen {
            Ok(upstream) => upstream,
            Err(status) => {
                tracing::error!(route = %self.route_id(), status, "missing upstream configuration in Route or Service");
                return self.reply(Reply::status(status), Source::Gateway).await;
            }
        };
        if let Err(error) = self.gather_body().await {
            return self.refuse_body(&error).await;
        }
        let timeouts = route.timeouts.unwrap_or(upstream.timeouts);
        let timeouts = Timeouts { connect: timeouts.connect, send: timeouts.send, read: timeouts.read };
        let pool_limits = upstream.pool.unwrap_or(self.edge.options.pool);
        let started = engine::now();
        if upstream.is_unsettled() {
            let _ = within(DISCOVERY, upstream.settled()).await;
        }
        let mut picks = upstream.picks();
        let mut retries_left = upstream.retries(picks.count());
        let mut failure: Option<AttemptError> = None;
        let mut is_reached = false;
        loop {
            if upstream.retry_timeout.is_some_and(|limit| failure.is_some() && (engine::now() - started) >= limit) {
                tracing::warn!("the time for retries is over");
                return self.fail(502).await;
            }
            if let Some(error) = &failure {
                picks.failed(matches!(error, AttemptError::TimedOut(_)));
            }
            let Some(pick) = picks.next(&self.cx) else {
                let is_empty = picks.count() == 0;
                tracing::error!(route = %self.route_id(), tried = self.cx.tried.len(), "no valid upstream node");
                match (&failure, is_empty) {
                    (Some(_), _) if is_reached => return self.fail(502).await,
                    (Some(_), _) | (None, true) => return self.reply(Reply::status(503), Source::Gateway).await,
                    (None, false) => return self.reply(Reply::status(502), Source::Gateway).await,
                }
            };
            if upstream.counts_answers() {
                self.counted = Some((upstream.clone(), pick.clone()));
            }
            match self.attempt(&upstream, &pick, timeouts, route).await {
                Ok((relay, head, addr)) => {
                    return self.answer(relay, head, addr, &pool_limits, started).await;
                }
                Err(Failed::Reply(reply, source)) => return self.reply(reply, source).await,
                Err(Failed::Attempt(AttemptError::RequestBody(error), _)) => return self.refuse_body(&error).await,
                Err(Failed::Attempt(AttemptError::ClientGone, _)) => {
                    self.cx.response.status = 499;
                    self.downstream.abort();
                    return;
                }
                Err(Failed::Attempt(error, may_retry)) => {
                    tracing::warn!(%error, node = %pick.name(), route = %self.route_id(), "an attempt to reach the upstream failed");
                    let is_unresolved = matches!(error, AttemptError::Unresolved(_));
                    is_reached |= !is_unresolved;
                    if !may_retry || retries_left == 0 {
                        return match (is_reached, is_unresolved) {
                            // A node whose name leads nowhere is none.
                            (false, _) => self.reply(Reply::status(503), Source::Gateway).await,
                            (true, true) => self.fail(502).await,
                            (true, false) => self.fail(response::status_of(&error)).await,
                        };
                    }
                    retries_left -= 1;
                    failure = Some(error);
                    self.cx.request.body.rewind();
                }
            }
        }
    }

    /// An upstream that a plugin has brought.
    fn own_upstream(&self, global: &Chain, slot: SlotId, index: usize) -> Option<Arc<CompiledUpstream>> {
        let slot = global.slots().iter().chain(self.chain.slots()).find(|have| have.id == slot)?;
        slot.upstreams.get(index).cloned()
    }

    /// Reads a short body before the upstream is asked, so that it can be sent again and a slow client occupies nobody.
    async fn gather_body(&mut self) -> Result<(), BodyError> {
        match self.cx.request.body.length() {
            BodyLength::Exact(_) if self.cx.upstream.streams_body => Ok(()),
            BodyLength::Exact(n) if n <= self.edge.options.replay_max && !self.cx.request.body.is_buffered() => {
                self.cx.request.body.bytes(usize::try_from(n).unwrap_or(usize::MAX)).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// One attempt on one node, up to its head. A pooled connection that died unnoticed is replaced once.
    async fn attempt(
        &mut self,
        upstream: &Arc<CompiledUpstream>,
        pick: &Pick,
        timeouts: Timeouts,
        route: &CompiledRoute,
    ) -> Result<(Relay<'a>, ResponseHead, SocketAddr), Failed> {
        let addr = match self.edge.resolver.resolve(pick).await {
            Ok(addr) => addr,
            Err(error) => return Err(Failed::retry(AttemptError::Unresolved(error))),
        };
        self.cx.node = Some((pick.name(), addr));
        self.cx.tried.push(addr);
        let host = upstream.host_for(pick, &self.cx.request.authority);
        let mut head = upstream_head::build(&self.cx, host, self.takes_trailers);
        let global = self.held.0.global();
        if let Some(reply) = run::before_proxy(global, &self.chain, &mut self.cx, &mut head, &self.edge.shared).await {
            return Err(Failed::Reply(reply, Source::Plugin));
        }
        let settings = match self.held.0.tls_of(upstream) {
            Ok(settings) => settings,
            Err(status) => {
                tracing::error!(route = %self.route_id(), status, "the certificate that the upstream is to be shown cannot be used");
                return Err(Failed::Reply(Reply::status(status), Source::Gateway));
            }
        };
        let mut may_be_kept = true;
        loop {
            // What the upstream is called by is what it has to show a certificate for.
            let secure = settings.as_deref().map(|settings| Secure { settings, name: server_name(&head.host) });
            let connected = self.edge.connect(addr, secure, timeouts.connect, may_be_kept).await;
            self.cx.response.upstream_bytes.push((0, 0));
            let Connected { client, is_kept, took } = connected.map_err(Failed::retry)?;
            self.cx.timings.upstream_connect = Some(took);
            match self.send(client, &head, timeouts, route).await {
                Ok((relay, answer)) => return Ok((relay, answer, addr)),
                Err((error, has_sent)) => {
                    let body = &mut self.cx.request.body;
                    let may_repeat = body.is_replayable() && may_repeat(&head.method, has_sent);
                    if may_repeat && was_dead(is_kept, &error) {
                        self.cx.response.upstream_bytes.pop();
                        body.rewind();
                        may_be_kept = false;
                        continue;
                    }
                    let is_failure = !matches!(error, AttemptError::RequestBody(_) | AttemptError::ClientGone);
                    let is_answer = matches!(error, AttemptError::Upstream(UpstreamError::Malformed(_)));
                    return Err(Failed::Attempt(error, is_failure && !is_answer && may_repeat));
                }
            }
        }
    }

    /// Sends the request and waits for the final head.
    async fn send(
        &mut self,
        mut client: Box<Client>,
        head: &UpstreamHead,
        timeouts: Timeouts,
        route: &CompiledRoute,
    ) -> Result<(Relay<'a>, ResponseHead), (AttemptError, bool)> {
        let upgrade = self.upgrade.as_deref().filter(|_| route.enable_websocket);
        let length = self.cx.request.body.length();
        client.send_head(&head.method, &head.target, &head.host, &head.fields, length, upgrade);
        let mut relay = Relay::new(client, self.downstream, &self.edge.options.limits, timeouts);
        match relay.head(&mut self.cx.request.body).await {
            Ok(answer) if answer.status == 101 && upgrade.is_none() => {
                self.count_bytes(relay.client.bytes());
                Err((AttemptError::Upstream(UpstreamError::Malformed("unasked-upgrade")), true))
            }
            Ok(answer) => Ok((relay, answer)),
            Err(error) => {
                self.count_bytes(relay.client.bytes());
                let has_sent = relay.client.has_sent();
                Err((error, has_sent))
            }
        }
    }

    /// Notes what the attempt that runs has sent and received so far.
    fn count_bytes(&mut self, bytes: (u64, u64)) {
        if let Some(last) = self.cx.response.upstream_bytes.last_mut() {
            *last = bytes;
        }
    }

    /// Passes the answer on.
    async fn answer(
        &mut self,
        mut relay: Relay<'a>,
        mut head: ResponseHead,
        addr: SocketAddr,
        pool_limits: &PoolLimits,
        started: Instant,
    ) {
        self.count_bytes(relay.client.bytes());
        self.cx.timings.upstream_header = Some(engine::now() - started);
        self.cx.response.upstream_status = Some(head.status);
        let protocol = (head.status == 101).then(|| head.fields.get("upgrade").map(<[u8]>::to_vec)).flatten();
        request::remove_hop_by_hop(&mut head.fields);
        if let Some(protocol) = &protocol {
            head.fields.push(b"Upgrade", protocol);
        }
        self.cx.response.upstream_body_bytes = Some(0);
        if self.edge.options.keeps_upstream_fields {
            self.cx.response.upstream_fields = head.fields.clone();
        }
        let start = match self.hold(&mut relay, &mut head).await {
            Ok(start) => start,
            Err(instead) => {
                self.count_bytes(relay.client.bytes());
                self.cx.timings.upstream = Some(engine::now() - started);
                return self.answer_instead(instead).await;
            }
        };
        if self.header_filter(&mut head).is_err() {
            // The rest of the answer is unread: the connection to the upstream ends here.
            return self.break_down().await;
        }
        if head.status == 101 {
            self.downstream.send_head(&head, BodyLength::None);
            if let Some(raw) = self.downstream.tunnel() {
                let bytes = tunnel::run(relay.client, raw, self.edge.options.tunnel_idle).await;
                self.count_bytes(bytes);
            }
            self.cx.timings.upstream = Some(engine::now() - started);
            return;
        }
        let has_filter = run::has_body_filter(self.held.0.global(), &self.chain);
        let length = match start.length.unwrap_or_else(|| relay.client.length()) {
            // A filter that changes the length has taken the field away.
            BodyLength::None | BodyLength::Exact(_) if has_filter && !head.fields.contains("content-length") => {
                BodyLength::Unknown
            }
            length => length,
        };
        // A filter may have given the answer a status that has no body.
        let has_body = !matches!(head.status, 204 | 304);
        self.downstream.send_head(&head, length);
        let relayed = self.relay_body(&mut relay, start, has_filter, has_body).await;
        self.count_bytes(relay.client.bytes());
        match relayed {
            Ok(()) => {
                self.cx.timings.upstream = Some(engine::now() - started);
                self.edge.pool.put(addr, relay.client, pool_limits);
            }
            Err(error) => {
                self.cx.timings.upstream = Some(engine::now() - started);
                if !matches!(error, AttemptError::ClientGone) {
                    tracing::warn!(%error, node = %addr, "the upstream's answer broke off");
                }
                self.downstream.abort();
            }
        }
    }

    async fn relay_body(
        &mut self,
        relay: &mut Relay<'_>,
        mut start: Start,
        has_filter: bool,
        has_body: bool,
    ) -> Result<(), AttemptError> {
        let global = self.held.0.global();
        let mut is_ended = false;
        std::future::poll_fn(|cx| {
            while !is_ended {
                match self.downstream.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(AttemptError::ClientGone)),
                    Poll::Pending => return Poll::Pending,
                }
                let frame = match start.next() {
                    Some(frame) => frame,
                    None => match relay.poll_frame(cx, &mut self.cx.request.body) {
                        Poll::Ready(Ok(frame)) => {
                            if let Frame::Data(data) = &frame {
                                self.count_body(data.len());
                            }
                            frame
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => {
                            // What has come so far goes out while the rest is waited for.
                            return match self.downstream.poll_flush(cx) {
                                Poll::Ready(Err(_)) => Poll::Ready(Err(AttemptError::ClientGone)),
                                _ => Poll::Pending,
                            };
                        }
                    },
                };
                is_ended = matches!(frame, Frame::End | Frame::Trailers(_));
                let is_sent = |frame: &Frame| has_body || !matches!(frame, Frame::Data(_));
                if !has_filter {
                    if is_sent(&frame) {
                        self.downstream.send_frame(frame);
                    }
                    continue;
                }
                let mut frames = Frames::new();
                if run::body_filter(global, &self.chain, &mut self.cx, frame, &mut frames).is_err() {
                    return Poll::Ready(Err(AttemptError::ClientGone));
                }
                for frame in frames.into_iter().filter(is_sent) {
                    self.downstream.send_frame(frame);
                }
            }
            self.downstream.poll_flush(cx).map_err(|_| AttemptError::ClientGone)
        })
        .await
    }

    pub(super) async fn refuse_body(&mut self, error: &BodyError) {
        let status = response::status_of_body(error);
        if status == 499 {
            self.cx.response.status = 499;
            self.downstream.abort();
            return;
        }
        match error {
            BodyError::Malformed(reason) => tracing::warn!(reason, client = %self.cx.client, "request refused"),
            BodyError::NoBudget => {
                tracing::warn!(%error, client = %self.cx.client, "request refused: portcullis.limits.buffered_body_budget");
            }
            _ => {}
        }
        self.reply(Reply::status(status), Source::Gateway).await;
    }

    async fn fail(&mut self, status: u16) {
        self.cx.response.upstream_status = Some(status);
        self.reply(Reply::status(status), Source::Gateway).await;
    }
}

/// Why there is no answer from this node.
enum Failed {
    /// The attempt failed; the flag says whether another node may be tried.
    Attempt(AttemptError, bool),
    /// There is a reply instead.
    Reply(Reply, Source),
}

impl Failed {
    fn retry(error: AttemptError) -> Self {
        Self::Attempt(error, true)
    }
}
