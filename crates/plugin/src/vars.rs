mod arguments;
mod multipart;

use crate::{Ctx, graphql::Graphql};
use arguments::{form_arg, is_form, is_json, json_path};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};
use model::vars::{Lookup, Value, VarName};
use std::{borrow::Cow, net::IpAddr, sync::OnceLock, time::Duration};
use wire::{BodyLength, Fields};

impl Lookup for Ctx {
    fn var(&self, name: &VarName) -> Value<'_> {
        match name {
            VarName::Uri
            | VarName::RequestUri
            | VarName::RealRequestUri
            | VarName::Host
            | VarName::RequestMethod
            | VarName::RequestType
            | VarName::Request
            | VarName::RequestLine
            | VarName::Scheme
            | VarName::Https
            | VarName::ServerProtocol
            | VarName::Args
            | VarName::IsArgs
            | VarName::Http(_)
            | VarName::UriParam(_)
            | VarName::Arg(_)
            | VarName::Cookie(_)
            | VarName::PostArg(_)
            | VarName::PostArgPath(_)
            | VarName::RequestBody
            | VarName::ContentType
            | VarName::ContentLength
            | VarName::RemoteUser
            | VarName::ProxyAddXForwardedFor => request(self, name),
            VarName::RemoteAddr
            | VarName::BinaryRemoteAddr
            | VarName::RemotePort
            | VarName::RealipRemoteAddr
            | VarName::RealipRemotePort
            | VarName::ServerAddr
            | VarName::ServerPort
            | VarName::ServerName
            | VarName::Connection
            | VarName::ConnectionRequests
            | VarName::Hostname
            | VarName::Pid => connection(self, name),
            VarName::ConsumerName
            | VarName::ConsumerGroupId
            | VarName::RouteId
            | VarName::RouteName
            | VarName::ServiceId
            | VarName::ServiceName
            | VarName::RequestId
            | VarName::ApisixRequestId => identity(self, name),
            VarName::BalancerIp
            | VarName::BalancerPort
            | VarName::UpstreamAddr
            | VarName::UpstreamStatus
            | VarName::UpstreamResponseTime
            | VarName::UpstreamConnectTime
            | VarName::UpstreamHeaderTime
            | VarName::UpstreamBytesSent
            | VarName::UpstreamBytesReceived
            | VarName::UpstreamUnresolvedHost
            | VarName::UpstreamUri
            | VarName::UpstreamHost
            | VarName::UpstreamScheme => upstream(self, name),
            VarName::SentHttp(_)
            | VarName::UpstreamHttp(_)
            | VarName::UpstreamResponseLength
            | VarName::Status
            | VarName::BodyBytesSent
            | VarName::BytesSent
            | VarName::BytesReceived
            | VarName::RequestLength
            | VarName::RequestCompletion
            | VarName::RespBody => response(self, name),
            VarName::RequestTime | VarName::TimeLocal | VarName::TimeIso8601 | VarName::Msec => time(self, name),
            VarName::GraphqlName | VarName::GraphqlOperation | VarName::GraphqlRootFields => graphql(self, name),
            // Nothing in the context knows these.
            VarName::SslServerName | VarName::UpstreamCacheStatus | VarName::Other(_) => Value::Absent,
        }
    }

    fn is_hidden(&self, name: &VarName) -> bool {
        let need = name.body_need();
        if need.is_none() {
            return false;
        }
        let unread = self.request.unread();
        (need.arguments && unread.arguments)
            || (need.graphql && (unread.graphql || *self.graphql() == Graphql::TooComplex))
    }
}

fn graphql<'a>(cx: &'a Ctx, name: &VarName) -> Value<'a> {
    let Graphql::Operation { name: own, operation, root_fields } = cx.graphql() else { return Value::Absent };
    match name {
        VarName::GraphqlName => Value::text(own),
        VarName::GraphqlOperation => Value::text(operation),
        VarName::GraphqlRootFields => Value::List(root_fields.iter().map(|field| Value::text(field)).collect()),
        _ => Value::Absent,
    }
}

