//! Where a document is.

use plugin::BuildError;
use std::collections::BTreeMap;
use wire::Fields;

/// Fields that the connection says, and not who writes a configuration.
const OF_THE_CONNECTION: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "accept-encoding",
];

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) is_https: bool,
    pub(super) server: String,
    pub(super) port: u16,
    /// What stands in `Host`.
    pub(super) host: String,
    /// Path and query.
    pub(super) target: String,
}

impl Address {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, BuildError> {
        let wrong = |reason: &str| BuildError(format!("spec_url {reason}"));
        let (is_https, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(wrong("is neither http:// nor https://")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(at);
        if host.contains('@') {
            return Err(wrong("names a user: put what authenticates into spec_url_request_headers"));
        }
        let after_name = host.rfind(']').map_or(0, |at| at + 1);
        let colon = host.get(after_name..).and_then(|rest| rest.find(':')).map(|at| at + after_name);
        let (server, port) = match colon.and_then(|at| host.split_at_checked(at)) {
            Some((server, port)) => {
                let port = port.get(1..).unwrap_or_default().parse().ok().filter(|port| *port > 0);
                (server, port.ok_or_else(|| wrong("has a port that is none"))?)
            }
            None => (host, if is_https { 443 } else { 80 }),
        };
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if server.is_empty() || !server.bytes().all(is_name) {
            return Err(wrong("has a server that is no name and no address"));
        }
        if !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("has characters that have to be percent-encoded"));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        Ok(Self { is_https, server: server.to_owned(), port, host: host.to_owned(), target })
    }

    /// As it may be in a log: a query can have secrets in it.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.host, self.target.split('?').next().unwrap_or_default())
    }
}

/// The fields that a document is asked for with.
pub(super) fn fields(headers: &BTreeMap<String, String>) -> Result<Fields, BuildError> {
    let wrong = |name: &str, reason: &str| BuildError(format!("spec_url_request_headers: {name:?} {reason}"));
    let mut fields = Fields::new();
    for (name, value) in headers {
        if !Fields::is_name(name.as_bytes()) {
            return Err(wrong(name, "is no name of a header"));
        }
        if OF_THE_CONNECTION.iter().any(|other| name.eq_ignore_ascii_case(other)) {
            return Err(wrong(name, "is said by the connection itself"));
        }
        if !Fields::is_value(value.as_bytes()) {
            return Err(wrong(name, "has a value that no header can have"));
        }
        fields.set(name, value.as_bytes());
    }
    for (name, value) in [("Accept", "application/json, */*"), ("User-Agent", "portcullis")] {
        if !fields.contains(&name.to_ascii_lowercase()) {
            fields.push(name.as_bytes(), value.as_bytes());
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, server, port, host, target) in [
            ("http://a.example", "a.example", 80, "a.example", "/"),
            ("http://a.example:81/x.json?y=1#z", "a.example", 81, "a.example:81", "/x.json?y=1"),
            ("http://[::1]:82/x", "[::1]", 82, "[::1]:82", "/x"),
            ("http://[::1]/x", "[::1]", 80, "[::1]", "/x"),
            ("http://a?x=/", "a", 80, "a", "/?x=/"),
            ("https://a.example/x", "a.example", 443, "a.example", "/x"),
            ("https://a.example:444/x", "a.example", 444, "a.example:444", "/x"),
        ] {
            let expected = Address {
                is_https: url.starts_with("https"),
                server: server.to_owned(),
                port,
                host: host.to_owned(),
                target: target.to_owned(),
            };
            assert_eq!(Address::parse(url), Ok(expected), "{url}");
        }
        for (url, reason) in [
            ("ftp://a/x", "neither http:// nor https://"),
            ("http://u:secret@a/x", "names a user"),
            ("http:///x", "no name and no address"),
            ("http://a b/x", "no name and no address"),
            ("http://a:0/x", "a port that is none"),
            ("http://a:b/x", "a port that is none"),
            ("http://a/x y", "percent-encoded"),
            ("http://a/x\r\nX: 1", "percent-encoded"),
        ] {
            let error = Address::parse(url).unwrap_err().0;
            assert!(error.contains(reason) && !error.contains("secret"), "{url:?}: {error}");
        }
        assert_eq!(Address::parse("http://a/b?token=secret").unwrap().shown(), "http://a/b");
    }

    #[test]
    fn headers_are_only_what_a_configuration_may_say() {
        let made = |name: &str, value: &str| fields(&[(name.to_owned(), value.to_owned())].into());
        let given = made("Authorization", "Bearer x").unwrap();
        assert_eq!(given.get("authorization"), Some(&b"Bearer x"[..]));
        assert_eq!(given.get("user-agent"), Some(&b"portcullis"[..]));
        assert_eq!(made("user-agent", "mine").unwrap().get_all("user-agent").count(), 1);
        for (name, value) in [("Host", "a"), ("a b", "c"), ("Transfer-Encoding", "chunked"), ("A", "b\r\nC: d")] {
            assert!(made(name, value).is_err(), "{name}");
        }
    }
}
