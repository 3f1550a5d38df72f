//! From a head as received to the request that routes and plugins see.

use super::Options;
use plugin::{BodyLimits, Request, RequestBody};
use smallvec::SmallVec;
use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};
use wire::{ClientAddr, Downstream, Fields, Names, PeerAddr, RequestHead, path};

/// Fields that concern one connection only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect"];

const HOP_BY_HOP_NAMES: Names = Names::of(&HOP_BY_HOP);

/// Fields that nothing a client writes into `Connection` may take away.
const NEVER_NAMED: [&str; 4] = ["host", "content-length", "transfer-encoding", "content-type"];

/// Fields that carry identity; only the gateway writes them.
const IDENTITY: [&str; 5] =
    ["x-consumer-username", "x-credential-identifier", "x-consumer-custom-id", "x-consumer-groups", "x-consumer-id"];

/// What was taken from the head before anything else sees it.
pub(super) struct Received {
    /// The request.
    pub(super) request: Request,
    /// The path that routes are matched with, when it is another: with its encoded slashes.
    pub(super) match_path: Option<Vec<u8>>,
    /// The protocol that the client wants to change to.
    pub(super) upgrade: Option<Vec<u8>>,
    /// Whether the client takes trailer fields.
    pub(super) takes_trailers: bool,
}

/// Why a request goes no further.
#[derive(Debug, Clone, Copy)]
pub(super) enum BadTarget {
    /// The path cannot be normalised.
    Malformed,
    /// Two parsers could read it differently.
    Ambiguous,
}

impl BadTarget {
    /// The name of the reason.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-path",
            Self::Ambiguous => "ambiguous-path",
        }
    }
}

/// Reads a head. A target that is refused still gives a request, so that it can be logged.
pub(super) fn receive(
    head: RequestHead,
    downstream: &Rc<dyn Downstream>,
    bodies: &Rc<BodyLimits>,
    options: &Options,
) -> (Received, Option<BadTarget>) {
    let RequestHead { method, target, authority, version, mut fields } = head;
    let upgrade = connection_names(&fields, "upgrade").then(|| fields.get("upgrade").map(<[u8]>::to_vec)).flatten();
    let takes_trailers =
        fields.get_all("te").any(|v| v.split(|&b| b == b',').any(|c| c.trim_ascii().eq_ignore_ascii_case(b"trailers")));
    remove_hop_by_hop(&mut fields);
    if options.drops_underscores {
        fields.retain(|name, _| !name.contains(&b'_'));
    }
    if options.strips_identity {
        fields.retain(|name, _| !is_identity(name) && !is_disguised(name));
    }
    let (raw_path, query) = path::split_query(&target);
    let (path, is_ambiguous, refused) = match path::MatchPath::normalise(raw_path) {
        Ok(normal) if options.refuses_raw_bytes && !target.is_ascii() => {
            (normal.path, false, Some(BadTarget::Malformed))
        }
        Ok(normal) => (normal.path, normal.is_ambiguous, None),
        Err(_) => (raw_path.to_vec(), false, Some(BadTarget::Malformed)),
    };
    let (mut path, mut refused) = match refused {
        None if options.matches_like_servlet => match path::without_parameters(&path) {
            Some(Cow::Borrowed(_)) => (path, None),
            Some(Cow::Owned(bare)) => (bare, None),
            None => (path, Some(BadTarget::Ambiguous)),
        },
        refused => (path, refused),
    };
    // Kept encoded, a slash is read in one way only: as a part of its segment.
    let is_kept = is_ambiguous && options.keeps_encoded_slash;
    let mut match_path = if is_kept { path::with_encoded_slashes(raw_path, &path) } else { None };
    if is_ambiguous && match_path.is_none() && options.refuses_ambiguous_paths {
        refused = refused.or(Some(BadTarget::Ambiguous));
    }
    if options.drops_tail_slash {
        for path in [Some(&mut path), match_path.as_mut()].into_iter().flatten() {
            if path.len() > 1 && path.last() == Some(&b'/') {
                path.pop();
            }
        }
    }
    let query = query.map(<[u8]>::to_vec);
    let request = Request {
        host: host_of(&authority),
        method,
        path,
        query,
        target,
        version,
        fields,
        authority,
        scheme: "http",
        body: RequestBody::new(downstream.clone(), bodies.clone()),
    };
    (Received { request, match_path, upgrade, takes_trailers }, refused)
}

