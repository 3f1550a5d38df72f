use wire::Fields;

/// Bytes that one chunk-size line may have, its extensions included.
const MAX_SIZE_LINE: usize = 256;
/// Bytes that all trailer lines together may have.
const MAX_TRAILERS: usize = 8 << 10;
/// Trailer fields.
const MAX_TRAILER_FIELDS: usize = 64;

/// Decodes the chunked coding (RFC 9112, section 7.1), refusing every spelling but the canonical one.
#[derive(Debug, Clone, Default)]
pub struct Chunked {
    state: State,
    trailers: Fields,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// What the decoder found at the start of the input.
#[derive(Debug, PartialEq)]
pub enum Chunk {
    /// More input is needed.
    More,
    /// So many bytes of framing are to be skipped; then ask again.
    Skip(usize),
    /// So many bytes are content.
    Data(usize),
    /// So many bytes of framing end the body; these are its trailer fields.
    End(usize, Fields),
}

impl Chunked {
    /// Looks at the input and says what its first bytes are. The caller takes them away.
    ///
    /// # Errors
    /// The reason why the coding is broken.
    pub fn decode(&mut self, input: &[u8]) -> Result<Chunk, &'static str> {
        match self.state {
            State::Size => {
                let Some(line) = line(input, MAX_SIZE_LINE, "chunk-size-line-too-long")? else {
                    return Ok(Chunk::More);
                };
                let size = size(line)?;
                self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                Ok(Chunk::Skip(line.len() + 2))
            }
            State::Data(left) => {
                if input.is_empty() {
                    return Ok(Chunk::More);
                }
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let left = left - n as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                Ok(Chunk::Data(n))
            }
            State::DataEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(Chunk::Skip(2))
                }
                [] | [b'\r'] => Ok(Chunk::More),
                _ => Err("chunk-data-without-end"),
            },
            State::Trailers => {
                let Some(line) = line(input, MAX_TRAILERS, "trailers-too-large")? else { return Ok(Chunk::More) };
                if line.is_empty() {
                    self.state = State::Done;
                    return Ok(Chunk::End(2, std::mem::take(&mut self.trailers)));
                }
                self.trailer_bytes += line.len();
                if self.trailer_bytes > MAX_TRAILERS || self.trailers.len() >= MAX_TRAILER_FIELDS {
                    return Err("trailers-too-large");
                }
                let at = line.iter().position(|&b| b == b':').ok_or("malformed-trailer")?;
                let (name, value) = line.split_at_checked(at).ok_or("malformed-trailer")?;
                let value = trim_ows(value.get(1..).unwrap_or_default());
                if !Fields::is_name(name) || !Fields::is_value(value) {
                    return Err("malformed-trailer");
                }
                // Fields that frame, route or authenticate a message mean nothing behind it (RFC 9110, section 6.5.1).
                if !is_forbidden_trailer(name) {
                    self.trailers.push(name, value);
                }
                Ok(Chunk::Skip(line.len() + 2))
            }
            State::Done => Ok(Chunk::End(0, Fields::new())),
        }
    }
}

/// Without the spaces and tabs around it. `trim_ascii` would take form feeds away too, which no field may have.
fn trim_ows(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether a field means nothing behind a message, or would be taken for what the gateway itself says of the client. Many
/// applications read `_` and `.` as `-`.
pub(crate) fn is_forbidden_trailer(name: &[u8]) -> bool {
    const NAMES: [&str; 20] = [
        "transfer-encoding",
        "content-length",
        "host",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "content-encoding",
        "content-type",
        "content-range",
        "cache-control",
        "expect",
        "max-forwards",
        "forwarded",
        "x-real-ip",
    ];
    NAMES.iter().any(|forbidden| Fields::folded(name).eq(forbidden.bytes()))
        || ["x-forwarded-", "x-consumer-", "x-credential-"]
            .iter()
            .any(|start| Fields::folded(name).take(start.len()).eq(start.bytes()))
}

/// The first line without its `CR LF`; `None` when it is not complete.
fn line<'a>(input: &'a [u8], max: usize, too_long: &'static str) -> Result<Option<&'a [u8]>, &'static str> {
    match memchr::memchr2(b'\r', b'\n', input) {
        Some(at) if at > max => Err(too_long),
        Some(at) => match input.get(at..) {
            Some([b'\r', b'\n', ..]) => Ok(input.get(..at)),
            Some([b'\r']) => Ok(None),
            Some([b'\r', ..]) => Err("bare-cr-in-chunk"),
            _ => Err("bare-lf-in-chunk"),
        },
        None if input.len() > max => Err(too_long),
        None => Ok(None),
    }
}

