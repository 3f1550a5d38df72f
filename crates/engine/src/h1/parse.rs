//! Heads from bytes. Pure functions: the fuzzers and the differential oracle call them too.

use crate::Limits;
use httparse::Status;
use memchr::{memchr, memchr_iter, memchr2_iter};
use std::mem::MaybeUninit;
use wire::{Fields, Method, RequestHead, ResponseHead, Source, Version};

/// Header fields that one head may have at the very most; the setting is capped by it.
pub const MAX_HEADERS: usize = 256;

/// Why a head is refused: the status for the client and a name from a closed set.
pub type Refused = (u16, &'static str);

/// Looks for the end of a head, `CR LF CR LF`, from where the last look ended.
///
/// # Errors
/// At the first carriage return or line feed that stands alone: such a head would be read differently by lenient parsers.
pub fn find_end(buf: &[u8], scanned: &mut usize) -> Result<Option<usize>, Refused> {
    let from = *scanned;
    let mut lines = 0;
    let mut found = None;
    let mut is_bare = false;
    for at in memchr_iter(b'\n', buf.get(from..).unwrap_or_default()).map(|i| i + from) {
        if at.checked_sub(1).and_then(|i| buf.get(i)) != Some(&b'\r') {
            is_bare = true;
            break;
        }
        lines += 1;
        if at >= 3 && buf.get(at - 3..at - 1) == Some(b"\r\n") {
            found = Some(at + 1);
            break;
        }
    }
    // A carriage return at the very end is looked at again when its neighbour is there.
    let seen = found.unwrap_or(buf.len() - usize::from(buf.last() == Some(&b'\r')));
    // Every line feed has its carriage return; is there one without a line feed? They are counted, which is faster than to look at each.
    let looked_at = buf.get(from..seen).unwrap_or_default();
    if is_bare || memchr_iter(b'\r', looked_at).count() != lines {
        return Err(first_bare(looked_at));
    }
    *scanned = seen;
    Ok(found)
}

/// Which of the two comes first alone.
fn first_bare(bytes: &[u8]) -> Refused {
    let at = memchr2_iter(b'\r', b'\n', bytes).find(|&at| match bytes.get(at) {
        Some(b'\n') => at.checked_sub(1).and_then(|i| bytes.get(i)) != Some(&b'\r'),
        _ => bytes.get(at + 1) != Some(&b'\n'),
    });
    match at.and_then(|at| bytes.get(at)) {
        Some(b'\n') => (400, "bare-lf"),
        _ => (400, "bare-cr"),
    }
}

/// Reads a request's head. `bytes` is exactly one head, up to and with its empty line.
///
/// # Errors
/// The status and reason for all that RFC 9110 and 9112 call malformed or ambiguous, and for what is over the limits.
pub fn request(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<(), Refused> {
    let line = memchr(b'\r', bytes).unwrap_or(bytes.len());
    if line > limits.request_line {
        return Err((414, "request-line-too-long"));
    }
    if bytes.len() - line > limits.header_bytes + 4 {
        return Err((431, "headers-too-large"));
    }
    check_request_line(bytes.get(..line).unwrap_or_default())?;
    let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let max = limits.headers.min(MAX_HEADERS);
    let mut parsed = httparse::Request::new(&mut []);
    let slots = slots.get_mut(..max).unwrap_or_default();
    match parsed.parse_with_uninit_headers(bytes, slots) {
        Ok(Status::Complete(n)) if n == bytes.len() => {}
        Ok(_) => return Err((400, "malformed-head")),
        Err(error) => return Err(refusal(error)),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err((400, "malformed-request-line"));
    };
    head.version = if version == 0 { Version::Http10 } else { Version::Http11 };
    head.method = Method::from_bytes(method.as_bytes()).ok_or((400, "malformed-method"))?;
    let text = bytes.get(line..).unwrap_or_default();
    store_fields(text, parsed.headers, &mut head.fields)?;
    set_target(target.as_bytes(), head)
}

/// Reads a response's head; `bytes` is exactly one head.
///
/// # Errors
/// The reason why it is malformed.
pub fn response(bytes: &[u8], limits: &Limits) -> Result<(ResponseHead, Version), Refused> {
    let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    if bytes.len() > limits.header_bytes.max(64 << 10) {
        return Err((502, "headers-too-large"));
    }
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut slots) {
        Ok(Status::Complete(n)) if n == bytes.len() => {}
        Ok(_) => return Err((502, "malformed-head")),
        Err(error) => return Err(refusal(error)),
    }
    let (Some(status), Some(version)) = (parsed.code, parsed.version) else {
        return Err((502, "malformed-status-line"));
    };
    if !(100..=999).contains(&status) {
        return Err((502, "malformed-status-line"));
    }
    let version = if version == 0 { Version::Http10 } else { Version::Http11 };
    let mut head = ResponseHead::new(status, Source::Upstream);
    let reason = parsed.reason.unwrap_or_default();
    if reason != wire::status::reason(status) && wire::Fields::is_value(reason.as_bytes()) {
        head.reason = Some(reason.as_bytes().into());
    }
    store_fields(bytes, parsed.headers, &mut head.fields)?;
    Ok((head, version))
}

fn refusal(error: httparse::Error) -> Refused {
    match error {
        httparse::Error::TooManyHeaders => (431, "too-many-headers"),
        httparse::Error::Version => (505, "http-version"),
        httparse::Error::HeaderName => (400, "malformed-field-name"),
        httparse::Error::HeaderValue => (400, "malformed-field-value"),
        httparse::Error::NewLine => (400, "malformed-line-end"),
        httparse::Error::Token => (400, "malformed-request-line"),
        httparse::Error::Status => (502, "malformed-status-line"),
    }
}

/// `method SP target SP version`, with exactly one space twice, and a version that we speak.
fn check_request_line(line: &[u8]) -> Result<(), Refused> {
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err((400, "malformed-request-line"));
    };
    if method.is_empty() || target.is_empty() {
        return Err((400, "malformed-request-line"));
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err((505, "http-version"))
        }
        _ => Err((400, "malformed-request-line")),
    }
}

