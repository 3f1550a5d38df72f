//! End-to-end fixtures: a gateway as its own process, upstreams and clients made of plain sockets.
//!
//! Everything that waits polls a condition until [`PATIENCE`] is over. Ports are free ones, no two
//! fixtures of one process share any.
// A fixture that fails is a test that fails, and says so by panicking. Nobody uses it but the tests beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, missing_debug_implementations)]

mod gateway;
mod http;
pub mod http2;
pub mod redis;
pub mod tls;
mod upstream;

pub use gateway::{Gateway, KEY, binary, free_port, route_to};
pub use http::{Client, Message};
pub use upstream::{Incoming, Upstream};

use std::time::{Duration, Instant};

/// How long a condition may take to become true.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `condition` gives a value.
///
/// # Panics
/// When it does not in time.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes as readable text, for messages.
pub fn show(bytes: &[u8]) -> String {
    let shown = bytes.get(..bytes.len().min(400)).unwrap_or_default();
    format!("{:?}", String::from_utf8_lossy(shown))
}
