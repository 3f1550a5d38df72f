//! The key of this installation and what is done with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

use super::SealError;
use crate::embedded::create_once;

const KEY_FILE: &str = "seal.key";
const KEY_LEN: usize = 32;
const FORMAT: &str = "pcv1";

/// Seals and opens secrets with AES-256-GCM.
///
/// A sealed value reads `pcv1:<key id>:<base64 of nonce and ciphertext>`. It is bound to the place it was sealed for.
pub struct Sealer {
    /// New values are sealed with the first; the others still open old ones.
    keys: Vec<Key>,
}

struct Key {
    id: String,
    cipher: LessSafeKey,
}

// === impl Sealer ===

impl Sealer {
    /// Where the keys of a data directory are.
    pub(super) fn key_file(data_dir: &Path) -> PathBuf {
        data_dir.join(KEY_FILE)
    }

    /// Reads the key file of a data directory, which is made, with a random key, when there is none. The file has one
    /// key per line in base64; to change the key, put a new one on the first line.
    pub fn open_or_create(data_dir: &Path) -> Result<Self, SealError> {
        let path = Self::key_file(data_dir);
        let failed = |source| SealError::KeyFile { path: path.clone(), source };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(data_dir).map_err(failed)?;
                match create_once(&path, new_key_line()?.as_bytes()) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(failed(error));
                    }
                    // Read back even then: another process may have been first.
                    _ => fs::read_to_string(&path),
                }
            }
            read => read,
        };
        let text = Zeroizing::new(text.map_err(failed)?);
        warn_if_exposed(&path);
        let keys = text.lines().map(Key::parse).collect::<Option<Vec<_>>>();
        match keys {
            Some(keys) if !keys.is_empty() => Ok(Self { keys }),
            _ => Err(SealError::MalformedKeyFile(path)),
        }
    }

    /// What every sealed text begins with. It has nothing that JSON writes with an escape.
    pub(super) const MARK: &str = "pcv1:";

    /// Whether a text claims to be sealed. Decide by it what to open, never what may stay as it is.
    pub fn is_sealed(text: &str) -> bool {
        text.starts_with(Self::MARK)
    }

    /// Seals a secret for the place `aad` names.
    pub fn seal(&self, aad: &[u8], plain: &str) -> Result<String, SealError> {
        let key = self.keys.first().ok_or(SealError::Cipher)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealError::Cipher)?;
        let mut ciphertext = plain.as_bytes().to_vec();
        key.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut ciphertext)
            .map_err(|_| SealError::Cipher)?;
        let mut bytes = nonce.to_vec();
        bytes.extend(ciphertext);
        Ok(format!("{FORMAT}:{}:{}", key.id, STANDARD.encode(bytes)))
    }

    /// Opens a value sealed for the place `aad` names.
    pub fn open(&self, aad: &[u8], sealed: &str) -> Result<String, SealError> {
        let mut parts = sealed.splitn(3, ':');
        let (Some(FORMAT), Some(id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Malformed);
        };
        let mut bytes = STANDARD.decode(text).map_err(|_| SealError::Malformed)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == id)
            .ok_or_else(|| SealError::UnknownKey(id.chars().take(16).collect()))?;
        let (nonce, ciphertext) = bytes.split_first_chunk_mut::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        let plain = key
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), ciphertext)
            .map_err(|_| SealError::Refused)?;
        let text = std::str::from_utf8(plain).map(str::to_owned).map_err(|_| SealError::Refused);
        bytes.zeroize();
        text
    }
}

// === impl Key ===

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(line.trim()).ok()?);
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?);
        let id = digest(&SHA256, &bytes).as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Some(Self { id, cipher })
    }
}

fn new_key_line() -> Result<Zeroizing<String>, SealError> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    rand::fill(key.as_mut_slice()).map_err(|_| SealError::Cipher)?;
    let mut line = Zeroizing::new(STANDARD.encode(key.as_slice()));
    line.push('\n');
    Ok(line)
}

/// Only a warning: volumes of containers often come with group permissions their user did not choose.
fn warn_if_exposed(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path) {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "key file can be read by others than its owner");
        }
    }
}