fn request<'a>(cx: &'a Ctx, name: &VarName) -> Value<'a> {
    let request = &cx.request;
    match name {
        VarName::Uri => Value::bytes(&request.path),
        VarName::RequestUri => match request.query.as_deref().filter(|query| !query.is_empty()) {
            Some(query) => [&request.path, &b"?"[..], query].concat().into(),
            None => Value::bytes(&request.path),
        },
        VarName::RealRequestUri => Value::bytes(&request.target),
        VarName::Host => Value::text(&request.host),
        VarName::RequestMethod => Value::text(request.method.as_str()),
        VarName::RequestType => Value::text("traditional_http"),
        VarName::Request | VarName::RequestLine => {
            let parts = [request.method.as_str().as_bytes(), &request.target, request.version.as_str().as_bytes()];
            parts.join(&b' ').into()
        }
        VarName::Scheme => Value::text(request.scheme),
        VarName::Https => Value::text(if request.scheme == "https" { "on" } else { "" }),
        VarName::ServerProtocol => Value::text(request.version.as_str()),
        VarName::Args => request.query.as_deref().into(),
        VarName::IsArgs => {
            Value::text(if request.query.as_ref().is_some_and(|query| !query.is_empty()) { "?" } else { "" })
        }
        VarName::Http(header) => match field(&request.fields, header) {
            Value::Absent if header == "host" && !request.authority.is_empty() => Value::bytes(&request.authority),
            value => value,
        },
        VarName::UriParam(name) => uri_param(cx, name),
        VarName::Arg(arg) => request.arg(arg.as_bytes()).into(),
        VarName::Cookie(cookie) => request.cookie(cookie.as_bytes()).into(),
        VarName::PostArg(arg) => match request.body.buffered().filter(|_| is_form(&request.fields)) {
            Some(body) => form_arg(body, arg.as_bytes()).into(),
            None => Value::Absent,
        },
        VarName::PostArgPath(path) => match request.body.buffered() {
            Some(body) if is_form(&request.fields) => form_arg(body, path.as_bytes()).into(),
            Some(body) if multipart::is_multipart(&request.fields) => multipart::arg(&request.fields, body, path),
            Some(body) if is_json(&request.fields) => json_path(body, path),
            _ => Value::Absent,
        },
        VarName::RequestBody => request.body.buffered().map(|body| &body[..]).into(),
        VarName::ContentType => request.fields.get("content-type").into(),
        VarName::ContentLength => match (request.fields.get("content-length"), request.body.length()) {
            (Some(length), _) => length.into(),
            (None, BodyLength::Exact(length)) => length.to_string().into(),
            (None, _) => Value::Absent,
        },
        VarName::RemoteUser => remote_user(&request.fields).into(),
        VarName::ProxyAddXForwardedFor => {
            let mut list = Vec::new();
            for value in request.fields.get_all("x-forwarded-for") {
                list.extend_from_slice(value);
                list.extend_from_slice(b", ");
            }
            list.extend_from_slice(cx.client.to_string().as_bytes());
            list.into()
        }
        _ => Value::Absent,
    }
}

/// A parameter of the pattern that matched. What a `*` at the pattern's end stands for is called `:ext`, as APISIX calls it.
fn uri_param<'a>(cx: &'a Ctx, name: &str) -> Value<'a> {
    match cx.uri_params.iter().find(|(known, _)| **known == *name) {
        Some((_, value)) => Value::bytes(value),
        None if name == ":ext" => {
            let prefix = cx.matched_uri.as_deref().and_then(|uri| uri.strip_suffix('*'));
            let prefix = prefix.filter(|prefix| prefix.ends_with('/'));
            prefix.and_then(|prefix| cx.request.path.get(prefix.len()..)).into()
        }
        None => Value::Absent,
    }
}

fn connection<'a>(cx: &'a Ctx, name: &VarName) -> Value<'a> {
    match name {
        VarName::RemoteAddr => wire::Text::address(cx.client.ip()).to_vec().into(),
        VarName::BinaryRemoteAddr => match cx.client.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec().into(),
            IpAddr::V6(ip) => ip.octets().to_vec().into(),
        },
        // Unknown where real-ip was told an address alone.
        VarName::RemotePort => match cx.client.0.port() {
            0 => Value::text(""),
            port => port.to_string().into(),
        },
        VarName::RealipRemoteAddr => cx.peer.0.ip().to_string().into(),
        VarName::RealipRemotePort => cx.peer.0.port().to_string().into(),
        VarName::ServerAddr => cx.local.ip().to_canonical().to_string().into(),
        VarName::ServerPort => cx.local.port().to_string().into(),
        VarName::ServerName => Value::text("_"),
        VarName::Connection => cx.connection.to_string().into(),
        VarName::ConnectionRequests => cx.downstream().connection_requests().to_string().into(),
        VarName::Hostname => Value::text(hostname()),
        VarName::Pid => std::process::id().to_string().into(),
        _ => Value::Absent,
    }
}

fn identity<'a>(cx: &'a Ctx, name: &VarName) -> Value<'a> {
    let (consumer, route) = (cx.consumer(), cx.route.as_deref());
    let text = match name {
        VarName::ConsumerName => consumer.map(|consumer| &consumer.name),
        VarName::ConsumerGroupId => consumer.and_then(|consumer| consumer.group_id.as_ref()),
        VarName::RouteId => route.map(|route| &route.id),
        VarName::RouteName => route.map(|route| &route.name).filter(|name| !name.is_empty()),
        VarName::ServiceId => route.and_then(|route| route.service_id.as_ref()),
        VarName::ServiceName => route.and_then(|route| route.service_name.as_ref()),
        VarName::RequestId | VarName::ApisixRequestId => {
            return match cx.request_id() {
                Cow::Borrowed(id) => Value::text(id),
                Cow::Owned(id) => id.into(),
            };
        }
        _ => None,
    };
    text.map(|text| &**text).into()
}

