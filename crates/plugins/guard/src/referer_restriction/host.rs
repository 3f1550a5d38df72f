//! Hosts of a `Referer`, and lists of them.

use std::{borrow::Cow, collections::HashSet};

/// Hosts by name and by their ends.
#[derive(Debug)]
pub(super) struct Hosts {
    names: HashSet<Vec<u8>>,
    suffixes: Vec<Vec<u8>>,
}

impl Hosts {
    /// Of names as written; `*` in front stands for anything. With `folds` the names are what the DNS takes them for.
    pub(super) fn new(texts: &[String], folds: bool) -> Self {
        let mut hosts = Self { names: HashSet::new(), suffixes: Vec::new() };
        for text in texts {
            let text = if folds { folded(text.as_bytes()) } else { Cow::Borrowed(text.as_bytes()) };
            match text.strip_prefix(b"*") {
                Some(suffix) => hosts.suffixes.push(suffix.to_vec()),
                None => {
                    hosts.names.insert(text.into_owned());
                }
            }
        }
        hosts
    }

    pub(super) fn contains(&self, host: &[u8]) -> bool {
        self.names.contains(host) || self.suffixes.iter().any(|suffix| host.ends_with(suffix))
    }
}

/// In lower case, without the dot at the end.
fn folded(host: &[u8]) -> Cow<'_, [u8]> {
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.iter().any(u8::is_ascii_uppercase) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

/// The host as the DNS takes it. Where parsers could see different ones, there is none.
pub(super) fn strict(referer: &[u8]) -> Option<Cow<'_, [u8]>> {
    let host = literal(referer)?;
    let start = referer.windows(2).position(|pair| pair == b"//")? + 2;
    let authority = referer.get(start..)?.split(|b| matches!(b, b'/' | b'?')).next()?;
    let port = match authority.get(host.len()..)? {
        [] => &[],
        [b':', port @ ..] => port,
        _ => return None,
    };
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let is_host = match host {
        [b'[', address @ .., b']'] => address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        name => name.iter().all(is_name),
    };
    (is_host && port.iter().all(u8::is_ascii_digit)).then(|| folded(host))
}

/// The host as APISIX cuts it out of an absolute URI, or of one without a scheme.
pub(super) fn literal(referer: &[u8]) -> Option<&[u8]> {
    let rest = [&b"https://"[..], b"http://", b"//"].iter().find_map(|start| referer.strip_prefix(*start))?;
    let name = rest.iter().position(|b| matches!(b, b'[' | b']' | b':' | b'/' | b'?')).unwrap_or(rest.len());
    if name > 0 {
        return rest.get(..name);
    }
    // An address in brackets, up to the last one that closes.
    let end = rest.iter().rposition(|&b| b == b']')?;
    (rest.first() == Some(&b'[') && end > 1).then(|| rest.get(..=end)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_cut_out() {
        for (referer, as_apisix, as_we) in [
            ("http://a.example", Some("a.example"), Some("a.example")),
            ("https://a.example:8443/b?c", Some("a.example"), Some("a.example")),
            ("//a.example/b", Some("a.example"), Some("a.example")),
            ("http://a.example?b", Some("a.example"), Some("a.example")),
            ("http://A.Example./", Some("A.Example."), Some("a.example")),
            ("http://[::1]:80/", Some("[::1]"), Some("[::1]")),
            ("http://a.example@evil.example/", Some("a.example@evil.example"), None),
            ("http://a.example:80@evil.example/", Some("a.example"), None),
            ("http://a.example:x/", Some("a.example"), None),
            ("http://[::1]evil.example/", Some("[::1]"), None),
            ("http://[::1]]/", Some("[::1]]"), None),
            ("http://ex\u{e4}mple/", Some("ex\u{e4}mple"), None),
            ("http://evil.example\\@a.example/", Some("evil.example\\@a.example"), None),
            ("http://evil.example#.a.example/", Some("evil.example#.a.example"), None),
            ("http://a.example, http://evil.example", Some("a.example, http"), None),
            ("http://ex%61mple", Some("ex%61mple"), None),
            ("HTTP://a.example", None, None),
            ("ftp://a.example", None, None),
            ("a.example", None, None),
            ("http:///a", None, None),
            ("http://", None, None),
            ("http://:80/", None, None),
            ("http://[]/", None, None),
            ("http://[::1/", None, None),
            ("", None, None),
        ] {
            let text = |host: &[u8]| String::from_utf8_lossy(host).into_owned();
            assert_eq!(literal(referer.as_bytes()).map(text), as_apisix.map(str::to_owned), "{referer}");
            assert_eq!(strict(referer.as_bytes()).map(|host| text(&host)), as_we.map(str::to_owned), "{referer}");
        }
    }
}
