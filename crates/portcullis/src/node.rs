//! Which node this is, over restarts.

use anyhow::Context;
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::Path,
};

/// Longest id that is taken from the file.
const ID_MAX: usize = 256;

/// The id in `apisix.uid` of the data folder, where APISIX's is in its `conf`; made when there is none.
pub(crate) fn id(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("apisix.uid");
    let name = path.display().to_string();
    // Made before the file, and gone with it when it cannot be written: an empty file would keep the next start from succeeding.
    let id = uuid::Uuid::new_v4().to_string();
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => match file.write_all(id.as_bytes()) {
            Ok(()) => Ok(id),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error).with_context(|| format!("cannot write {name}"))
            }
        },
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
            let id = text.trim_end();
            let is_id = !id.is_empty() && id.len() <= ID_MAX && id.bytes().all(|b| b.is_ascii_graphic());
            anyhow::ensure!(is_id, "{name} has no id in it; remove it, and another is made");
            Ok(id.to_owned())
        }
        Err(error) => Err(error).with_context(|| format!("cannot make {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let made = id(folder.path()).unwrap();
        assert_eq!((made.len(), id(folder.path()).unwrap()), (36, made));
        fs::write(folder.path().join("apisix.uid"), "my-node\n").unwrap();
        assert_eq!(id(folder.path()).unwrap(), "my-node");
        fs::write(folder.path().join("apisix.uid"), "").unwrap();
        assert!(id(folder.path()).unwrap_err().to_string().contains("has no id in it"));
    }
}
