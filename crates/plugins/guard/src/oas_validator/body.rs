//! Bodies of operations, in both directions.

use super::{
    Wrong,
    members::{self, Member, TooMuch},
    schemas::Slot,
    shapes::ShapeId,
    spec::{Checked, Invalid, Part},
    target::Target,
};
use crate::content::{Tree, form, multipart};
use bytes::Bytes;
use model::json::{self, Limits};
use serde_json::Value;
use wire::Fields;

/// What an operation takes or gives as its body.
pub(super) struct Body {
    is_required: bool,
    /// By media range, those that are more exact first.
    media: Vec<Media>,
}

/// What one kind of body has to be.
struct Media {
    range: String,
    slot: Option<Slot>,
    shape: Option<ShapeId>,
    target: Target,
}

/// How a body is taken apart, by what `Content-Type` says.
#[derive(PartialEq, Eq)]
enum Kind {
    Json,
    Form,
    Multipart(Vec<u8>),
    Text,
    /// Nobody looks into it.
    Opaque,
}

/// What is done about members that are not declared, and those that the message should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// They are as good as the schema says.
    Pass,
    Report,
    Refuse,
    Strip,
}

/// How a body is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// `request` or `response`.
    pub(super) what: &'static str,
    /// Whether it has to mean the same to all readers.
    pub(super) is_strict: bool,
    pub(super) unknown: Unknown,
}

/// What came out of it.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) wrong: Option<Wrong>,
    /// JSON pointers of members that have no place.
    pub(super) unknown: Vec<String>,
    /// The body without them.
    pub(super) stripped: Option<Bytes>,
}

impl Judged {
    fn wrong(wrong: Wrong) -> Self {
        Self { wrong: Some(wrong), ..Self::default() }
    }
}

impl Body {
    pub(super) fn compile(part: &mut Part<'_>, source: &Value, at: &str) -> Result<Self, Invalid> {
        let mut media = Vec::new();
        for (range, entry) in source.get("content").and_then(Value::as_object).into_iter().flatten() {
            let at = format!("{at}/content/{}/schema", super::convert::escape(range));
            let schema = entry.get("schema");
            let slot = schema.map(|schema| part.schemas.add(schema, &at)).transpose()?;
            let shape = match (schema, &mut part.shapes) {
                (Some(schema), Some(shapes)) => Some(shapes.add(schema, &at)?),
                _ => None,
            };
            let target = schema.map(|schema| Target::of(part.document, schema)).unwrap_or_default();
            media.push(Media { range: essence(range), slot, shape, target });
        }
        media.sort_by_key(|media| (media.range == "*/*", media.range.ends_with("/*")));
        Ok(Self { is_required: source.get("required") == Some(&Value::Bool(true)), media })
    }

    /// Whether it says of any kind of body what it is.
    pub(super) fn has_media(&self) -> bool {
        !self.media.is_empty()
    }

    /// Whether there is one in any case.
    pub(super) fn is_required(&self) -> bool {
        self.is_required
    }

    /// Whether a body with these fields has to be there to be judged; `None` where it is of no kind that there may be.
    pub(super) fn is_read(&self, fields: &Fields) -> Option<bool> {
        let name = essence(fields.get_str("content-type").unwrap_or_default());
        let media = self.find(&name)?;
        Some(media.slot.is_some() && Kind::of(&name, fields) != Kind::Opaque)
    }

    fn find(&self, name: &str) -> Option<&Media> {
        self.media.iter().find(|media| fits(&media.range, name))
    }

    /// Judges a body that is not empty.
    pub(super) fn judge(&self, checked: &Checked, fields: &Fields, bytes: &[u8], look: Look) -> Judged {
        self.try_judge(checked, fields, bytes, look).unwrap_or_else(Judged::wrong)
    }

    fn try_judge(&self, checked: &Checked, fields: &Fields, bytes: &[u8], look: Look) -> Result<Judged, Wrong> {
        let Look { what, is_strict, .. } = look;
        let name = essence(fields.get_str("content-type").unwrap_or_default());
        let takes = if what == "request" { "take" } else { "answer with" };
        let media =
            self.find(&name).ok_or_else(|| Wrong(format!("the operation does not {takes} this content type")))?;
        let Some(slot) = media.slot else { return Ok(Judged::default()) };
        let kind = Kind::of(&name, fields);
        if let (Kind::Json, true, Some(tree)) = (&kind, is_strict, Tree::parse(bytes)) {
            return self.judge_tree(checked, media, slot, &tree, bytes, look);
        }
        let value = match &kind {
            Kind::Opaque => return Ok(Judged::default()),
            Kind::Json if is_strict => return Err(not_strict(bytes, what)),
            Kind::Json => serde_json::from_slice(bytes).map_err(|error| not_json(what, &error))?,
            Kind::Form if is_strict && form::looks_like_json(bytes) => {
                return Err(Wrong(format!("{what} body could be read as JSON")));
            }
            Kind::Form => form::parse(bytes, !is_strict).ok_or_else(|| Wrong(format!("{what} body is no UTF-8")))?,
            Kind::Multipart(boundary) => multipart::parse(bytes, boundary)
                .map_err(|error| Wrong(format!("{what} body is ambiguous: {error}")))?,
            Kind::Text => Value::String(String::from_utf8_lossy(bytes).into_owned()),
        };
        if matches!(kind, Kind::Form | Kind::Multipart(_)) {
            return self.judge_form(checked, media, slot, &kind, value, bytes, look);
        }
        // What is not JSON has no members, and JSON is looked for members only where it is read strictly.
        let fits = checked.schemas.fits(slot, &Tree::of(&value));
        if fits { Ok(Judged::default()) } else { Err(does_not_fit(what)) }
    }

