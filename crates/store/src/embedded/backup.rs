//! The last good copy: all documents as JSON under a line with their digest.

use std::path::Path;
use std::{fs, io};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::disk;
use crate::{DocKey, Documents, Entry, Revision};

#[derive(Serialize, Deserialize)]
struct Copy<'a> {
    revision: Revision,
    #[serde(borrow)]
    documents: Vec<Document<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Document<'a> {
    key: std::borrow::Cow<'a, DocKey>,
    created: Revision,
    modified: Revision,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Puts a copy in place of the one before.
pub(super) fn write<'a>(path: &Path, documents: &'a Documents) -> io::Result<()> {
    use std::borrow::Cow::Borrowed;
    let document = |entry: &'a Entry| {
        let Entry { key, text, created, modified, .. } = entry;
        let value = serde_json::from_str(text)?;
        Ok(Document { key: Borrowed(key), created: *created, modified: *modified, value })
    };
    let copy = Copy {
        revision: documents.revision,
        documents: documents.entries.iter().map(document).collect::<Result<_, serde_json::Error>>()?,
    };
    let json = serde_json::to_vec(&copy)?;
    let mut bytes = seal_line(&json).into_bytes();
    bytes.extend(json);
    disk::replace(path, &bytes)
}

/// Reads the copy; the error says why there is none to use.
pub(super) fn read(path: &Path) -> Result<Documents, String> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no last good copy".to_owned(),
        _ => format!("{}: {error}", path.display()),
    })?;
    let damaged = || format!("{} is damaged too", path.display());
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let (line, json) = bytes.split_at_checked(end + 1).ok_or_else(damaged)?;
    if line != seal_line(json).as_bytes() {
        return Err(damaged());
    }
    let copy: Copy<'_> = serde_json::from_slice(json).map_err(|_| damaged())?;
    let entry = |document: Document<'_>| Entry {
        key: document.key.into_owned(),
        text: document.value.get().into(),
        created: document.created,
        modified: document.modified,
        order: None,
        problem: None,
    };
    let entries = copy.documents.into_iter().map(entry).collect();
    Ok(Documents { entries, plugins: None, revision: copy.revision })
}

fn seal_line(json: &[u8]) -> String {
    let mut line = "portcullis-copy-1 ".to_owned();
    for byte in digest(&SHA256, json).as_ref() {
        line.push_str(&format!("{byte:02x}"));
    }
    line.push('\n');
    line
}
