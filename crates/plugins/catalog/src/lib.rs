//! The only list of plugins, in the order in which they run.
#![forbid(unsafe_code)]

#[cfg(test)]
mod uniformity;

use plugin::{Description, describe, describe_auth};
use plugins_auth::key_auth::KeyAuth;
use plugins_limit::limit_count::LimitCount;
use plugins_observe::prometheus::Prometheus;
use plugins_traffic::{
    batch_requests::BatchRequests, brotli::Brotli, client_control::ClientControl, echo::Echo, error_page::ErrorPage,
    fault_injection::FaultInjection, gzip::Gzip, mocking::Mocking, node_status::NodeStatus,
    proxy_buffering::ProxyBuffering, proxy_control::ProxyControl, proxy_rewrite::ProxyRewrite, public_api::PublicApi,
    real_ip::RealIp, redirect::Redirect, request_id::RequestId, response_rewrite::ResponseRewrite,
    server_info::ServerInfo, traffic_label::TrafficLabel, traffic_split::TrafficSplit,
};

/// Every plugin that there is, by priority.
pub fn all() -> Vec<Description> {
    vec![
        describe::<RealIp>(),
        describe::<ClientControl>(),
        describe::<ProxyBuffering>(),
        describe::<ProxyControl>(),
        describe::<RequestId>(),
        describe::<FaultInjection>(),
        describe::<Mocking>(),
        describe::<BatchRequests>(),
        describe_auth::<KeyAuth>(),
        describe::<ProxyRewrite>(),
        describe::<LimitCount>(),
        describe::<NodeStatus>(),
        describe::<Brotli>(),
        describe::<Gzip>(),
        describe::<ServerInfo>(),
        describe::<TrafficLabel>(),
        describe::<TrafficSplit>(),
        describe::<Redirect>(),
        describe::<ResponseRewrite>(),
        describe::<PublicApi>(),
        describe::<Prometheus>(),
        describe::<ErrorPage>(),
        describe::<Echo>(),
    ]
}
