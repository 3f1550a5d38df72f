//! What a client may use up.

use std::time::Duration;

use super::SettingsError;
use super::notice::{Notice, Severity};
use super::reader::Reader;
use super::units::ByteSize;
use crate::differences::{Compat, DifferenceId};

/// Bounds of connections and requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request line, in bytes.
    pub request_line: usize,
    /// Most header fields.
    pub headers: usize,
    /// Longest head, in bytes.
    pub header_bytes: usize,
    /// For a whole request head.
    pub head_timeout: Duration,
    /// For a whole request body; `None`: unlimited.
    pub body_timeout: Option<Duration>,
    /// Between two reads of a request body.
    pub body_idle_timeout: Duration,
    /// Between two writes of a response.
    pub send_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub keepalive_timeout: Duration,
    /// Slowest head and body after their first five seconds, in bytes per second; `None`: any.
    pub min_rate: Option<u64>,
    /// Most connections of the node.
    pub connections: usize,
    /// Most connections of one client address; `None`: unlimited.
    pub connections_per_client: Option<usize>,
    /// Requests after which a connection is closed; `None`: unlimited.
    pub requests_per_connection: Option<u64>,
    /// Most bytes of bodies that are held in memory at once, over all requests.
    pub buffered_body_budget: u64,
    /// Longest request body, in bytes; `None`: unlimited.
    pub request_body: Option<u64>,
    /// HTTP/2 alone.
    pub h2: H2Limits,
}

/// Bounds of an HTTP/2 connection. A client that goes beyond one that counts frames loses its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H2Limits {
    /// Most streams at once.
    pub max_concurrent_streams: u32,
    /// Most streams that a client may reset, and as many that it may make us reset, within ten seconds.
    pub max_resets: u32,
    /// Most CONTINUATION frames of one head.
    pub max_continuations: u32,
    /// Most SETTINGS frames, within ten seconds.
    pub max_settings: u32,
    /// Most PING frames, within ten seconds, over those that go with what the client is sent.
    pub max_pings: u32,
    /// Most DATA frames without content, within ten seconds.
    pub max_empty_data: u32,
    /// Most WINDOW_UPDATE frames, within ten seconds, over those that go with what the client is sent.
    pub max_window_updates: u32,
    /// Most PRIORITY frames and frames of unknown types, within ten seconds, over two for each request.
    pub max_priorities: u32,
    /// Longest list of header fields, uncompressed, in bytes.
    pub header_list_bytes: u32,
}

const SAFE_REQUEST_BODY: u64 = 64 * 1024 * 1024;
const SAFE_MIN_RATE: u64 = 256;

impl Limits {
    pub(super) fn read(reader: &Reader<'_>, compat: Compat, notices: &mut Vec<Notice>) -> Result<Self, SettingsError> {
        let slow_clients = compat.is_safe(DifferenceId::SlowClients);
        let second = Duration::from_secs(1);
        let header_timeout = reader.take("nginx_config.http.client_header_timeout")?;
        let default_head_timeout = if slow_clients { 15 * second } else { 60 * second };
        Ok(Self {
            request_line: size(reader, "portcullis.limits.request_line")?.unwrap_or(8192),
            headers: reader.take("portcullis.limits.headers")?.unwrap_or(100),
            header_bytes: size(reader, "portcullis.limits.header_bytes")?.unwrap_or(32_768),
            head_timeout: reader
                .take("portcullis.limits.head_timeout")?
                .or(header_timeout)
                .unwrap_or(default_head_timeout),
            body_timeout: reader
                .take("portcullis.limits.body_timeout")?
                .or_else(|| slow_clients.then_some(300 * second))
                .filter(|timeout| !timeout.is_zero()),
            body_idle_timeout: reader.take("nginx_config.http.client_body_timeout")?.unwrap_or(60 * second),
            send_timeout: reader.take("nginx_config.http.send_timeout")?.unwrap_or(10 * second),
            keepalive_timeout: reader.take("nginx_config.http.keepalive_timeout")?.unwrap_or(60 * second),
            min_rate: reader
                .take("portcullis.limits.min_rate")?
                .map(|rate: ByteSize| rate.0)
                .or_else(|| slow_clients.then_some(SAFE_MIN_RATE))
                .filter(|rate| *rate > 0),
            connections: reader.take("portcullis.limits.connections")?.unwrap_or(100_000),
            connections_per_client: reader
                .take("portcullis.limits.connections_per_client")?
                .filter(|connections| *connections > 0),
            requests_per_connection: Some(reader.take("portcullis.limits.requests_per_connection")?.unwrap_or(10_000))
                .filter(|requests| *requests > 0),
            buffered_body_budget: reader
                .take::<ByteSize>("portcullis.limits.buffered_body_budget")?
                .map_or(512 * 1024 * 1024, |budget| budget.0),
            request_body: read_request_body(reader, compat, notices)?,
            h2: H2Limits::read(reader)?,
        })
    }
}

impl H2Limits {
    fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            max_concurrent_streams: reader.take("portcullis.limits.h2.max_concurrent_streams")?.unwrap_or(128),
            max_resets: reader.take("portcullis.limits.h2.max_resets")?.unwrap_or(100),
            max_continuations: reader.take("portcullis.limits.h2.max_continuations")?.unwrap_or(6),
            max_settings: reader.take("portcullis.limits.h2.max_settings")?.unwrap_or(100),
            max_pings: reader.take("portcullis.limits.h2.max_pings")?.unwrap_or(100),
            max_empty_data: reader.take("portcullis.limits.h2.max_empty_data")?.unwrap_or(100),
            max_window_updates: reader.take("portcullis.limits.h2.max_window_updates")?.unwrap_or(1000),
            max_priorities: reader.take("portcullis.limits.h2.max_priorities")?.unwrap_or(200),
            header_list_bytes: reader.take("portcullis.limits.h2.header_list_bytes")?.unwrap_or(32_768),
        })
    }
}

fn size(reader: &Reader<'_>, path: &'static str) -> Result<Option<usize>, SettingsError> {
    let size: Option<ByteSize> = reader.take(path)?;
    Ok(size.map(|size| usize::try_from(size.0).unwrap_or(usize::MAX)))
}

/// Ours, else nginx's; nginx's `0` is APISIX's default and no wish to go without a limit.
fn read_request_body(
    reader: &Reader<'_>,
    compat: Compat,
    notices: &mut Vec<Notice>,
) -> Result<Option<u64>, SettingsError> {
    const NGINX: &str = "nginx_config.http.client_max_body_size";
    let own: Option<ByteSize> = reader.take("portcullis.limits.request_body")?;
    let nginx: Option<ByteSize> = reader.take(NGINX)?;
    let unlimited_is_zero = |size: ByteSize| (size.0 > 0).then_some(size.0);
    if let Some(own) = own {
        return Ok(unlimited_is_zero(own));
    }
    if !compat.is_safe(DifferenceId::RequestBodyCap) {
        return Ok(nginx.and_then(unlimited_is_zero));
    }
    if nginx == Some(ByteSize(0)) {
        notices.push(Notice {
            path: NGINX.to_owned(),
            message: "bodies are capped at 64 MiB all the same; for none, set portcullis.limits.request_body to 0"
                .to_owned(),
            severity: Severity::Ignored,
        });
    }
    Ok(nginx.and_then(unlimited_is_zero).or(Some(SAFE_REQUEST_BODY)))
}
