//! Names of request variables, understood once.

use std::fmt;

use super::BodyNeed;

/// A variable of APISIX or nginx.
///
/// Names are parsed when the configuration is compiled, so that a request only compares an enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VarName {
    /// `uri`: the decoded, normalised path.
    Uri,
    /// `request_uri`: in APISIX the normalised path and the query.
    RequestUri,
    /// `real_request_uri`: the target as the client sent it.
    RealRequestUri,
    /// `host`: the host of the request, lower case, without port.
    Host,
    /// `remote_addr`: the client's address.
    RemoteAddr,
    /// `binary_remote_addr`: the same in 4 or 16 bytes.
    BinaryRemoteAddr,
    /// `remote_port`
    RemotePort,
    /// `realip_remote_addr`: the address of the connection.
    RealipRemoteAddr,
    /// `realip_remote_port`
    RealipRemotePort,
    /// `request_method`, also `method`
    RequestMethod,
    /// `request_type`: APISIX's word for what is not a request to a language model.
    RequestType,
    /// `request`: the request line as received.
    Request,
    /// `request_line`: APISIX's name of the request line.
    RequestLine,
    /// `scheme`
    Scheme,
    /// `https`: `on` or empty.
    Https,
    /// `server_addr`
    ServerAddr,
    /// `server_port`
    ServerPort,
    /// `server_name`
    ServerName,
    /// `server_protocol`
    ServerProtocol,
    /// `ssl_server_name`: the name the client sent in the handshake.
    SslServerName,
    /// `args`, also `query_string`
    Args,
    /// `is_args`: `?` or empty.
    IsArgs,
    /// `http_<header>`: lower case, with `-` (nginx cannot tell `-` from `_`).
    Http(String),
    /// `arg_<name>`: the first value of a query argument.
    Arg(String),
    /// `cookie_<name>`
    Cookie(String),
    /// `post_arg_<name>`: the first value of a form field.
    PostArg(String),
    /// `post_arg.<path>`: a path into a JSON, form or multipart body.
    PostArgPath(String),
    /// `uri_param_<name>`
    UriParam(String),
    /// `graphql_name`
    GraphqlName,
    /// `graphql_operation`
    GraphqlOperation,
    /// `graphql_root_fields`
    GraphqlRootFields,
    /// `consumer_name`
    ConsumerName,
    /// `consumer_group_id`
    ConsumerGroupId,
    /// `route_id`
    RouteId,
    /// `route_name`
    RouteName,
    /// `service_id`
    ServiceId,
    /// `service_name`
    ServiceName,
    /// `balancer_ip`
    BalancerIp,
    /// `balancer_port`
    BalancerPort,
    /// `upstream_addr`
    UpstreamAddr,
    /// `upstream_status`
    UpstreamStatus,
    /// `upstream_response_time`
    UpstreamResponseTime,
    /// `upstream_connect_time`
    UpstreamConnectTime,
    /// `upstream_header_time`
    UpstreamHeaderTime,
    /// `upstream_response_length`
    UpstreamResponseLength,
    /// `upstream_bytes_sent`
    UpstreamBytesSent,
    /// `upstream_bytes_received`
    UpstreamBytesReceived,
    /// `upstream_unresolved_host`
    UpstreamUnresolvedHost,
    /// `upstream_uri`
    UpstreamUri,
    /// `upstream_host`
    UpstreamHost,
    /// `upstream_scheme`
    UpstreamScheme,
    /// `upstream_cache_status`
    UpstreamCacheStatus,
    /// `upstream_http_<header>`: lower case, with `-`.
    UpstreamHttp(String),
    /// `sent_http_<header>`: lower case, with `-`.
    SentHttp(String),
    /// `status`
    Status,
    /// `body_bytes_sent`
    BodyBytesSent,
    /// `bytes_sent`
    BytesSent,
    /// `bytes_received`
    BytesReceived,
    /// `request_time`
    RequestTime,
    /// `request_length`
    RequestLength,
    /// `request_id`: nginx's own.
    RequestId,
    /// `apisix_request_id`
    ApisixRequestId,
    /// `time_local`
    TimeLocal,
    /// `time_iso8601`
    TimeIso8601,
    /// `msec`
    Msec,
    /// `connection`
    Connection,
    /// `connection_requests`
    ConnectionRequests,
    /// `hostname`
    Hostname,
    /// `pid`
    Pid,
    /// `request_body`
    RequestBody,
    /// `resp_body`
    RespBody,
    /// `content_type`
    ContentType,
    /// `content_length`
    ContentLength,
    /// `remote_user`
    RemoteUser,
    /// `request_completion`: `OK` or empty.
    RequestCompletion,
    /// `proxy_add_x_forwarded_for`
    ProxyAddXForwardedFor,
    /// A variable that a plugin provides, or nobody.
    Other(String),
}

