//! The Admin API's key that is made at first start.

use aws_lc_rs::rand;
use std::{
    fs, io,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum KeyError {
    #[error("cannot read or write the admin key file: {0}")]
    Io(#[from] io::Error),
    #[error("the admin key file may be read by others than its owner (mode {0:o}, needs 0600)")]
    Exposed(u32),
    #[error("the admin key file holds no key of at least 16 visible ASCII characters")]
    Malformed,
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// Makes a random key of 32 letters and digits.
///
/// # Errors
/// When the system gives no random bytes.
pub fn create() -> Result<String, KeyError> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut key = String::with_capacity(LEN);
    while key.len() < LEN {
        let mut bytes = [0; 64];
        rand::fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
        // 248 is the largest multiple of 62 in a byte: what is above would favour some characters.
        let even = bytes.iter().filter(|&&b| b < 248).filter_map(|&b| ALPHABET.get(usize::from(b) % ALPHABET.len()));
        key.extend(even.take(LEN - key.len()).map(|&b| char::from(b)));
    }
    Ok(key)
}

/// Reads the key from a file; makes the file (mode 0600) when there is none. Says whether it was made.
///
/// # Errors
/// When the file cannot be read or made, others may read it, or it holds no key. A bad file is never overwritten.
pub fn load_or_create(path: &Path) -> Result<(String, bool), KeyError> {
    match fs::metadata(path) {
        Ok(facts) => {
            let mode = facts.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Exposed(mode));
            }
            let key = fs::read_to_string(path)?.trim().to_owned();
            let is_key = key.len() >= 16 && key.bytes().all(|b| b.is_ascii_graphic());
            if is_key { Ok((key, false)) } else { Err(KeyError::Malformed) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = create()?;
            // Written beside and linked into place: a crash in between leaves no half file, and of two starts at
            // once one wins and the other reads the winner's key.
            let beside = path.with_extension(format!("new.{}", std::process::id()));
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(format!("{key}\n").as_bytes())?;
            file.sync_all()?;
            let linked = fs::hard_link(&beside, path);
            fs::remove_file(&beside)?;
            match linked {
                Ok(()) => Ok((key, true)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load_or_create(path),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

const LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random_letters_and_digits() {
        let (a, b) = (create().unwrap(), create().unwrap());
        assert!(a.len() == 32 && a.bytes().all(|c| c.is_ascii_alphanumeric()) && a != b);
    }

    #[test]
    fn the_file_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.key");
        let (key, is_new) = load_or_create(&path).unwrap();
        assert!(is_new && fs::metadata(&path).unwrap().permissions().mode() & 0o777 == 0o600);
        assert_eq!(load_or_create(&path).unwrap(), (key, false));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_create(&path), Err(KeyError::Exposed(0o644))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "").unwrap();
        assert!(matches!(load_or_create(&path), Err(KeyError::Malformed)));
    }
}
