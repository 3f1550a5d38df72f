//! Content codings that a body is decoded from.

use brotli::Decompressor;
use flate2::read::MultiGzDecoder;
use std::io::{self, Read};
use wire::Fields;

/// How much brotli reads at once.
const BROTLI_BUFFER: usize = 4096;

/// How a body is coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all.
    None,
    /// gzip
    Gzip,
    /// Brotli
    Brotli,
    /// Something else.
    Unknown(String),
}

/// Why a body was not decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    /// The coding is none that is known.
    #[error("unsupported compression encoding type: {0}")]
    Unknown(String),
    /// It is not what it says it is.
    #[error("{0}")]
    Malformed(#[from] io::Error),
    /// What is in it is longer than may be.
    #[error("the decoded body is longer than {0} bytes")]
    TooLong(u64),
}

impl Coding {
    /// What `Content-Encoding` says.
    pub(super) fn of(fields: &Fields) -> Self {
        let mut names = fields
            .get_all("content-encoding")
            .flat_map(|line| line.split(|&b| b == b','))
            .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
            .filter(|name| !name.is_empty() && name != "identity");
        match (names.next(), names.next()) {
            (None, _) => Self::None,
            (Some(name), None) if name == "gzip" || name == "x-gzip" => Self::Gzip,
            (Some(name), None) if name == "br" => Self::Brotli,
            (Some(name), None) => Self::Unknown(name),
            (Some(first), Some(second)) => Self::Unknown(format!("{first}, {second}")),
        }
    }

    /// The body without its coding, of at most `max` bytes.
    pub(super) fn decode(&self, body: &[u8], max: u64) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::None => Ok(body.to_vec()),
            // The answer to HEAD, and others without a body, may say how it would be coded.
            _ if body.is_empty() => Ok(Vec::new()),
            Self::Gzip => read(MultiGzDecoder::new(body), max),
            Self::Brotli => read(Decompressor::new(body, BROTLI_BUFFER), max),
            Self::Unknown(name) => Err(DecodeError::Unknown(name.clone())),
        }
    }
}

fn read(from: impl Read, max: u64) -> Result<Vec<u8>, DecodeError> {
    let mut decoded = Vec::new();
    from.take(max.saturating_add(1)).read_to_end(&mut decoded)?;
    if decoded.len() as u64 > max { Err(DecodeError::TooLong(max)) } else { Ok(decoded) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    /// A text in gzip.
    pub(crate) fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn brotli(text: &str) -> Vec<u8> {
        let mut coded = Vec::new();
        brotli::CompressorWriter::new(&mut coded, BROTLI_BUFFER, 4, 19).write_all(text.as_bytes()).unwrap();
        coded
    }

    #[test]
    fn the_coding_is_what_the_header_says() {
        for (value, coding) in [
            ("gzip", Coding::Gzip),
            ("X-GZIP", Coding::Gzip),
            (" br ", Coding::Brotli),
            ("identity", Coding::None),
            ("", Coding::None),
            ("deflate", Coding::Unknown("deflate".to_owned())),
            ("gzip, br", Coding::Unknown("gzip, br".to_owned())),
        ] {
            assert_eq!(Coding::of(&[("Content-Encoding", value)].into_iter().collect()), coding, "{value}");
        }
    }

    #[test]
    fn bodies_are_decoded_within_bounds() {
        let text = "hello ".repeat(100);
        for (coding, body) in [(Coding::Gzip, gzip(&text)), (Coding::Brotli, brotli(&text))] {
            assert_eq!(coding.decode(&body, 600).unwrap(), text.as_bytes(), "{coding:?}");
            assert!(matches!(coding.decode(&body, 599), Err(DecodeError::TooLong(599))), "{coding:?}");
            assert!(
                matches!(coding.decode(&body[..body.len() - 2], 600), Err(DecodeError::Malformed(_))),
                "{coding:?}"
            );
            assert_eq!(coding.decode(b"", 600).unwrap(), b"", "{coding:?}");
        }
        let error = Coding::Unknown("deflate".to_owned()).decode(b"x", 9).unwrap_err();
        assert_eq!(error.to_string(), "unsupported compression encoding type: deflate");
    }
}
