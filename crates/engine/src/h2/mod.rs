//! HTTP/2 with clients, by prior knowledge (RFC 9113).

mod frames;
mod guard;
mod stream;

use crate::{Limits, Service, Timer, worker::Drain};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream};
use guard::{Guarded, Verdict};
use h2::Reason;
use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use wire::{ConnectionFacts, Downstream};

/// How long a connection may take to end after it was told to.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Serves an HTTP/2 connection whose first bytes, the preface included, have been read. The connection's own task drives its
/// frames and all its exchanges.
pub(crate) async fn run<S: Service>(
    io: TcpStream,
    read: Bytes,
    facts: ConnectionFacts,
    service: Rc<S>,
    limits: Rc<Limits>,
    drain: Rc<Drain>,
    id: u64,
) {
    let bounds = &limits.h2;
    let begun = crate::now();
    let verdict = Verdict::default();
    let last_write = Rc::new(Cell::new(begun));
    let guarded = Guarded::new(io, read, bounds.clone(), verdict.clone(), last_write.clone());
    let resets = usize::try_from(bounds.resets).unwrap_or(usize::MAX);
    let handshake = h2::server::Builder::new()
        .initial_window_size(bounds.stream_window)
        .initial_connection_window_size(bounds.connection_window)
        .max_concurrent_streams(bounds.concurrent_streams)
        .max_header_list_size(bounds.header_list_bytes)
        .max_send_buffer_size(bounds.send_buffer)
        .max_concurrent_reset_streams(resets)
        .max_pending_accept_reset_streams(resets)
        // Counted over a connection's whole life there, and over ten seconds by the guard.
        .max_local_error_reset_streams(None)
        .handshake::<_, Bytes>(guarded);
    let mut timer = Timer::default();
    let mut handshake = std::pin::pin!(handshake);
    let shaken = std::future::poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Ready(shaken) => Poll::Ready(shaken.ok()),
        Poll::Pending => timer.poll(cx, begun + limits.head_timeout).map(|()| None),
    })
    .await;
    let Some(mut connection) = shaken else {
        return service.cut(facts, "h2-handshake");
    };
    let mut exchanges = FuturesUnordered::new();
    let mut requests = 0u64;
    let mut idle_since = begun;
    let mut ending: Option<Instant> = None;
    let mut is_cut = false;
    std::future::poll_fn(|cx| {
        if ending.is_none() && drain.poll_begun(id, cx) {
            connection.graceful_shutdown();
            ending = Some(crate::now() + SHUTDOWN.max(limits.body_timeout));
        }
        loop {
            // Answers are queued before the connection is polled, so that they leave in the same turn.
            while let Poll::Ready(Some(())) = Pin::new(&mut exchanges).poll_next(cx) {}
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    requests += 1;
                    if requests >= limits.requests_per_connection && ending.is_none() {
                        connection.graceful_shutdown();
                        ending = Some(crate::now() + SHUTDOWN.max(limits.body_timeout));
                    }
                    let (service, limits) = (service.clone(), limits.clone());
                    exchanges.push(async move {
                        match stream::receive(request, respond, &limits, requests) {
                            Ok((head, stream)) => {
                                let downstream: Rc<dyn Downstream> = stream.clone();
                                service.serve(head, downstream, facts).await;
                                stream.finish().await;
                            }
                            Err((status, reason)) => service.refused(facts, status, reason),
                        }
                    });
                }
                Poll::Ready(Some(Err(error))) => {
                    if let Some(reason) = fault(&error)
                        && !is_cut
                    {
                        service.cut(facts, reason);
                    }
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => match verdict.get() {
                    Some(fault) if !is_cut => {
                        service.cut(facts, fault.name);
                        is_cut = true;
                        ending = Some(crate::now() + SHUTDOWN);
                        exchanges.clear();
                        connection.abrupt_shutdown(fault.code);
                    }
                    _ => break,
                },
            }
        }
        let now = crate::now();
        let deadline = match ending {
            Some(at) => at,
            None if !exchanges.is_empty() => {
                idle_since = now;
                return Poll::Pending;
            }
            // Answers that are complete and on their way to a slow client.
            None if connection.has_streams() => {
                idle_since = now;
                last_write.get() + limits.send_timeout
            }
            None => idle_since + limits.keepalive_timeout,
        };
        if timer.poll(cx, deadline).is_pending() {
            return Poll::Pending;
        }
        if ending.is_some() || connection.has_streams() {
            return Poll::Ready(());
        }
        connection.graceful_shutdown();
        ending = Some(now + SHUTDOWN);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The name of what the client did wrong, if it was for that that the connection was ended.
fn fault(error: &h2::Error) -> Option<&'static str> {
    if !error.is_library() {
        return None;
    }
    Some(match error.reason()? {
        Reason::NO_ERROR => return None,
        Reason::FLOW_CONTROL_ERROR => "h2-flow-control-error",
        Reason::FRAME_SIZE_ERROR => "h2-frame-size-error",
        Reason::COMPRESSION_ERROR => "h2-compression-error",
        // Its own bounds: small DATA frames, header lists, streams that had to be refused.
        Reason::ENHANCE_YOUR_CALM => "h2-excess",
        _ => "h2-protocol-error",
    })
}