fn upstream<'a>(cx: &'a Ctx, name: &VarName) -> Value<'a> {
    let timings = &cx.timings;
    match name {
        VarName::BalancerIp => cx.node.as_ref().map(|(_, addr)| addr.ip().to_string()).into(),
        VarName::BalancerPort => cx.node.as_ref().map(|(_, addr)| addr.port().to_string()).into(),
        VarName::UpstreamAddr => {
            let addresses: Vec<String> = cx.tried.iter().map(ToString::to_string).collect();
            (!addresses.is_empty()).then(|| addresses.join(", ")).into()
        }
        VarName::UpstreamStatus => cx.response.upstream_status.map(|status| status.to_string()).into(),
        VarName::UpstreamResponseTime => timings.upstream.map(seconds).into(),
        VarName::UpstreamConnectTime => timings.upstream_connect.map(seconds).into(),
        VarName::UpstreamHeaderTime => timings.upstream_header.map(seconds).into(),
        VarName::UpstreamBytesSent => bytes_of_attempts(cx, |(sent, _)| sent),
        VarName::UpstreamBytesReceived => bytes_of_attempts(cx, |(_, received)| received),
        VarName::UpstreamUnresolvedHost => cx.node.as_ref().map(|(host, _)| &**host).into(),
        VarName::UpstreamUri => Value::bytes(cx.upstream.target.as_deref().unwrap_or_default()),
        VarName::UpstreamHost => {
            Value::bytes(cx.upstream.host.as_ref().map_or(&*cx.request.authority, |host| host.as_bytes()))
        }
        // What APISIX's nginx.conf sets; which scheme the upstream has is not known here.
        VarName::UpstreamScheme => Value::text("http"),
        _ => Value::Absent,
    }
}

/// A number for each attempt, as nginx lists them.
fn bytes_of_attempts<'a>(cx: &'a Ctx, which: impl Fn((u64, u64)) -> u64) -> Value<'a> {
    let numbers: Vec<String> = cx.response.upstream_bytes.iter().map(|bytes| which(*bytes).to_string()).collect();
    (!numbers.is_empty()).then(|| numbers.join(", ")).into()
}

fn response<'a>(cx: &'a Ctx, name: &VarName) -> Value<'a> {
    let facts = &cx.response;
    match name {
        VarName::SentHttp(header) => field(&facts.fields, header),
        VarName::UpstreamHttp(header) => field(&facts.upstream_fields, header),
        VarName::UpstreamResponseLength => facts.upstream_body_bytes.map(|bytes| bytes.to_string()).into(),
        VarName::Status => format!("{:03}", facts.status).into(),
        VarName::BodyBytesSent => facts.body_bytes_sent.max(cx.downstream().bytes_sent().1).to_string().into(),
        VarName::BytesSent => facts.bytes_sent.max(cx.downstream().bytes_sent().0).to_string().into(),
        VarName::BytesReceived | VarName::RequestLength => {
            facts.bytes_received.max(cx.downstream().bytes_received()).to_string().into()
        }
        VarName::RequestCompletion => {
            let is_complete = !cx.timings.total.is_zero() && facts.status != 499;
            Value::text(if is_complete { "OK" } else { "" })
        }
        VarName::RespBody => Value::text(""),
        _ => Value::Absent,
    }
}

fn time<'a>(cx: &'a Ctx, name: &VarName) -> Value<'a> {
    let now = cx.shared.clock.now();
    match name {
        VarName::RequestTime if cx.timings.total.is_zero() => seconds(cx.timings.started.elapsed()).into(),
        VarName::RequestTime => seconds(cx.timings.total).into(),
        VarName::Msec => seconds(now).into(),
        VarName::TimeLocal => zoned(now).strftime("%d/%b/%Y:%H:%M:%S %z").to_string().into(),
        VarName::TimeIso8601 => zoned(now).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().into(),
        _ => Value::Absent,
    }
}

/// Seconds with three decimals, cut as nginx cuts them.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

fn zoned(time: Duration) -> ZonedDateTime {
    let timestamp = i64::try_from(time.as_secs()).ok().and_then(|secs| Timestamp::from_second(secs).ok());
    timestamp.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned_datetime(TimeZone::system())
}