    fn judge_tree(
        &self,
        checked: &Checked,
        media: &Media,
        slot: Slot,
        tree: &Tree<'_>,
        bytes: &[u8],
        look: Look,
    ) -> Result<Judged, Wrong> {
        let Look { what, unknown, .. } = look;
        let found = match (media.shape, &checked.shapes) {
            (Some(shape), Some(shapes)) if unknown != Unknown::Pass => {
                members::find(shapes, shape, bytes, tree).map_err(|TooMuch| too_much(what))?
            }
            _ => Vec::new(),
        };
        let mut judged = Judged::default();
        let fits = if unknown == Unknown::Strip && !found.is_empty() {
            let stripped = members::without(bytes, &found);
            let fits = checked.schemas.fits(slot, &Tree::parse(&stripped).ok_or_else(|| not_strict(&stripped, what))?);
            judged.stripped = Some(stripped.into());
            fits
        } else {
            checked.schemas.fits(slot, tree)
        };
        if !fits {
            judged.wrong = Some(does_not_fit(what));
        }
        Ok(judged.with(found, look))
    }

    /// A form: whether its texts fit as what they could stand for.
    #[allow(clippy::too_many_arguments)] // all of them are what was found out about one body
    fn judge_form(
        &self,
        checked: &Checked,
        media: &Media,
        slot: Slot,
        kind: &Kind,
        form: Value,
        bytes: &[u8],
        look: Look,
    ) -> Result<Judged, Wrong> {
        let what = look.what;
        let found = match (media.shape, &checked.shapes) {
            (Some(shape), Some(shapes)) if look.unknown != Unknown::Pass => {
                // As the JSON that it stands for.
                let value = media.target.form(form.clone(), false);
                let text = value.to_string();
                members::find(shapes, shape, text.as_bytes(), &Tree::of(&value)).map_err(|TooMuch| too_much(what))?
            }
            _ => Vec::new(),
        };
        let mut judged = Judged::default();
        let mut form = form;
        if look.unknown == Unknown::Strip && !found.is_empty() {
            let names: Option<Vec<String>> = found.iter().map(|member| field(&member.path)).collect();
            let (Kind::Form, Some(names)) = (kind, names) else {
                // What is inside a part, or a part itself, is not cut out.
                return Ok(Judged::default().with(found, Look { unknown: Unknown::Refuse, ..look }));
            };
            if let Value::Object(fields) = &mut form {
                fields.retain(|name, _| !names.contains(name));
            }
            judged.stripped = Some(form::without(bytes, &names).into());
        }
        let fits = |prefers_text| {
            let value = media.target.form(form.clone(), prefers_text);
            checked.schemas.fits(slot, &Tree::of(&value))
        };
        if !fits(false) && !fits(true) {
            judged.wrong = Some(does_not_fit(what));
        }
        Ok(judged.with(found, look))
    }
}

impl Judged {
    fn with(mut self, found: Vec<Member>, look: Look) -> Self {
        self.unknown = found.into_iter().map(|member| member.path).collect();
        if look.unknown == Unknown::Refuse
            && let Some(first) = self.unknown.first()
        {
            let first: String = first.chars().take(200).collect();
            self.wrong = Some(Wrong(format!("{} body has a field that it may not have: {first}", look.what)));
        }
        self
    }
}

/// Why a text cannot be read strictly.
fn not_strict(bytes: &[u8], what: &str) -> Wrong {
    match json::parse(bytes, Limits { bytes: usize::MAX, depth: Limits::DEEPEST }) {
        Err(error) => not_json(what, &error),
        Ok(_) => Wrong(format!("{what} body is not JSON")),
    }
}

fn does_not_fit(what: &str) -> Wrong {
    Wrong(format!("{what} body does not fit its schema"))
}

fn not_json(what: &str, error: &dyn std::fmt::Display) -> Wrong {
    Wrong(format!("{what} body is not JSON: {error}"))
}

fn too_much(what: &str) -> Wrong {
    Wrong(format!("{what} body takes too long to be told apart by its schema"))
}

/// The name of a field that is not within another.
fn field(pointer: &str) -> Option<String> {
    let name = pointer.strip_prefix('/').filter(|name| !name.contains('/'))?;
    Some(name.replace("~1", "/").replace("~0", "~"))
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
            // It has no end.
            "text/event-stream" => Self::Opaque,
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
