//! Plugins that shape traffic: what goes upstream, what comes back, and which plugin's own endpoint answers.
#![forbid(unsafe_code)]

pub mod echo;
mod header;
pub mod proxy_rewrite;
pub mod public_api;
pub mod request_id;
pub mod response_rewrite;
