//! Arguments of queries and forms.

use super::mask::Mask;
use std::fmt::Write as _;
use wire::path::decode_query;

/// The text with its masked arguments; `None` where none is to be masked. All others stay as they came.
pub(super) fn masked(text: &[u8], masks: &[(String, Mask)]) -> Option<Vec<u8>> {
    let mut has_changed = false;
    let mut replaced: Vec<&str> = Vec::new();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for pair in text.split(|&b| b == b'&') {
        let at = pair.iter().position(|&b| b == b'=');
        let raw_name = pair.get(..at.unwrap_or(pair.len())).unwrap_or_default();
        let name = decode_query(raw_name);
        let own: Vec<&(String, Mask)> = masks.iter().filter(|(wanted, _)| wanted.as_bytes() == &*name).collect();
        if own.is_empty() {
            kept.push(pair.to_vec());
            continue;
        }
        has_changed = true;
        let mut value = Some(decode_query(at.and_then(|at| pair.get(at + 1..)).unwrap_or_default()).into_owned());
        for (wanted, mask) in own {
            // What replaces all values of a name comes once.
            if matches!(mask, Mask::Replace(_)) {
                if replaced.contains(&wanted.as_str()) {
                    value = None;
                } else {
                    replaced.push(wanted);
                }
            }
            value = value.and_then(|value| mask.apply(&value));
        }
        if let Some(value) = value {
            kept.push([raw_name, b"=", encoded(&value).as_bytes()].concat());
        }
    }
    has_changed.then(|| kept.join(&b"&"[..]))
}

fn encoded(value: &[u8]) -> String {
    value.iter().fold(String::new(), |mut text, &b| {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'*') {
            text.push(char::from(b));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{b:02X}");
        }
        text
    })
}
