//! Name and password out of an `Authorization` field.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use model::secret::Secret;

/// With or without padding, as clients send it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What a client says that it is.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) username: Vec<u8>,
    pub(super) password: Secret<Vec<u8>>,
}

/// How the field is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// By RFC 7617: the scheme, space, and base64 of `name ":" password`.
    Rfc7617,
    /// As APISIX reads it: the scheme may stand anywhere, the password ends at the next colon, and white space does not count.
    Apisix,
}

impl Reading {
    /// `None` when the field is of another scheme or malformed.
    pub(super) fn credentials(self, field: &[u8]) -> Option<Credentials> {
        let encoded = match self {
            Self::Rfc7617 => after_scheme(field).map(<[u8]>::trim_ascii_start),
            // The white space of Perl's regular expressions, and nothing of base64 behind its padding.
            Self::Apisix => (0..field.len())
                .find_map(|at| field.get(at..).and_then(after_scheme))
                .filter(|encoded| !encoded.is_empty())
                .map(|encoded| encoded.split(|&b| b == b'=').next().unwrap_or_default()),
        }?;
        let decoded = Secret::new(BASE64.decode(encoded).ok()?);
        let at = decoded.expose().iter().position(|&b| b == b':')?;
        let (username, password) = decoded.expose().split_at_checked(at)?;
        let password = password.get(1..)?;
        Some(match self {
            Self::Rfc7617 => Credentials { username: username.to_vec(), password: Secret::new(password.to_vec()) },
            Self::Apisix => {
                // A single byte is not looked at again.
                let second = if password.len() < 2 { password } else { password.split(|&b| b == b':').next()? };
                Credentials { username: without_space(username), password: Secret::new(without_space(second)) }
            }
        })
    }
}

/// What follows the scheme and one white space.
fn after_scheme(field: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"basic";
    let (scheme, rest) = field.split_at_checked(SCHEME.len())?;
    let (space, rest) = rest.split_first()?;
    (scheme.eq_ignore_ascii_case(SCHEME) && is_space(*space)).then_some(rest)
}

fn without_space(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|&b| !is_space(b)).collect()
}

/// `\s` of PCRE.
fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}
