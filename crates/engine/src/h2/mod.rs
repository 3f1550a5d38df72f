//! HTTP/2 with clients, by prior knowledge (RFC 9113).

mod guard;
mod stream;

use crate::{Limits, Service, Timer, worker::Drain};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream};
use guard::Guarded;
use std::{
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
    let guarded = Guarded::new(io, read, bounds.control_frames_per_second);
    let handshake = h2::server::Builder::new()
        .initial_window_size(bounds.stream_window)
        .initial_connection_window_size(bounds.connection_window)
        .max_concurrent_streams(bounds.concurrent_streams)
        .max_header_list_size(bounds.header_list_bytes)
        .max_send_buffer_size(bounds.send_buffer)
        .max_concurrent_reset_streams(bounds.pending_resets)
        .max_pending_accept_reset_streams(bounds.pending_resets)
        .max_local_error_reset_streams(Some(bounds.pending_resets))
        .handshake::<_, Bytes>(guarded);
    let mut timer = Timer::default();
    let begun = crate::now();
    let mut handshake = std::pin::pin!(handshake);
    let shaken = std::future::poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Ready(shaken) => Poll::Ready(shaken.ok()),
        Poll::Pending => timer.poll(cx, begun + limits.head_timeout).map(|()| None),
    })
    .await;
    let Some(mut connection) = shaken else {
        return service.refused(facts, 400, "h2-handshake");
    };
    let mut exchanges = FuturesUnordered::new();
    let mut requests = 0u64;
    let mut idle_since = crate::now();
    let mut ending: Option<Instant> = None;
    std::future::poll_fn(|cx| {
        if ending.is_none() && drain.poll_begun(id, cx) {
            connection.graceful_shutdown();
            ending = Some(crate::now() + SHUTDOWN.max(limits.body_timeout));
        }
        loop {
            // Answers are queued before the connection is polled, so that they leave in the same turn.
            while let Poll::Ready(Some(())) = Pin::new(&mut exchanges).poll_next(cx) {
                idle_since = crate::now();
            }
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
                    if error.is_go_away() || error.is_reset() || error.is_library() {
                        service.refused(facts, 400, "h2-protocol");
                    }
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let now = crate::now();
        let is_idle = exchanges.is_empty();
        let deadline = match ending {
            Some(at) => at,
            None if is_idle => idle_since + limits.keepalive_timeout,
            None => now + limits.keepalive_timeout,
        };
        match timer.poll(cx, deadline) {
            Poll::Ready(()) if ending.is_none() && is_idle => {
                connection.graceful_shutdown();
                ending = Some(now + SHUTDOWN);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(()) if ending.is_some() => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
}
