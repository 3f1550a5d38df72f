//! WebSocket and other upgrades: raw bytes in both directions until both have ended.

use engine::{Timer, h1::client::Client};
use std::{
    task::Poll,
    time::{Duration, Instant},
};
use wire::downstream::Tunnel;

const BUFFER: usize = 16 << 10;

/// Copies until one side fails or both have ended, or nothing moved for `idle`. Gives the bytes sent upstream and received from it.
pub(super) async fn run(mut client: Box<Client>, mut downstream: Box<dyn Tunnel>, idle: Duration) -> (u64, u64) {
    let mut up = vec![0u8; BUFFER];
    let (mut up_at, mut up_len, mut up_ended) = (0usize, 0usize, false);
    let mut down = bytes::BytesMut::new();
    let mut down_ended = false;
    let mut timer = Timer::default();
    let mut last = Instant::now();
    std::future::poll_fn(|cx| {
        loop {
            let mut moved = false;
            // client -> upstream
            if up_at == up_len && !up_ended && client.has_room() {
                match downstream.poll_read(cx, &mut up) {
                    Poll::Ready(Ok(0)) => {
                        up_ended = true;
                        moved = true;
                    }
                    Poll::Ready(Ok(n)) => (up_at, up_len, moved) = (0, n, true),
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            if up_at < up_len && client.has_room() {
                client.send_raw(up.get(up_at..up_len).unwrap_or_default());
                up_at = up_len;
            }
            match client.poll_flush(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) if up_ended => {
                    let _ = client.poll_shutdown(cx);
                }
                _ => {}
            }
            // upstream -> client
            if down.is_empty() && !down_ended {
                match client.poll_raw_read(cx) {
                    Poll::Ready(Ok(bytes)) => {
                        down_ended = bytes.is_empty();
                        down = bytes;
                        moved = true;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            while !down.is_empty() {
                match downstream.poll_write(cx, &down) {
                    Poll::Ready(Ok(n)) if n > 0 => {
                        let _ = down.split_to(n);
                        moved = true;
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
            if down_ended && down.is_empty() {
                let _ = downstream.poll_shutdown(cx);
                // The upstream has said all; what the client still sends has nobody to read it.
                return Poll::Ready(());
            }
            if up_ended && down_ended {
                return Poll::Ready(());
            }
            if !moved {
                return timer.poll(cx, last + idle);
            }
            last = Instant::now();
        }
    })
    .await;
    client.bytes()
}
