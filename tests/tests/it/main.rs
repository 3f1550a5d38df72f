//! The gateway from the outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod admin;
mod hostile_request;
mod hostile_response;
mod lifecycle;
mod limits;
mod proxying;