/// The variables with a fixed name; of two names for one variable the canonical one is first.
static FIXED: &[(&str, VarName)] = &[
    ("uri", VarName::Uri),
    ("document_uri", VarName::Uri),
    ("request_uri", VarName::RequestUri),
    ("real_request_uri", VarName::RealRequestUri),
    ("host", VarName::Host),
    ("remote_addr", VarName::RemoteAddr),
    ("binary_remote_addr", VarName::BinaryRemoteAddr),
    ("remote_port", VarName::RemotePort),
    ("realip_remote_addr", VarName::RealipRemoteAddr),
    ("realip_remote_port", VarName::RealipRemotePort),
    ("request_method", VarName::RequestMethod),
    ("method", VarName::RequestMethod),
    ("request_type", VarName::RequestType),
    ("request", VarName::Request),
    ("request_line", VarName::RequestLine),
    ("scheme", VarName::Scheme),
    ("https", VarName::Https),
    ("server_addr", VarName::ServerAddr),
    ("server_port", VarName::ServerPort),
    ("server_name", VarName::ServerName),
    ("server_protocol", VarName::ServerProtocol),
    ("ssl_server_name", VarName::SslServerName),
    ("args", VarName::Args),
    ("query_string", VarName::Args),
    ("is_args", VarName::IsArgs),
    ("graphql_name", VarName::GraphqlName),
    ("graphql_operation", VarName::GraphqlOperation),
    ("graphql_root_fields", VarName::GraphqlRootFields),
    ("consumer_name", VarName::ConsumerName),
    ("consumer_group_id", VarName::ConsumerGroupId),
    ("route_id", VarName::RouteId),
    ("route_name", VarName::RouteName),
    ("service_id", VarName::ServiceId),
    ("service_name", VarName::ServiceName),
    ("balancer_ip", VarName::BalancerIp),
    ("balancer_port", VarName::BalancerPort),
    ("upstream_addr", VarName::UpstreamAddr),
    ("upstream_status", VarName::UpstreamStatus),
    ("upstream_response_time", VarName::UpstreamResponseTime),
    ("upstream_connect_time", VarName::UpstreamConnectTime),
    ("upstream_header_time", VarName::UpstreamHeaderTime),
    ("upstream_response_length", VarName::UpstreamResponseLength),
    ("upstream_bytes_sent", VarName::UpstreamBytesSent),
    ("upstream_bytes_received", VarName::UpstreamBytesReceived),
    ("upstream_unresolved_host", VarName::UpstreamUnresolvedHost),
    ("upstream_uri", VarName::UpstreamUri),
    ("upstream_host", VarName::UpstreamHost),
    ("upstream_scheme", VarName::UpstreamScheme),
    ("upstream_cache_status", VarName::UpstreamCacheStatus),
    ("status", VarName::Status),
    ("body_bytes_sent", VarName::BodyBytesSent),
    ("bytes_sent", VarName::BytesSent),
    ("bytes_received", VarName::BytesReceived),
    ("request_time", VarName::RequestTime),
    ("request_length", VarName::RequestLength),
    ("request_id", VarName::RequestId),
    ("apisix_request_id", VarName::ApisixRequestId),
    ("time_local", VarName::TimeLocal),
    ("time_iso8601", VarName::TimeIso8601),
    ("msec", VarName::Msec),
    ("connection", VarName::Connection),
    ("connection_requests", VarName::ConnectionRequests),
    ("hostname", VarName::Hostname),
    ("pid", VarName::Pid),
    ("request_body", VarName::RequestBody),
    ("resp_body", VarName::RespBody),
    ("content_type", VarName::ContentType),
    ("content_length", VarName::ContentLength),
    ("remote_user", VarName::RemoteUser),
    ("request_completion", VarName::RequestCompletion),
    ("proxy_add_x_forwarded_for", VarName::ProxyAddXForwardedFor),
];

impl VarName {
    /// Whether a client writes it as it likes, without having to reach another resource: a header, an argument, a cookie, a field of
    /// the body.
    pub fn is_free_choice(&self) -> bool {
        matches!(
            self,
            Self::Http(_)
                | Self::Args
                | Self::Arg(_)
                | Self::Cookie(_)
                | Self::PostArg(_)
                | Self::PostArgPath(_)
                | Self::GraphqlName
                | Self::GraphqlOperation
                | Self::GraphqlRootFields
        )
    }

