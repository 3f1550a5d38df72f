//! The gateway from the outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod hostile_request;
mod hostile_response;
mod proxying;
