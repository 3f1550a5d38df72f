use wire::{BodyLength, Fields, Names, Version};

/// How a message's end is found (RFC 9112, section 6.3). One function per direction decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// So many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Everything until the connection closes; responses only.
    UntilClose,
}

impl Framing {
    /// What is known of the length before the body was read.
    pub fn length(self) -> BodyLength {
        match self {
            Self::None | Self::Length(0) => BodyLength::None,
            Self::Length(n) => BodyLength::Exact(n),
            Self::Chunked | Self::UntilClose => BodyLength::Unknown,
        }
    }

    /// The framing of a request: its status and reason when it is ambiguous.
    ///
    /// # Errors
    /// For lengths that two parsers could read differently.
    pub fn of_request(fields: &Fields, version: Version) -> Result<Self, (u16, &'static str)> {
        match lengths(fields, version)? {
            (true, _) => Ok(Self::Chunked),
            (false, Some(n)) => Ok(Self::Length(n)),
            (false, None) => Ok(Self::None),
        }
    }

    /// The framing of a final response to a request with this method.
    ///
    /// # Errors
    /// For lengths that two parsers could read differently.
    pub fn of_response(
        fields: &Fields,
        version: Version,
        status: u16,
        is_head: bool,
    ) -> Result<Self, (u16, &'static str)> {
        let lengths = lengths(fields, version)?;
        if is_head || status == 204 || status == 304 || status < 200 {
            return Ok(Self::None);
        }
        Ok(match lengths {
            (true, _) => Self::Chunked,
            (false, Some(n)) => Self::Length(n),
            (false, None) => Self::UntilClose,
        })
    }
}

const LENGTHS: Names = Names::of(&["content-length", "transfer-encoding"]);

/// Whether the body is chunked, and its `Content-Length`.
fn lengths(fields: &Fields, version: Version) -> Result<(bool, Option<u64>), (u16, &'static str)> {
    let mut length = None;
    let mut codings = 0;
    if !fields.may_have(LENGTHS) {
        return Ok((false, None));
    }
    for line in fields.lines().filter(|line| line.may_be(LENGTHS)) {
        let value = line.value();
        if line.is("content-length") {
            if length.is_some() {
                return Err((400, "repeated-content-length"));
            }
            length = Some(content_length(value)?);
        } else if line.is("transfer-encoding") {
            codings += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err((501, "unsupported-transfer-coding"));
            }
        }
    }
    match codings {
        0 => return Ok((false, length)),
        1 => {}
        _ => return Err((400, "repeated-transfer-encoding")),
    }
    if version == Version::Http10 {
        return Err((400, "transfer-encoding-in-http10"));
    }
    if length.is_some() {
        return Err((400, "content-length-with-transfer-encoding"));
    }
    Ok((true, None))
}

/// `1*DIGIT` without sign, padding, list or overflow.
fn content_length(value: &[u8]) -> Result<u64, (u16, &'static str)> {
    let is_padded = value.len() > 1 && value.first() == Some(&b'0');
    if value.is_empty() || is_padded || !value.iter().all(u8::is_ascii_digit) {
        return Err((400, "malformed-content-length"));
    }
    value
        .iter()
        .try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .filter(|&n| n <= i64::MAX as u64)
        .ok_or((400, "content-length-overflow"))
}
