//! From settings as written to what engine, request path and APIs take.

use crate::{
    exchange::{Options, access_log::Escape},
    upstream::{DiscoveryOptions, RegistryOptions},
};
use engine::{H2Limits, Limits, PoolLimits, tls::Roots};
use model::{
    differences::DifferenceId,
    settings::{self, Settings},
};
use plugin::BodyLimits;
use std::time::Duration;

/// Without a bound, as long as numbers go.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Limits on clients.
pub fn limits(settings: &Settings) -> Limits {
    let written = &settings.limits;
    let defaults = Limits::default();
    Limits {
        request_line: written.request_line,
        headers: written.headers,
        header_bytes: written.header_bytes,
        head_timeout: written.head_timeout,
        keepalive_timeout: written.keepalive_timeout,
        body_read_timeout: written.body_idle_timeout,
        body_timeout: written.body_timeout.unwrap_or(FOREVER),
        min_rate: written.min_rate.unwrap_or(0),
        send_timeout: written.send_timeout,
        request_body: written.request_body,
        requests_per_connection: written.requests_per_connection.unwrap_or(u64::MAX),
        connections: written.connections,
        connections_per_client: written.connections_per_client.unwrap_or(usize::MAX),
        h2: H2Limits {
            enabled: settings.listen.http2,
            concurrent_streams: written.h2.max_concurrent_streams,
            resets: written.h2.max_resets,
            continuations: written.h2.max_continuations,
            settings: written.h2.max_settings,
            pings: written.h2.max_pings,
            empty_data: written.h2.max_empty_data,
            window_updates: written.h2.max_window_updates,
            priorities: written.h2.max_priorities,
            header_list_bytes: written.h2.header_list_bytes,
            ..defaults.h2
        },
    }
}

/// Whom servers' certificates are verified against. A system may have nobody; a file that is written has to be there.
///
/// # Errors
/// The file cannot be used.
pub fn roots(settings: &Settings) -> Result<Roots, String> {
    let Some(path) = &settings.upstream.trusted_certificates else { return Ok(Roots::system()) };
    Roots::file(path).map_err(|reason| format!("apisix.ssl.ssl_trusted_certificate: {}: {reason}", path.display()))
}

/// Settings of upstreams; nobody is trusted yet.
pub fn upstreams(settings: &Settings) -> RegistryOptions {
    RegistryOptions {
        checks_nothing: settings.upstream.is_healthcheck_disabled,
        discovery: settings.dns_discovery.as_ref().map(|dns| DiscoveryOptions {
            servers: dns.servers.iter().filter_map(|text| settings::name_server(text)).collect(),
            resolv_conf: dns.resolv_conf.as_ref().map(Into::into),
            order: dns.order.clone(),
        }),
        verifies_upstreams: settings.compat.is_safe(DifferenceId::UpstreamCertificates),
        roots: Roots::default(),
    }
}

/// The request path's settings.
pub fn options(settings: &Settings) -> Options {
    let compat = &settings.compat;
    let charset = settings.charset.as_deref().map(|c| format!("; charset={c}")).unwrap_or_default();
    Options {
        server: match (compat.is_safe(DifferenceId::ServerHeader), settings.server_tokens) {
            (true, _) => "portcullis".to_owned(),
            (false, true) => "APISIX/3.18.0".to_owned(),
            (false, false) => "APISIX".to_owned(),
        },
        strips_identity: compat.is_safe(DifferenceId::IdentityHeaders),
        refuses_ambiguous_paths: compat.is_safe(DifferenceId::AmbiguousPath),
        refuses_raw_bytes: compat.is_safe(DifferenceId::RawUtf8Target),
        real_ip_from: settings.real_ip.from.clone(),
        real_ip_header: settings.real_ip.header.clone(),
        real_ip_recursive: settings.real_ip.is_recursive,
        drops_underscores: !settings.underscores_in_headers,
        drops_tail_slash: settings.routing.delete_uri_tail_slash,
        keeps_encoded_slash: settings.routing.match_uri_encoded_slash,
        matches_like_servlet: settings.routing.normalize_uri_like_servlet,
        trusted_addresses: settings.real_ip.trusted_addresses.clone(),
        shows_upstream_status: settings.show_upstream_status,
        default_type: format!("text/plain{charset}"),
        html_type: format!("text/html{charset}"),
        keeps_upstream_fields: asks_for(settings, "upstream_http_"),
        keeps_sent_fields: asks_for(settings, "sent_http_"),
        replay_max: 64 << 10,
        pool: PoolLimits {
            size: usize::try_from(settings.upstream.keepalive).unwrap_or(usize::MAX),
            idle_timeout: settings.upstream.keepalive_timeout,
            requests: u64::from(settings.upstream.keepalive_requests),
            ..PoolLimits::default()
        },
        tunnel_idle: Duration::from_secs(3600),
        limits: limits(settings),
    }
}

/// What request bodies in memory may cost.
pub fn bodies(settings: &Settings) -> BodyLimits {
    // Without a bound of its own a body still counts against the budget.
    let arguments = settings.post_args_max_size.unwrap_or(u64::MAX);
    BodyLimits::new(settings.limits.buffered_body_budget, arguments, settings.graphql_max_size)
}

/// Whether a log format or a plugin's settings name variables that begin with `family`.
fn asks_for(settings: &Settings, family: &str) -> bool {
    let format = settings.access_log.as_ref().map_or("", |log| &log.format);
    format.contains(family) || settings.plugin_attr.values().any(|attr| attr.to_string().contains(family))
}

/// The access log's escaping.
pub fn escape(escape: settings::Escape) -> Escape {
    match escape {
        settings::Escape::Default => Escape::Default,
        settings::Escape::Json => Escape::Json,
        settings::Escape::None => Escape::None,
    }
}