/// `1*HEXDIG`, at most 15 of them, and extensions that are checked for control bytes and then dropped.
fn size(line: &[u8]) -> Result<u64, &'static str> {
    let end = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extension) = line.split_at_checked(end).unwrap_or_default();
    if digits.is_empty() {
        return Err("malformed-chunk-size");
    }
    if digits.len() > 15 {
        return Err("chunk-size-overflow");
    }
    // No white space between size and semicolon: RFC 9112 calls it bad, and parsers differ on it.
    let is_extension = matches!(extension.first(), None | Some(b';'));
    if !is_extension || !extension.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)) {
        return Err("malformed-chunk-size");
    }
    Ok(digits.iter().fold(0, |sum, &b| sum << 4 | u64::from(char::from(b).to_digit(16).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(mut input: &[u8]) -> Result<(Vec<u8>, Fields, usize), &'static str> {
        let (mut chunked, mut body) = (Chunked::default(), Vec::new());
        loop {
            match chunked.decode(input)? {
                Chunk::More => return Err("more"),
                Chunk::Skip(n) => input = &input[n..],
                Chunk::Data(n) => {
                    body.extend_from_slice(&input[..n]);
                    input = &input[n..];
                }
                Chunk::End(n, trailers) => return Ok((body, trailers, input.len() - n)),
            }
        }
    }

    #[test]
    fn canonical_bodies_are_read() {
        let (body, trailers, left) =
            decode(b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX: 1\r\nHost: evil\r\n\r\nGET").unwrap();
        assert_eq!((&body[..], left), (&b"abc0123456789"[..], 3));
        assert_eq!(trailers.iter().collect::<Vec<_>>(), [(&b"X"[..], &b"1"[..])]);
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for (input, reason) in [
            (&b"3\nabc\r\n0\r\n\r\n"[..], "bare-lf-in-chunk"),
            (b"3\rabc\r\n0\r\n\r\n", "bare-cr-in-chunk"),
            (b"0x3\r\nabc\r\n0\r\n\r\n", "malformed-chunk-size"),
            (b"+3\r\nabc\r\n0\r\n\r\n", "malformed-chunk-size"),
            (b" 3\r\nabc\r\n0\r\n\r\n", "malformed-chunk-size"),
            (b"3 \r\nabc\r\n0\r\n\r\n", "malformed-chunk-size"),
            (b"3 ;a\r\nabc\r\n0\r\n\r\n", "malformed-chunk-size"),
            (b"\r\nabc\r\n0\r\n\r\n", "malformed-chunk-size"),
            (b"3;\x01\r\nabc\r\n0\r\n\r\n", "malformed-chunk-size"),
            (b"FFFFFFFFFFFFFFFF\r\n", "chunk-size-overflow"),
            (b"3\r\nabcd\r\n0\r\n\r\n", "chunk-data-without-end"),
            (b"0\r\nX 1\r\n\r\n", "malformed-trailer"),
            (b"0\r\nX : 1\r\n\r\n", "malformed-trailer"),
            (b"0\r\n a: 1\r\n\r\n", "malformed-trailer"),
            (b"0\r\nX: \x0c1\r\n\r\n", "malformed-trailer"),
            (b"3\r\nabc\r\n0\r\n", "more"),
        ] {
            assert_eq!(decode(input).unwrap_err(), reason, "{:?}", String::from_utf8_lossy(input));
        }
        let long = [&b"3;"[..], &[b'a'; 300]].concat();
        assert_eq!(decode(&long).unwrap_err(), "chunk-size-line-too-long");
    }
}
