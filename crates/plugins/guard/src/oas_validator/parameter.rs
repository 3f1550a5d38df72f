//! Parameters of operations, in the styles in which they are written.

use super::{
    Wrong,
    schemas::{Schemas, Slot},
    spec::{Invalid, Part},
    target::Target,
};
use crate::content::Tree;
use model::json::{self, Limits};
use plugin::Request;
use serde_json::Value;
use wire::{Fields, path::decode_query};

/// Where parameters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    Space,
    Pipe,
    Deep,
    /// As a JSON text.
    Json,
}

/// A parameter.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) place: Place,
    is_required: bool,
    may_be_empty: bool,
    style: Style,
    explodes: bool,
    target: Target,
    slot: Option<Slot>,
}

/// The names and values of a query, as they came.
pub(super) type Pairs<'r> = Vec<(String, &'r [u8])>;

/// Takes a query apart.
pub(super) fn pairs(query: Option<&[u8]>) -> Result<Pairs<'_>, Wrong> {
    let pairs = query.into_iter().flat_map(|query| query.split(|&b| b == b'&')).filter(|pair| !pair.is_empty());
    let pair = |pair: &'_ [u8]| -> Option<usize> { pair.iter().position(|&b| b == b'=') };
    pairs
        .map(|text| {
            let at = pair(text).unwrap_or(text.len());
            let name = decoded(text.get(..at).unwrap_or_default())?;
            Ok((name, text.get(at + 1..).unwrap_or_default()))
        })
        .collect()
}

fn decoded(text: &[u8]) -> Result<String, Wrong> {
    String::from_utf8(decode_query(text).into_owned()).map_err(|_| Wrong::new("query string is no UTF-8"))
}

impl Parameter {
    pub(super) fn compile(part: &mut Part<'_>, source: &Value, at: &str) -> Result<Self, Invalid> {
        let text = |name: &str| source.get(name).and_then(Value::as_str);
        let name = text("name").ok_or_else(|| Invalid::new(at, "a parameter without a name"))?.to_owned();
        let place = match text("in") {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            Some("cookie") => Place::Cookie,
            other => return Err(Invalid::new(at, format!("a parameter cannot be in {other:?}"))),
        };
        Self::named(part, name, place, source, at)
    }

    /// A header of an answer.
    pub(super) fn header(part: &mut Part<'_>, name: &str, source: &Value, at: &str) -> Result<Self, Invalid> {
        Self::named(part, name.to_owned(), Place::Header, source, at)
    }

    fn named(part: &mut Part<'_>, name: String, place: Place, source: &Value, at: &str) -> Result<Self, Invalid> {
        let text = |name: &str| source.get(name).and_then(Value::as_str);
        let flag = |name: &str| source.get(name).and_then(Value::as_bool);
        let (schema, is_json) = match source.get("content").and_then(Value::as_object) {
            Some(content) => {
                let media = content.iter().next().filter(|(name, _)| super::body::is_json(name));
                let (_, media) =
                    media.ok_or_else(|| Invalid::new(at, "the content of a parameter can only be JSON"))?;
                (media.get("schema"), true)
            }
            None => (source.get("schema"), false),
        };
        let style = match (text("style"), place) {
            _ if is_json => Style::Json,
            (None | Some("form"), Place::Query | Place::Cookie) => Style::Form,
            (None | Some("simple"), Place::Path | Place::Header) => Style::Simple,
            (Some("label"), Place::Path) => Style::Label,
            (Some("matrix"), Place::Path) => Style::Matrix,
            (Some("spaceDelimited"), Place::Query) => Style::Space,
            (Some("pipeDelimited"), Place::Query) => Style::Pipe,
            (Some("deepObject"), Place::Query) => Style::Deep,
            (Some(style), _) => {
                return Err(Invalid::new(at, format!("style {style:?} is not for a parameter in its place")));
            }
        };
        let slot = schema.map(|schema| part.schemas.add(schema, &format!("{at}/schema"))).transpose()?;
        Ok(Self {
            is_required: place == Place::Path || flag("required") == Some(true),
            may_be_empty: flag("allowEmptyValue") == Some(true),
            explodes: flag("explode").unwrap_or(style == Style::Form),
            target: schema.map(|schema| Target::of(part.document, schema)).unwrap_or_default(),
            name,
            place,
            style,
            slot,
        })
    }

    /// Checks the parameter of a request.
    pub(super) fn check(
        &self,
        schemas: &Schemas,
        request: &Request,
        path: &[(&str, &[u8])],
        query: &Pairs<'_>,
    ) -> Result<(), Wrong> {
        let wrong = |what: &str| Wrong(format!("{} parameter \"{}\" {what}", self.place.as_str(), self.name));
        self.judge(schemas, |prefers_text| self.value(request, path, query, prefers_text)).map_err(wrong)
    }

    /// Checks the header of an answer.
    pub(super) fn check_header(&self, schemas: &Schemas, fields: &Fields) -> Result<(), Wrong> {
        let wrong = |what: &str| Wrong(format!("response header \"{}\" {what}", self.name));
        self.judge(schemas, |prefers_text| self.in_header(fields, prefers_text)).map_err(wrong)
    }

