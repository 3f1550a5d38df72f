//! Values that APISIX encrypted (`apisix/core/... data_encryption`, AES-CBC with the key as IV) can still be opened.

use aws_lc_rs::cipher::{AES_128, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::SealError;

const IV_LEN: usize = 16;

/// The keys of `apisix.data_encryption.keyring`, all of which are tried in order.
pub struct ApisixKeyring {
    keys: Vec<Zeroizing<Vec<u8>>>,
}

// === impl ApisixKeyring ===

impl ApisixKeyring {
    /// Takes keys of 16 or 32 bytes.
    pub fn new<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> Result<Self, SealError> {
        let keys = keys
            .into_iter()
            .map(|key| match key.as_ref() {
                bytes if matches!(bytes.len(), 16 | 32) => Ok(Zeroizing::new(bytes.to_vec())),
                bytes => Err(SealError::KeyLength(bytes.len())),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }
}

/// Opens a value that APISIX encrypted. It carries no mark and no authentication, so a text that merely looks like
/// one can, rarely, open to nonsense; `None` says that it is certainly none.
pub fn open_apisix(keyring: &ApisixKeyring, text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).ok()?;
    keyring.keys.iter().find_map(|key| decrypt(key, &bytes))
}

fn decrypt(key: &[u8], bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(IV_LEN) {
        return None;
    }
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let iv: [u8; IV_LEN] = *key.first_chunk()?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
    let mut buffer = Zeroizing::new(bytes.to_vec());
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let plain = cipher.decrypt(&mut buffer, context).ok()?;
    std::str::from_utf8(plain).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with: printf secret | openssl enc -aes-{128,256}-cbc -K <hex> -iv <hex of the first 16 bytes> -base64
    #[test]
    fn values_of_apisix_open_with_any_key_of_the_ring() {
        let keyring = ApisixKeyring::new(["0123456789abcdef0123456789abcdef", "edd1c9f0985e76a2"]).unwrap();
        for (text, plain) in [
            (AES_128_TEXT, Some("secret")),
            (AES_256_TEXT, Some("secret")),
            ("secret", None),
            ("", None),
            ("AAAA", None),
        ] {
            assert_eq!(open_apisix(&keyring, text).as_deref(), plain, "{text}");
        }
    }

    const AES_128_TEXT: &str = "3KxZfy/YIZ/ejJTEIbS09g==";
    const AES_256_TEXT: &str = "J/HncGZmWuXdJksQnF7dkg==";
}
