//! The one path that every decision sees.

use std::borrow::Cow;

/// A request target's path, percent-decoded, with dot segments and repeated slashes resolved as nginx does.
///
/// Computed once per request; router, plugins and policies all see this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchPath {
    /// The normalised path. Always begins with `/`.
    pub path: Vec<u8>,
    /// Whether two parsers could read the target differently: an encoded slash, backslash or NUL, an encoded dot
    /// segment, an overlong form, or parameters (`;`) in front of dots.
    pub is_ambiguous: bool,
}

/// Why a path cannot be normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `%` without two hexadecimal digits.
    #[error("bad percent-encoding")]
    BadEncoding,
    /// More `..` than there are segments.
    #[error("the path leaves its root")]
    AboveRoot,
    /// A decoded NUL byte.
    #[error("NUL in the path")]
    Nul,
    /// The path does not begin with a slash.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
}

impl MatchPath {
    /// Normalises the raw path of a target (without its query).
    pub fn normalise(raw: &[u8]) -> Result<Self, PathError> {
        if raw.first() != Some(&b'/') {
            return Err(PathError::NotAbsolute);
        }
        if is_plain(raw) {
            return Ok(Self { path: raw.to_vec(), is_ambiguous: false });
        }
        let (decoded, mut is_ambiguous) = decode(raw)?;
        is_ambiguous |= raw.contains(&b'\\');
        let mut path = Vec::with_capacity(decoded.len());
        let mut segments = decoded.split(|&b| b == b'/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            let bare = segment.split(|&b| b == b';').next().unwrap_or_default();
            is_ambiguous |= bare.len() != segment.len() && (bare == b"." || bare == b"..");
            match segment {
                b"" if !is_last => {}
                b"." => {
                    if is_last {
                        path.push(b'/');
                    }
                }
                b".." => {
                    let Some(cut) = path.iter().rposition(|&b| b == b'/') else {
                        return Err(PathError::AboveRoot);
                    };
                    path.truncate(cut);
                    if is_last {
                        path.push(b'/');
                    }
                }
                segment => {
                    path.push(b'/');
                    path.extend_from_slice(segment);
                }
            }
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(Self { path, is_ambiguous })
    }
}

/// The path with its encoded slashes still encoded (as `%2F`) and all else decoded, where that is the only difference to the
/// normalised one. `None` where there is no encoded slash, or where segments were resolved, slashes merged, or something else
/// could be read in two ways: then there is only the normalised path.
pub fn with_encoded_slashes(raw: &[u8], normalised: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(raw.len());
    let mut without = Vec::with_capacity(raw.len());
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&b, after)) = rest.split_first() {
        let (byte, used) = match after {
            [high, low, ..] if b == b'%' => (hex(*high)? << 4 | hex(*low)?, 3),
            _ if b == b'%' => return None,
            _ => (b, 1),
        };
        decoded.push(byte);
        if used == 3 && byte == b'/' {
            kept.extend_from_slice(b"%2F");
            without.push(b'x');
        } else {
            kept.push(byte);
            without.extend_from_slice(rest.get(..used)?);
        }
        rest = rest.get(used..)?;
    }
    let has_encoded = kept.len() != decoded.len();
    let is_clear =
        has_encoded && decoded == normalised && MatchPath::normalise(&without).is_ok_and(|n| !n.is_ambiguous);
    is_clear.then_some(kept)
}

/// A normalised path without the parameters (`;`) of its segments, as servlets see it. `None` where a container would see another
/// path: behind the parameters a dot segment, or an empty one in the middle.
pub fn without_parameters(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr(b';', path).is_none() {
        return Some(Cow::Borrowed(path));
    }
    let mut whole = Vec::with_capacity(path.len());
    let mut segments = path.split(|&b| b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let bare = segment.split(|&b| b == b';').next().unwrap_or_default();
        let is_last = segments.peek().is_none();
        if bare.len() != segment.len() {
            let lower = bare.to_ascii_lowercase();
            let is_dots = matches!(&*lower, b"." | b".." | b"%2e" | b"%2e%2e");
            if is_dots || (bare.is_empty() && !is_last) {
                return None;
            }
        }
        whole.extend_from_slice(bare);
        if !is_last {
            whole.push(b'/');
        }
    }
    Some(Cow::Owned(whole))
}

/// Nothing to decode, to resolve or to doubt.
fn is_plain(raw: &[u8]) -> bool {
    let mut previous = 0;
    for &b in raw {
        if matches!(b, b'%' | b'\\' | b';') || (previous == b'/' && matches!(b, b'/' | b'.')) {
            return false;
        }
        previous = b;
    }
    true
}

