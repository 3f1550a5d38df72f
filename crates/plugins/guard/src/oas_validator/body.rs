//! Bodies of operations.

use super::{
    Wrong,
    schemas::{Schemas, Slot},
    spec::{Builder, Invalid},
    target::Target,
};
use crate::content::{form, multipart};
use model::json::{self, Limits};
use serde_json::Value;
use wire::Fields;

/// What an operation takes as its body.
pub(super) struct Body {
    is_required: bool,
    /// By media range, those that are more exact first.
    media: Vec<(String, Option<Slot>, Target)>,
}

/// How a body that is no JSON is taken apart, by what `Content-Type` says.
enum Kind {
    Json,
    Form,
    Multipart(Vec<u8>),
    Text,
    /// Nobody looks into it.
    Opaque,
}

impl Body {
    pub(super) fn compile(builder: &Builder<'_>, source: &Value, at: &str) -> Result<Self, Invalid> {
        let mut media = Vec::new();
        for (range, entry) in source.get("content").and_then(Value::as_object).into_iter().flatten() {
            let at = format!("{at}/content/{}/schema", super::convert::escape(range));
            let schema = entry.get("schema");
            let slot = schema.map(|schema| builder.schemas.borrow_mut().add(schema, &at)).transpose()?;
            let target = schema.map(|schema| Target::of(builder.document, schema)).unwrap_or_default();
            media.push((essence(range), slot, target));
        }
        media.sort_by_key(|(range, ..)| (range == "*/*", range.ends_with("/*")));
        Ok(Self { is_required: source.get("required") == Some(&Value::Bool(true)), media })
    }

    /// Checks the body of a request.
    pub(super) fn check(&self, schemas: &Schemas, fields: &Fields, bytes: &[u8], is_strict: bool) -> Result<(), Wrong> {
        if bytes.is_empty() {
            return if self.is_required { Err(Wrong::new("request body is missing")) } else { Ok(()) };
        }
        let name = essence(fields.get_str("content-type").unwrap_or_default());
        let found = self.media.iter().find(|(range, ..)| fits(range, &name));
        let (_, slot, target) = found.ok_or_else(|| Wrong::new("the operation does not take this content type"))?;
        let Some(slot) = *slot else { return Ok(()) };
        let value = match Kind::of(&name, fields) {
            Kind::Opaque => return Ok(()),
            Kind::Json if is_strict => json::parse(bytes, Limits { bytes: usize::MAX, depth: Limits::DEEPEST })
                .map_err(|error| Wrong(format!("request body is not JSON: {error}")))?,
            Kind::Json => {
                serde_json::from_slice(bytes).map_err(|error| Wrong(format!("request body is not JSON: {error}")))?
            }
            Kind::Form if is_strict && form::looks_like_json(bytes) => {
                return Err(Wrong::new("request body could be read as JSON"));
            }
            Kind::Form => form::parse(bytes, !is_strict).ok_or_else(|| Wrong::new("request body is no UTF-8"))?,
            Kind::Multipart(boundary) => multipart::parse(bytes, &boundary)
                .map_err(|error| Wrong(format!("request body is ambiguous: {error}")))?,
            Kind::Text => Value::String(String::from_utf8_lossy(bytes).into_owned()),
        };
        let is_form = value.is_object() && !is_json(&name);
        let is_valid = match is_form {
            true => {
                [false, true].iter().any(|&prefers_text| schemas.fits(slot, target.form(value.clone(), prefers_text)))
            }
            false => schemas.fits(slot, value),
        };
        if is_valid { Ok(()) } else { Err(Wrong::new("request body does not fit its schema")) }
    }
}

impl Kind {
    fn of(name: &str, fields: &Fields) -> Self {
        use crate::content::Media;
        match name {
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" => match Media::of(fields) {
                Ok(Media::Multipart(boundary)) => Self::Multipart(boundary),
                // A boundary that nobody has.
                _ => Self::Multipart(Vec::new()),
            },
            name if is_json(name) => Self::Json,
            name if name.starts_with("text/") => Self::Text,
            _ => Self::Opaque,
        }
    }
}

/// The media type without its parameters.
fn essence(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(super) fn is_json(name: &str) -> bool {
    let name = essence(name);
    name == "application/json" || name.ends_with("+json")
}

fn fits(range: &str, name: &str) -> bool {
    match range.strip_suffix('*') {
        Some("*/") => true,
        Some(start) => start.ends_with('/') && name.starts_with(start),
        None => range == name,
    }
}
