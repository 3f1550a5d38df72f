//! Percent-encoding of targets.

/// What nginx escapes in a path (`ngx_escape_uri` with `NGX_ESCAPE_URI`).
pub(crate) fn escape_path(path: &[u8]) -> Vec<u8> {
    escape(path, |b| !b.is_ascii_graphic() || b"\"#%<>?\\^`{|}".contains(&b))
}

/// What would end the request line or split it.
pub(crate) fn escape_breaking(target: &[u8]) -> Vec<u8> {
    escape(target, |b| b <= b' ' || b == 0x7f)
}

fn escape(text: &[u8], is_escaped: impl Fn(u8) -> bool) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |b: u8| DIGITS.get(usize::from(b & 15)).copied().unwrap_or_default();
    let mut out = Vec::with_capacity(text.len());
    for &b in text {
        if is_escaped(b) {
            out.extend_from_slice(&[b'%', digit(b >> 4), digit(b)]);
        } else {
            out.push(b);
        }
    }
    out
}