/// The client's address: the peer's, or what a trusted peer says in the configured field (nginx's realip).
pub(super) fn client_addr(peer: PeerAddr, fields: &Fields, options: &Options) -> ClientAddr {
    let is_trusted = |ip: &IpAddr| options.real_ip_from.iter().any(|net| net.contains(ip));
    let mut client = peer.0;
    if !is_trusted(&client.ip()) {
        return ClientAddr(client);
    }
    // From the right: what is further left was written by somebody further away.
    let lines: SmallVec<[&[u8]; 4]> = fields.get_all(&options.real_ip_header).collect();
    let said = lines.iter().rev().flat_map(|line| line.rsplit(|b| matches!(b, b',' | b' ' | b'\t')));
    for text in said.filter(|text| !text.is_empty()) {
        let Some(ip) = std::str::from_utf8(text).ok().and_then(parse_address) else { break };
        client.set_ip(ip);
        if !options.real_ip_recursive || !is_trusted(&ip) {
            break;
        }
    }
    ClientAddr(client)
}

/// An address, with or without brackets and a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = text.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|addr| addr.ip()))?;
    Some(ip.to_canonical())
}

/// Removes what concerns one connection only, and what `Connection` names.
pub(super) fn remove_hop_by_hop(fields: &mut Fields) {
    if !fields.may_have(HOP_BY_HOP_NAMES) {
        return;
    }
    let mut named: SmallVec<[Vec<u8>; 2]> = SmallVec::new();
    for value in fields.get_all("connection").filter(|value| !value.eq_ignore_ascii_case(b"keep-alive")) {
        for option in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
            let is_plain = option.is_empty()
                || option.eq_ignore_ascii_case(b"keep-alive")
                || option.eq_ignore_ascii_case(b"close")
                || NEVER_NAMED.iter().any(|n| option.eq_ignore_ascii_case(n.as_bytes()));
            if !is_plain {
                named.push(option.to_vec());
            }
        }
    }
    fields.remove_lines(|line| {
        let is_hop_by_hop = line.may_be(HOP_BY_HOP_NAMES) && HOP_BY_HOP.iter().any(|hop| line.is(hop));
        is_hop_by_hop || named.iter().any(|name| name.eq_ignore_ascii_case(line.name()))
    });
}

/// Whether a name is another spelling of a field that the gateway itself writes.
fn is_disguised(name: &[u8]) -> bool {
    const OWN: [&str; 3] = ["x-real-ip", "transfer-encoding", "content-length"];
    if !name.iter().any(|b| matches!(b, b'_' | b'.')) {
        return false;
    }
    let start = b"x-forwarded-";
    OWN.iter().any(|own| Fields::folded(name).eq(own.bytes()))
        || Fields::folded(name).take(start.len()).eq(start.iter().copied())
}

/// Whether a name folds to one of the identity fields (case, `-`, `_` and `.` are alike to many applications).
fn is_identity(name: &[u8]) -> bool {
    let is_candidate = name.first().is_some_and(|b| b.eq_ignore_ascii_case(&b'x'));
    is_candidate && IDENTITY.iter().any(|identity| Fields::folded(name).eq(identity.bytes()))
}

fn connection_names(fields: &Fields, option: &str) -> bool {
    fields
        .get_all("connection")
        .flat_map(|v| v.split(|&b| b == b','))
        .any(|o| o.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
}

/// The host as routing sees it: lower case, without port and trailing dot.
fn host_of(authority: &[u8]) -> String {
    let host = match authority {
        [b'[', ..] => {
            authority.iter().position(|&b| b == b']').and_then(|at| authority.get(..=at)).unwrap_or(authority)
        }
        _ => authority.split(|&b| b == b':').next().unwrap_or_default(),
    };
    let host = host.strip_suffix(b".").unwrap_or(host);
    String::from_utf8(host.to_ascii_lowercase()).unwrap_or_else(|_| String::from_utf8_lossy(host).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_takes_its_own_fields_away_and_no_others() {
        let mut fields: Fields = [
            ("Host", "a"),
            ("Connection", "keep-alive, X-Drop, Host, content-length"),
            ("X-Drop", "1"),
            ("Content-Length", "3"),
            ("Keep-Alive", "timeout=5"),
            ("X-Keep", "1"),
        ]
        .into_iter()
        .collect();
        remove_hop_by_hop(&mut fields);
        let names: Vec<_> = fields.iter().map(|(n, _)| String::from_utf8_lossy(n).into_owned()).collect();
        assert_eq!(names, ["Host", "Content-Length", "X-Keep"]);
    }

    #[test]
    fn identity_is_found_in_every_spelling() {
        for name in ["X-Consumer-Username", "x_consumer_username", "X.Consumer-USERNAME", "X-Credential_Identifier"] {
            assert!(is_identity(name.as_bytes()), "{name}");
        }
        assert!(!is_identity(b"X-Consumer-Usernames") && !is_identity(b"Host"));
    }

    #[test]
    fn hosts_are_folded() {
        for (authority, host) in [("A.Example.:80", "a.example"), ("[::1]:80", "[::1]"), ("", ""), ("x", "x")] {
            assert_eq!(host_of(authority.as_bytes()), host);
        }
    }
}