fn store_fields(head: &[u8], headers: &[httparse::Header<'_>], fields: &mut Fields) -> Result<(), Refused> {
    if headers.iter().any(|header| header.name.is_empty()) {
        return Err((400, "malformed-field-name"));
    }
    let lines = headers.iter().map(|header| {
        let value = header.value.trim_ascii();
        debug_assert!(Fields::is_value(value), "httparse lets no control byte pass");
        (header.name.as_bytes(), value)
    });
    // Some room for what plugins and the gateway add.
    fields.adopt(head, lines, (6, 192));
    Ok(())
}

/// Splits the target's form (RFC 9112, section 3.2) and finds the authority that the request is for.
fn set_target(target: &[u8], head: &mut RequestHead) -> Result<(), Refused> {
    head.target.clear();
    head.authority.clear();
    if matches!(head.method, Method::Connect) {
        return Err((501, "connect"));
    }
    if target.contains(&b'#') {
        return Err((400, "fragment-in-target"));
    }
    if !target.iter().all(|&b| b > b' ' && b != 0x7f) {
        return Err((400, "malformed-target"));
    }
    let mut hosts = head.fields.get_all("host");
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err((400, "repeated-host"));
    }
    if host.is_none() && head.version == Version::Http11 {
        return Err((400, "missing-host"));
    }
    if !host.is_none_or(is_authority) {
        return Err((400, "malformed-host"));
    }
    let host = host.unwrap_or_default();
    match target {
        [b'/', ..] => {
            head.authority.extend_from_slice(host);
            head.target.extend_from_slice(target);
        }
        // The server as a whole is nothing that a route could be for; nginx, and so APISIX, refuses it with 400 too.
        b"*" if head.method == Method::Options => return Err((400, "asterisk-target")),
        _ => {
            let (authority, rest) = absolute(target).ok_or((400, "malformed-target"))?;
            if authority.is_empty() || !is_authority(authority) {
                return Err((400, "malformed-target"));
            }
            if head.fields.contains("host") && !host.eq_ignore_ascii_case(authority) {
                return Err((400, "host-against-target"));
            }
            head.authority.extend_from_slice(authority);
            if rest.first() != Some(&b'/') {
                head.target.push(b'/');
            }
            head.target.extend_from_slice(rest);
        }
    }
    Ok(())
}

/// Authority and the rest of an absolute `http` or `https` target.
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).and(target.get(scheme.len()..))
    })?;
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    rest.split_at_checked(end)
}

/// `host [":" port]` (RFC 9110, section 7.2): a name, an IPv4 address or a bracketed IPv6 address; no userinfo. Empty is allowed.
pub(crate) fn is_authority(authority: &[u8]) -> bool {
    let (host, port) = match authority {
        [b'[', rest @ ..] => {
            let Some((inside, after)) = memchr(b']', rest).and_then(|at| rest.split_at_checked(at)) else {
                return false;
            };
            let Ok(text) = std::str::from_utf8(inside) else { return false };
            if text.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (&b""[..], after.get(1..).unwrap_or_default())
        }
        _ => {
            let at = memchr(b':', authority).unwrap_or(authority.len());
            authority.split_at_checked(at).unwrap_or_default()
        }
    };
    let is_host = host.iter().all(|&b| HOST_BYTES.get(usize::from(b)) == Some(&true));
    let is_percent_encoded = host
        .split(|&b| b == b'%')
        .skip(1)
        .all(|part| part.get(..2).is_some_and(|octet| octet.iter().all(u8::is_ascii_hexdigit)));
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_host && is_percent_encoded && is_port
}

/// Bytes of a name (RFC 3986, section 3.2.2).
static HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128u8 {
        table[b as usize] = b.is_ascii_alphanumeric();
        b += 1;
    }
    let mut others: &[u8] = b"-._~!$&'()*+,;=%";
    while let [b, rest @ ..] = others {
        table[*b as usize] = true;
        others = rest;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_the_same_way_in_however_many_pieces_they_come() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nA: 1\r\n\r\nrest", Ok(Some(24))),
            ("\r\n\r\n", Ok(Some(4))),
            ("A: 1\r\n", Ok(None)),
            ("", Ok(None)),
            ("A: 1\r", Ok(None)),
            ("A: 1\r\r\n\r\n", Err((400, "bare-cr"))),
            ("A: 1\rB: 2\r\n\r\n", Err((400, "bare-cr"))),
            ("A: 1\n\r\n", Err((400, "bare-lf"))),
            ("A: 1\r\n\n", Err((400, "bare-lf"))),
            ("A: 1\nB: 2\rC: 3\r\n\r\n", Err((400, "bare-lf"))),
            ("A: 1\rB: 2\nC: 3\r\n\r\n", Err((400, "bare-cr"))),
            ("\n", Err((400, "bare-lf"))),
        ] {
            assert_eq!(find_end(head.as_bytes(), &mut 0), expected, "{head:?}");
            let mut scanned = 0;
            let mut came = (0..=head.len()).map(|end| find_end(&head.as_bytes()[..end], &mut scanned));
            let first = came.find(|found| *found != Ok(None)).unwrap_or(Ok(None));
            assert_eq!(first, expected, "byte by byte: {head:?}");
        }
    }
}
