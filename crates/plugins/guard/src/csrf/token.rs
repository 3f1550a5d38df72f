//! Tokens as APISIX writes and reads them.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use model::{schema::number, secret::Secret};
use serde::Deserialize;
use std::fmt::Write as _;

/// With padding, which may be missing in what is read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a token says. `expires` is the second in which it was issued.
#[derive(Debug, Deserialize)]
struct Token {
    random: f64,
    expires: f64,
    sign: Secret<String>,
}

/// Makes a token.
pub(super) fn issue(random: f64, now: u64, key: &Secret<String>) -> String {
    let random = number(random);
    let sign = sign(&random, &now.to_string(), key);
    BASE64.encode(format!("{{\"random\":{random},\"expires\":{now},\"sign\":\"{sign}\"}}"))
}

/// Whether a token is one of ours and was issued in the last `expires` seconds.
pub(super) fn is_valid(token: &[u8], now: u64, expires: i64, key: &Secret<String>) -> bool {
    let Ok(text) = BASE64.decode(token) else { return false };
    let Ok(token) = serde_json::from_slice::<Token>(&text) else { return false };
    let age = now as f64 - token.expires;
    if expires > 0 && age > expires as f64 {
        return false;
    }
    // Lua writes the numbers that it has read as it writes any number.
    token.sign.is_equal_to(sign(&number(token.random), &number(token.expires), key).as_bytes())
}

fn sign(random: &str, issued: &str, key: &Secret<String>) -> String {
    let signed = Secret::new(format!("{{expires:{issued},random:{random},key:{}}}", key.expose()));
    digest(&SHA256, signed.expose().as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
