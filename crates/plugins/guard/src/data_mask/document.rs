//! Values in a JSON body.

use super::mask::Mask;
use plugin::BuildError;
use serde_json::Value;
use serde_json_path::JsonPath;

/// Where values are.
#[derive(Debug)]
pub(super) struct Place(JsonPath);

impl Place {
    pub(super) fn compile(path: &str) -> Result<Self, BuildError> {
        // APISIX's library takes a path without its `$`.
        let start = match path.as_bytes().first() {
            Some(b'$') => "",
            Some(b'[' | b'.') => "$",
            _ => "$.",
        };
        let compiled = JsonPath::parse(&format!("{start}{path}"));
        compiled.map(Self).map_err(|error| BuildError(format!("invalid JSONPath \"{path}\": {error}")))
    }
}

/// The text with its masked values; `None` where none is to be masked.
///
/// # Errors
/// It is too long, or no JSON.
pub(super) fn masked(text: &[u8], masks: &[(Place, Mask)], max: usize) -> Result<Option<Vec<u8>>, &'static str> {
    if text.len() > max {
        return Err("it is longer than max_body_size");
    }
    let mut document: Value = serde_json::from_slice(text).map_err(|_| "it is not JSON")?;
    let mut has_changed = false;
    for (place, mask) in masks {
        let mut pointers: Vec<String> =
            place.0.query_located(&document).locations().map(|location| location.to_json_pointer()).collect();
        // From the end, so that taking an item out of an array does not move those that are still to come.
        pointers.reverse();
        for pointer in pointers {
            has_changed |= apply(&mut document, &pointer, mask);
        }
    }
    Ok(has_changed.then(|| document.to_string().into_bytes()))
}

fn apply(document: &mut Value, pointer: &str, mask: &Mask) -> bool {
    let Some(value) = document.pointer_mut(pointer) else { return false };
    let masked = match (mask, &*value) {
        (Mask::Regex(..), Value::String(text)) => mask.apply(text.as_bytes()),
        // A pattern is for texts.
        (Mask::Regex(..), _) => return false,
        _ => mask.apply(b""),
    };
    match masked {
        Some(text) => *value = Value::String(String::from_utf8_lossy(&text).into_owned()),
        None => remove(document, pointer),
    }
    true
}

fn remove(document: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        *document = Value::Null;
        return;
    };
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.shift_remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            if let Some(index) = last.parse::<usize>().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}
