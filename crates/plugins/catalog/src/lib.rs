//! The only list of plugins, in the order in which they run.
#![forbid(unsafe_code)]

#[cfg(test)]
mod uniformity;

use plugin::{Description, describe, describe_auth};

/// Every plugin that there is, by priority.
pub fn all() -> Vec<Description> {
    vec![
        describe::<plugins_traffic::real_ip::RealIp>(),
        describe::<plugins_traffic::client_control::ClientControl>(),
        describe::<plugins_traffic::proxy_buffering::ProxyBuffering>(),
        describe::<plugins_traffic::proxy_control::ProxyControl>(),
        describe::<plugins_traffic::request_id::RequestId>(),
        describe::<plugins_traffic::fault_injection::FaultInjection>(),
        describe::<plugins_traffic::mocking::Mocking>(),
        describe::<plugins_traffic::batch_requests::BatchRequests>(),
        describe::<plugins_guard::cors::Cors>(),
        describe::<plugins_guard::ip_restriction::IpRestriction>(),
        describe::<plugins_guard::ua_restriction::UaRestriction>(),
        describe::<plugins_guard::referer_restriction::RefererRestriction>(),
        describe::<plugins_guard::csrf::Csrf>(),
        describe::<plugins_guard::uri_blocker::UriBlocker>(),
        describe::<plugins_guard::json_limits::JsonLimits>(),
        describe::<plugins_guard::request_validation::RequestValidation>(),
        describe::<plugins_guard::graphql_limits::GraphqlLimits>(),
        describe_auth::<plugins_auth::basic_auth::BasicAuth>(),
        describe_auth::<plugins_auth::key_auth::KeyAuth>(),
        describe::<plugins_guard::consumer_restriction::ConsumerRestriction>(),
        describe::<plugins_guard::data_mask::DataMask>(),
        describe::<plugins_traffic::proxy_mirror::ProxyMirror>(),
        describe::<plugins_traffic::proxy_rewrite::ProxyRewrite>(),
        describe::<plugins_limit::workflow::Workflow>(),
        describe::<plugins_limit::api_breaker::ApiBreaker>(),
        describe::<plugins_limit::graphql_limit_count::GraphqlLimitCount>(),
        describe::<plugins_limit::limit_conn::LimitConn>(),
        describe::<plugins_limit::limit_count::LimitCount>(),
        describe::<plugins_limit::limit_req::LimitReq>(),
        describe::<plugins_traffic::node_status::NodeStatus>(),
        describe::<plugins_traffic::brotli::Brotli>(),
        describe::<plugins_traffic::gzip::Gzip>(),
        describe::<plugins_traffic::server_info::ServerInfo>(),
        describe::<plugins_traffic::traffic_label::TrafficLabel>(),
        describe::<plugins_traffic::traffic_split::TrafficSplit>(),
        describe::<plugins_traffic::redirect::Redirect>(),
        describe::<plugins_traffic::response_rewrite::ResponseRewrite>(),
        describe::<plugins_guard::oas_validator::OasValidator>(),
        describe::<plugins_traffic::public_api::PublicApi>(),
        describe::<plugins_observe::prometheus::Prometheus>(),
        describe::<plugins_traffic::error_page::ErrorPage>(),
        describe::<plugins_traffic::echo::Echo>(),
    ]
}
