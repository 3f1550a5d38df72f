//! Plugins that shape traffic: what goes upstream, what comes back, and which plugin's own endpoint answers.
#![forbid(unsafe_code)]

pub mod batch_requests;
pub mod brotli;
pub mod client_control;
mod compression;
pub mod echo;
pub mod error_page;
mod escape;
pub mod fault_injection;
pub mod gzip;
mod header;
pub mod mocking;
pub mod node_status;
pub mod proxy_buffering;
pub mod proxy_control;
pub mod proxy_mirror;
pub mod proxy_rewrite;
pub mod public_api;
pub mod real_ip;
pub mod redirect;
pub mod request_id;
pub mod response_rewrite;
pub mod server_info;
pub mod traffic_label;
pub mod traffic_split;
