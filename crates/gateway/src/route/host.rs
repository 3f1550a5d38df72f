use super::RouteQuery;
use std::sync::Arc;

/// A host as a condition: exact, or what the request's host ends with behind a `*`.
#[derive(Debug, Clone)]
pub(crate) struct HostPattern {
    /// As written.
    pub(crate) text: Arc<str>,
    folded: Box<[u8]>,
    is_wildcard: bool,
    /// It has a port: it is compared with the host as the client sent it.
    has_port: bool,
}

impl HostPattern {
    pub(crate) fn new(text: &Arc<str>) -> Self {
        let folded = text.to_ascii_lowercase();
        let (is_wildcard, folded) = match folded.strip_prefix('*') {
            Some(suffix) => (true, suffix),
            None => (false, &*folded),
        };
        Self { text: text.clone(), folded: folded.as_bytes().into(), is_wildcard, has_port: folded.contains(':') }
    }

    pub(crate) fn fits(&self, query: &RouteQuery<'_>) -> bool {
        let host = if self.has_port { query.authority } else { query.host.as_bytes() };
        let compared = match host.len().checked_sub(self.folded.len()) {
            Some(0) => host,
            Some(extra) if self.is_wildcard => host.get(extra..).unwrap_or_default(),
            _ => return false,
        };
        compared.eq_ignore_ascii_case(&self.folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_as_the_uri_routers_do() {
        for (pattern, authority, fits) in [
            ("a.com", "a.com", true),
            ("A.com", "a.COM:9080", true),
            ("a.com", "b.a.com", false),
            ("*.a.com", "c.b.A.com", true),
            ("*.a.com", "a.com", false),
            ("*a.com", "ba.com", true),
            ("*", "a.com", true),
            ("*", "", true),
            ("a.com:80", "a.com:80", true),
            ("a.com:80", "A.com:80", true),
            ("a.com:80", "a.com", false),
            ("a.com:80", "a.com:81", false),
            ("*.com:80", "a.com:80", true),
        ] {
            let host = authority.split(':').next().unwrap().to_ascii_lowercase();
            let query = RouteQuery {
                method: "GET",
                host: &host,
                authority: authority.as_bytes(),
                path: b"/",
                client: [127, 0, 0, 1].into(),
            };
            assert_eq!(HostPattern::new(&pattern.into()).fits(&query), fits, "{pattern} {authority}");
        }
    }
}