/// All values of a header. nginx knows headers by names in which `-` and `_` are one, and joins several lines.
pub(crate) fn field<'a>(fields: &'a Fields, name: &str) -> Value<'a> {
    let same = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    let mut values = fields
        .iter()
        .filter(|(line, _)| line.len() == name.len() && line.iter().zip(name.bytes()).all(|(&b, n)| same(b) == n))
        .map(|(_, value)| value);
    let Some(first) = values.next() else { return Value::Absent };
    let Some(second) = values.next() else { return Value::bytes(first) };
    let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
    let mut all = [first, separator, second].concat();
    for value in values {
        all.extend_from_slice(separator);
        all.extend_from_slice(value);
    }
    all.into()
}

/// The user of `Authorization: Basic`.
fn remote_user(fields: &Fields) -> Option<Vec<u8>> {
    let (scheme, credentials) = fields.get("authorization")?.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut pair = STANDARD.decode(credentials.trim_ascii()).ok()?;
    pair.truncate(pair.iter().position(|&b| b == b':')?);
    Some(pair)
}

/// The machine's name, as the kernel has it.
pub fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let read = std::fs::read_to_string("/proc/sys/kernel/hostname");
        read.map(|name| name.trim_ascii().to_owned()).or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default()
    })
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing;

    fn text(cx: &Ctx, name: &str) -> Option<String> {
        let value = cx.var(&VarName::parse(name));
        let mut out = Vec::new();
        value.write_to(&mut out);
        (!value.is_absent()).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_request_has_its_variables() {
        let mut cx = testing::ctx(
            "POST",
            "/a/./b%20c?x=1%202&x=3",
            &[
                ("Host", "Example.com"),
                ("X-Some_Name", "1"),
                ("x-some-name", "2"),
                ("Cookie", "a=b; c=d"),
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Authorization", "Basic amFjazpwdw=="),
            ],
        );
        cx.request.body.replace(bytes::Bytes::from_static(b"p=q%2F&r"));
        cx.tried.extend([([10, 0, 0, 1], 80).into(), ([10, 0, 0, 2], 80).into()]);
        cx.timings.upstream = Some(Duration::from_micros(1_234_567));
        for (name, expected) in [
            ("uri", Some("/a/b c")),
            ("request_uri", Some("/a/b c?x=1%202&x=3")),
            ("real_request_uri", Some("/a/./b%20c?x=1%202&x=3")),
            ("request", Some("POST /a/./b%20c?x=1%202&x=3 HTTP/1.1")),
            ("host", Some("example.com")),
            ("args", Some("x=1%202&x=3")),
            ("is_args", Some("?")),
            ("arg_x", Some("1 2")),
            ("arg_y", None),
            ("http_x_some_name", Some("1, 2")),
            ("http_none", None),
            ("cookie_c", Some("d")),
            ("post_arg_p", Some("q/")),
            ("post_arg.p", Some("q/")),
            ("remote_user", Some("jack")),
            ("remote_addr", Some("127.0.0.1")),
            ("status", Some("000")),
            ("upstream_addr", Some("10.0.0.1:80, 10.0.0.2:80")),
            ("upstream_response_time", Some("1.234")),
            ("upstream_status", None),
            ("consumer_name", None),
            ("msec", Some("1700000000.000")),
            ("https", Some("")),
        ] {
            assert_eq!(text(&cx, name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_json_body_is_read_by_path() {
        let mut cx = testing::ctx("POST", "/", &[("Content-Type", "application/json")]);
        cx.request.body.replace(bytes::Bytes::from_static(br#"{"a":{"b":[1,"x"],"c":true}}"#));
        assert_eq!(text(&cx, "post_arg.a.b").as_deref(), Some("1,x"));
        assert_eq!(text(&cx, "post_arg.a.c").as_deref(), Some("true"));
        assert_eq!(text(&cx, "post_arg.a.d"), None);
        assert_eq!(text(&cx, "post_arg.a.b[*]").as_deref(), Some("1,x"));
        assert_eq!(text(&cx, "post_arg.a.b[1]").as_deref(), Some("x"));
        assert_eq!(text(&cx, "post_arg.a..c").as_deref(), Some("true"));
        assert_eq!(text(&cx, "post_arg.a.b[7]"), None);
        assert_eq!(text(&cx, "post_arg.a["), None);
        assert_eq!(text(&cx, "post_arg_a"), None);
    }

    #[test]
    fn times_are_written_as_nginx_writes_them() {
        let cx = testing::ctx("GET", "/", &[]);
        let (local, iso) = (text(&cx, "time_local").unwrap(), text(&cx, "time_iso8601").unwrap());
        assert_eq!((local.len(), iso.len()), ("14/Nov/2023:22:13:20 +0000".len(), "2023-11-14T22:13:20+00:00".len()));
        assert!(local.contains("/Nov/2023:") && iso.starts_with("2023-11-1"));
    }
}