    fn judge(
        &self,
        schemas: &Schemas,
        value: impl Fn(bool) -> Result<Option<Value>, &'static str>,
    ) -> Result<(), &'static str> {
        // A text can be a number or a text: whichever fits counts.
        for prefers_text in [false, true] {
            let value = value(prefers_text)?;
            let Some(value) = value else {
                return if self.is_required { Err("is missing") } else { Ok(()) };
            };
            let is_empty = value.as_str().is_some_and(str::is_empty);
            if (is_empty && self.may_be_empty) || self.slot.is_none_or(|slot| schemas.fits(slot, &Tree::of(&value))) {
                return Ok(());
            }
        }
        Err("does not fit its schema")
    }

    fn in_header(&self, fields: &Fields, prefers_text: bool) -> Result<Option<Value>, &'static str> {
        let lines: Vec<&[u8]> = fields.get_all(&self.name).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8(lines.join(&b", "[..])).map_err(|_| "is no UTF-8")?;
        self.in_text(text, prefers_text).map(Some)
    }

    fn value(
        &self,
        request: &Request,
        path: &[(&str, &[u8])],
        query: &Pairs<'_>,
        prefers_text: bool,
    ) -> Result<Option<Value>, &'static str> {
        const UTF8: &str = "is no UTF-8";
        let of_text = |text: String| self.in_text(text, prefers_text).map(Some);
        match self.place {
            Place::Path => {
                let Some((_, text)) = path.iter().find(|(name, _)| *name == self.name) else { return Ok(None) };
                of_text(String::from_utf8(text.to_vec()).map_err(|_| UTF8)?)
            }
            Place::Header => self.in_header(&request.fields, prefers_text),
            Place::Cookie => {
                let Some(text) = request.cookie(self.name.as_bytes()) else { return Ok(None) };
                of_text(String::from_utf8(text.to_vec()).map_err(|_| UTF8)?)
            }
            Place::Query => self.in_query(query, prefers_text),
        }
    }

    fn in_query(&self, query: &Pairs<'_>, prefers_text: bool) -> Result<Option<Value>, &'static str> {
        const UTF8: &str = "is no UTF-8";
        let text = |raw: &[u8]| String::from_utf8(decode_query(raw).into_owned()).map_err(|_| UTF8);
        if self.style == Style::Deep || (self.style == Style::Form && self.explodes && self.target.is_object()) {
            let mut members = Vec::new();
            for (name, raw) in query {
                let member = match self.style {
                    Style::Deep => {
                        name.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'))
                    }
                    _ => Some(&**name).filter(|name| self.target.properties.iter().any(|(own, _)| own == name)),
                };
                if let Some(member) = member {
                    if members.iter().any(|(other, _)| other == member) {
                        return Err("has a member twice");
                    }
                    members.push((member.to_owned(), text(raw)?));
                }
            }
            return Ok((!members.is_empty()).then(|| self.target.members(members.into_iter(), prefers_text)));
        }
        let values: Vec<&[u8]> = query.iter().filter(|(name, _)| *name == self.name).map(|(_, raw)| *raw).collect();
        let Some(first) = values.first() else { return Ok(None) };
        if self.target.is_array() && self.explodes && self.style != Style::Json {
            let texts = values.iter().map(|raw| text(raw)).collect::<Result<Vec<_>, _>>()?;
            return Ok(Some(self.target.items(texts.into_iter(), prefers_text)));
        }
        if values.len() > 1 {
            return Err("is there several times");
        }
        // A comma that is encoded is part of an item.
        let parts: Vec<String> = match self.style {
            Style::Form => first.split(|&b| b == b',').map(text).collect::<Result<_, _>>()?,
            Style::Space => text(first)?.split(' ').map(str::to_owned).collect(),
            Style::Pipe => text(first)?.split('|').map(str::to_owned).collect(),
            _ => return self.in_text(text(first)?, prefers_text).map(Some),
        };
        if self.target.is_array() {
            return Ok(Some(self.target.items(parts.into_iter(), prefers_text)));
        }
        if self.target.is_object() {
            return self.alternating(parts, prefers_text).map(Some);
        }
        Ok(Some(self.target.value(text(first)?, prefers_text)))
    }

    /// A value that is one text.
    fn in_text(&self, text: String, prefers_text: bool) -> Result<Value, &'static str> {
        const MALFORMED: &str = "is not written in its style";
        let (text, separator) = match self.style {
            Style::Json => return json::parse(text.as_bytes(), Limits::default()).map_err(|_| "is not JSON"),
            Style::Label => {
                let text = text.strip_prefix('.').ok_or(MALFORMED)?.to_owned();
                (text, if self.explodes { "." } else { "," })
            }
            Style::Matrix if self.explodes && self.target.is_object() => {
                (text.strip_prefix(';').ok_or(MALFORMED)?.to_owned(), ";")
            }
            Style::Matrix => {
                let start = format!(";{}=", self.name);
                let rest = text.strip_prefix(&start).ok_or(MALFORMED)?.to_owned();
                if self.explodes && self.target.is_array() {
                    let items = rest.split(&start).map(str::to_owned).collect::<Vec<_>>();
                    return Ok(self.target.items(items.into_iter(), prefers_text));
                }
                (rest, ",")
            }
            _ => (text, ","),
        };
        let parts = || text.split(separator).map(|part| part.trim_matches([' ', '\t']).to_owned());
        if self.target.is_array() {
            return Ok(self.target.items(parts(), prefers_text));
        }
        if !self.target.is_object() {
            return Ok(self.target.value(text, prefers_text));
        }
        if !self.explodes || self.place == Place::Cookie {
            return self.alternating(parts().collect(), prefers_text);
        }
        let members = parts().map(|part| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        let members = members.collect::<Option<Vec<_>>>().ok_or(MALFORMED)?;
        Ok(self.target.members(members.into_iter(), prefers_text))
    }

    /// `name,value,name,value`
    fn alternating(&self, parts: Vec<String>, prefers_text: bool) -> Result<Value, &'static str> {
        if !parts.len().is_multiple_of(2) {
            return Err("is not written in its style");
        }
        let mut parts = parts.into_iter();
        let mut members = Vec::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            members.push((name, value));
        }
        Ok(self.target.members(members.into_iter(), prefers_text))
    }
}

impl Place {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}