    /// Understands a name; every name is a variable, unknown ones are [`VarName::Other`].
    pub fn parse(name: &str) -> Self {
        if let Some((_, fixed)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
            return fixed.clone();
        }
        type Family = (&'static str, fn(&str) -> VarName);
        let families: [Family; 8] = [
            ("cookie_", |name| Self::Cookie(name.to_owned())),
            ("arg_", |name| Self::Arg(name.to_owned())),
            ("post_arg_", |name| Self::PostArg(name.to_owned())),
            ("post_arg.", |path| Self::PostArgPath(path.to_owned())),
            ("uri_param_", |name| Self::UriParam(name.to_owned())),
            ("http_", |name| Self::Http(header_name(name))),
            ("upstream_http_", |name| Self::UpstreamHttp(header_name(name))),
            ("sent_http_", |name| Self::SentHttp(header_name(name))),
        ];
        for (prefix, variable) in families {
            if let Some(rest) = name.strip_prefix(prefix) {
                return variable(rest);
            }
        }
        Self::Other(name.to_owned())
    }

    /// The request body that must have been read before this variable can be known.
    pub const fn body_need(&self) -> BodyNeed {
        BodyNeed {
            arguments: matches!(self, Self::PostArg(_) | Self::PostArgPath(_) | Self::RequestBody),
            graphql: matches!(self, Self::GraphqlName | Self::GraphqlOperation | Self::GraphqlRootFields),
        }
    }

    /// Whether the response body must have been kept for this variable.
    pub const fn needs_response_body(&self) -> bool {
        matches!(self, Self::RespBody)
    }
}

/// `User_Agent` and `user-agent` are one header for nginx.
fn header_name(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

impl fmt::Display for VarName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let underscored = |name: &str| name.replace('-', "_");
        match self {
            Self::Http(name) => write!(formatter, "http_{}", underscored(name)),
            Self::UpstreamHttp(name) => write!(formatter, "upstream_http_{}", underscored(name)),
            Self::SentHttp(name) => write!(formatter, "sent_http_{}", underscored(name)),
            Self::Arg(name) => write!(formatter, "arg_{name}"),
            Self::Cookie(name) => write!(formatter, "cookie_{name}"),
            Self::PostArg(name) => write!(formatter, "post_arg_{name}"),
            Self::PostArgPath(path) => write!(formatter, "post_arg.{path}"),
            Self::UriParam(name) => write!(formatter, "uri_param_{name}"),
            Self::Other(name) => formatter.write_str(name),
            fixed => {
                let name = FIXED.iter().find(|(_, variable)| variable == fixed);
                formatter.write_str(name.map_or("", |(name, _)| name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_understood() {
        for (name, expected) in [
            ("uri", VarName::Uri),
            ("query_string", VarName::Args),
            ("http_User-Agent", VarName::Http("user-agent".to_owned())),
            ("http_x_y", VarName::Http("x-y".to_owned())),
            ("arg_A", VarName::Arg("A".to_owned())),
            ("cookie_Sid", VarName::Cookie("Sid".to_owned())),
            ("post_arg_a", VarName::PostArg("a".to_owned())),
            ("post_arg.a[*].b", VarName::PostArgPath("a[*].b".to_owned())),
            ("upstream_http_x", VarName::UpstreamHttp("x".to_owned())),
            ("graphql_other", VarName::Other("graphql_other".to_owned())),
            ("", VarName::Other(String::new())),
        ] {
            assert_eq!(VarName::parse(name), expected, "{name}");
        }
    }

    #[test]
    fn every_fixed_variable_has_a_name() {
        for (_, variable) in FIXED {
            let written = variable.to_string();
            assert_eq!(&VarName::parse(&written), variable, "{written}");
        }
    }

    #[test]
    fn body_variables_say_so() {
        assert_eq!(VarName::parse("post_arg.x").body_need(), BodyNeed { arguments: true, graphql: false });
        assert_eq!(VarName::parse("graphql_name").body_need(), BodyNeed { arguments: false, graphql: true });
        assert!(VarName::parse("arg_x").body_need().is_none());
        assert!(VarName::parse("resp_body").needs_response_body());
    }

    proptest! {
        #[test]
        fn writing_a_name_gives_the_same_variable(name in "(http_|arg_|post_arg\\.|cookie_|)[a-zA-Z_.-]{0,12}") {
            let variable = VarName::parse(&name);
            prop_assert_eq!(VarName::parse(&variable.to_string()), variable);
        }
    }
}