fn decode(raw: &[u8]) -> Result<(Vec<u8>, bool), PathError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut is_ambiguous = false;
    let mut bytes = raw.iter().copied();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
            return Err(PathError::BadEncoding);
        };
        let byte = high << 4 | low;
        match byte {
            0 => return Err(PathError::Nul),
            // A second decoding, or a parser that decodes later, would see other segments.
            b'/' | b'\\' | b'.' | b'%' | 0xc0 | 0xc1 => is_ambiguous |= byte != b'.' || is_dot_segment(raw),
            _ => {}
        }
        out.push(byte);
    }
    Ok((out, is_ambiguous))
}

/// Whether some segment is made of dots, at least one of them encoded.
fn is_dot_segment(raw: &[u8]) -> bool {
    raw.split(|&b| b == b'/').any(|segment| {
        let text = String::from_utf8_lossy(segment).to_ascii_lowercase();
        let dots = text.replace("%2e", ".");
        let bare = dots.split(';').next().unwrap_or_default();
        text.contains("%2e") && (bare == "." || bare == "..")
    })
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).map(|d| d as u8)
}

/// Splits a target at its first `?`: path, and query if there is one.
pub fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..)),
        None => (target, None),
    }
}

/// Percent-decodes a query's name or value: `+` is a space, a broken escape stays as it is.
pub fn decode_query(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    Cow::Owned(percent_encoding::percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_cut_and_cannot_hide_a_segment() {
        for (path, bare) in [
            ("/a/b", Some("/a/b")),
            ("/hello;world", Some("/hello")),
            ("/hello;a=b/world;a/;", Some("/hello/world/")),
            ("/a;x;y/b", Some("/a/b")),
            ("/;", Some("/")),
            ("/;/a", None),
            ("/b/;/c", None),
            ("/.;", None),
            ("/..;/admin", None),
            ("/a/%2E%2e;x", None),
            ("/a/%2e;", None),
        ] {
            assert_eq!(without_parameters(path.as_bytes()).as_deref(), bare.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn an_encoded_slash_is_kept_only_where_nothing_else_happened() {
        for (raw, kept) in [
            ("/a%2Fb", Some("/a%2Fb")),
            ("/a%2fb/%41", Some("/a%2Fb/A")),
            ("/a%2Fb%2f", Some("/a%2Fb%2F")),
            ("/a/b", None),
            ("/a%2Fb/../c", None),
            ("/a%2F..%2Fb", None),
            ("/a%2F%2e%2e/b", None),
            ("/a//b%2Fc", None),
            ("/a%2F%2Fb", None),
            ("/a%2Fb%5C", None),
            ("/a%2Fb\\c", None),
            ("/a%2Fb/..;/c", None),
            ("/a%2Fb%252Fc", None),
            ("/a%2Fb%2", None),
        ] {
            let normal = MatchPath::normalise(raw.as_bytes()).map(|n| n.path).unwrap_or_default();
            assert_eq!(with_encoded_slashes(raw.as_bytes(), &normal).as_deref(), kept.map(str::as_bytes), "{raw}");
        }
    }

    #[test]
    fn paths_are_normalised_as_nginx_does() {
        for (raw, path, ambiguous) in [
            ("/", "/", false),
            ("/a/b", "/a/b", false),
            ("//a///b/", "/a/b/", false),
            ("/a/./b/.", "/a/b/", false),
            ("/a/../b", "/b", false),
            ("/a/b/..", "/a/", false),
            ("/a%20b", "/a b", false),
            ("/a%2fb", "/a/b", true),
            ("/a/%2e%2e/b", "/b", true),
            ("/v1%2e2", "/v1.2", false),
            ("/a/..;x/b", "/a/..;x/b", true),
            ("/a\\b", "/a\\b", true),
            ("/%252e", "/%2e", true),
            ("/...", "/...", false),
        ] {
            let got = MatchPath::normalise(raw.as_bytes()).unwrap();
            assert_eq!((String::from_utf8_lossy(&got.path).as_ref(), got.is_ambiguous), (path, ambiguous), "{raw}");
        }
        for (raw, error) in [
            ("/..", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("/%zz", PathError::BadEncoding),
            ("/%0", PathError::BadEncoding),
            ("/%00", PathError::Nul),
            ("a", PathError::NotAbsolute),
        ] {
            assert_eq!(MatchPath::normalise(raw.as_bytes()), Err(error), "{raw}");
        }
    }
}
