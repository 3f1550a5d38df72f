//! A document of OpenAPI, compiled.

use super::{
    Wrong,
    answers::Answers,
    body::{Body, Judged, Look},
    convert::{Reading, Side, Version, escape, outside},
    parameter::{Parameter, Place, pairs},
    paths::Paths,
    schemas::{Collected, Schemas},
    shapes::{Drawing, Shapes},
};
use model::json::{self, Limits};
use plugin::Request;
use serde_json::Value;
use std::collections::HashMap;

/// Longest document that is compiled, in bytes.
pub(super) const LONGEST: usize = 8 << 20;

/// What is wrong with a document, at a JSON pointer into it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at \"{path}\"")]
pub(super) struct Invalid {
    path: String,
    reason: String,
}

impl Invalid {
    pub(super) fn new(path: &str, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }
}

/// The operations that there are.
pub(super) struct Spec {
    paths: Paths,
    /// Operations of each path, by method.
    items: Vec<HashMap<String, Operation>>,
    requests: Checked,
    answers: Option<Checked>,
}

/// What messages of one side are checked with.
pub(super) struct Checked {
    pub(super) schemas: Schemas,
    pub(super) shapes: Option<Shapes>,
}

/// One operation.
struct Operation {
    parameters: Vec<Parameter>,
    body: Option<Body>,
    /// Where answers are checked.
    answers: Option<Answers>,
}

/// What of a document is compiled beside what every request needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Answers, and which members they may have.
    pub(super) answers: bool,
    /// Which members requests may have.
    pub(super) request_members: bool,
}

/// What is not looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skipped {
    pub(super) path: bool,
    pub(super) query: bool,
    pub(super) header: bool,
    pub(super) body: bool,
}

/// What compiling messages of one side needs.
pub(super) struct Part<'d> {
    pub(super) document: &'d Value,
    pub(super) schemas: Collected<'d>,
    pub(super) shapes: Option<Drawing<'d>>,
}

impl<'d> Part<'d> {
    fn new(document: &'d Value, version: Version, side: Side, has_shapes: bool) -> Self {
        let reading = Reading { document, version, side, is_open: false };
        let shapes = has_shapes.then(|| Drawing::new(reading));
        Self { document, schemas: Collected::new(reading), shapes }
    }

    fn finish(self) -> Result<Checked, Invalid> {
        Ok(Checked { schemas: self.schemas.compile()?, shapes: self.shapes.map(Drawing::finish).transpose()? })
    }

    /// What an object is, or what it refers to within the document.
    pub(super) fn resolve(&self, source: &'d Value, at: &str) -> Result<&'d Value, Invalid> {
        resolve(self.document, source, at)
    }
}

fn resolve<'d>(document: &'d Value, source: &'d Value, at: &str) -> Result<&'d Value, Invalid> {
    let mut source = source;
    for _ in 0..8 {
        let Some(reference) = source.get("$ref") else { return Ok(source) };
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        let pointer = pointer.ok_or_else(|| Invalid::new(at, outside(reference)))?;
        let target = document.pointer(pointer);
        source = target.ok_or_else(|| Invalid::new(at, format!("{reference} is nothing in this document")))?;
    }
    Err(Invalid::new(at, "references that lead to references"))
}

/// What compiling needs.
struct Builder<'d> {
    document: &'d Value,
    requests: Part<'d>,
    answers: Option<Part<'d>>,
}

impl<'d> Builder<'d> {
    fn operation(&mut self, shared: &[&'d Value], source: &'d Value, at: &str) -> Result<Operation, Invalid> {
        let own = list(source.get("parameters"));
        let mut parameters: Vec<Parameter> = Vec::new();
        // What the operation says comes before what its path says.
        for (index, parameter) in own.iter().chain(shared).enumerate() {
            let at = format!("{at}/parameters/{index}");
            let parameter = Parameter::compile(&mut self.requests, resolve(self.document, parameter, &at)?, &at)?;
            let is_known =
                parameters.iter().any(|other| other.name == parameter.name && other.place == parameter.place);
            // These three are said elsewhere, and are ignored here.
            let is_ignored = parameter.place == Place::Header
                && ["accept", "content-type", "authorization"]
                    .iter()
                    .any(|name| parameter.name.eq_ignore_ascii_case(name));
            if !is_known && !is_ignored {
                parameters.push(parameter);
            }
        }
        let body = source.get("requestBody").map(|body| {
            let at = format!("{at}/requestBody");
            Body::compile(&mut self.requests, resolve(self.document, body, &at)?, &at)
        });
        let body = body.transpose()?;
        let answers = self.answers.as_mut().map(|part| Answers::compile(part, source, at)).transpose()?;
        Ok(Operation { parameters, body, answers })
    }
}

impl Spec {
    /// Reads and compiles a document.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(super) fn read(text: &[u8], wanted: Wanted) -> Result<Self, String> {
        let limits = Limits { bytes: LONGEST, depth: Limits::DEEPEST };
        let document =
            json::parse(text, limits).map_err(|error| format!("invalid JSON string provided, err: {error}"))?;
        Self::compile(&document, wanted).map_err(|error| format!("failed to compile openapi spec, err: {error}"))
    }

    /// Compiles a document.
    pub(super) fn compile(document: &Value, wanted: Wanted) -> Result<Self, Invalid> {
        let version = Version::of(document)?;
        let mut builder = Builder {
            document,
            requests: Part::new(document, version, Side::Request, wanted.request_members),
            answers: wanted.answers.then(|| Part::new(document, version, Side::Answer, true)),
        };
        let (mut tree, mut items) = (Paths::default(), Vec::new());
        for server in list(document.get("servers")) {
            let url = server.get("url").and_then(Value::as_str).unwrap_or_default();
            let path = url
                .split_once("://")
                .map_or(url, |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""));
            tree.add_base(path);
        }
        let paths = document.get("paths").and_then(Value::as_object);
        for (path, item) in paths.ok_or_else(|| Invalid::new("/paths", "there are no paths"))? {
            if path.starts_with("x-") {
                continue;
            }
            let at = format!("/paths/{}", escape(path));
            tree.add(path, items.len()).map_err(|reason| Invalid::new(&at, format!("the path {reason}")))?;
            let item = resolve(document, item, &at)?;
            let shared = list(item.get("parameters"));
            let mut operations = HashMap::new();
            for method in ["get", "put", "post", "delete", "options", "head", "patch", "trace"] {
                if let Some(source) = item.get(method) {
                    let operation = builder.operation(&shared, source, &format!("{at}/{method}"))?;
                    operations.insert(method.to_ascii_uppercase(), operation);
                }
            }
            items.push(operations);
        }
        let (requests, answers) = (builder.requests.finish()?, builder.answers.map(Part::finish).transpose()?);
        Ok(Self { paths: tree, items, requests, answers })
    }

    /// What answers to a request have to be; `None` where there is no such operation.
    pub(super) fn answers(&self, request: &Request) -> Option<(&Checked, &Answers)> {
        let (item, _) = self.paths.find(&request.path)?;
        let operation = self.items.get(item)?.get(request.method.as_str())?;
        Some((self.answers.as_ref()?, operation.answers.as_ref()?))
    }

    /// Checks a request whose body, if it is looked at, is this.
    pub(super) fn check(&self, request: &Request, body: &[u8], skipped: Skipped, look: Look) -> Result<Judged, Wrong> {
        let (item, path) = self.paths.find(&request.path).ok_or_else(|| Wrong::new("no such path"))?;
        let operation = self.items.get(item).and_then(|operations| operations.get(request.method.as_str()));
        let operation = operation.ok_or_else(|| Wrong::new("no such method of the path"))?;
        let query = if skipped.query { Vec::new() } else { pairs(request.query.as_deref())? };
        for parameter in &operation.parameters {
            let is_skipped = match parameter.place {
                Place::Path => skipped.path,
                Place::Query => skipped.query,
                Place::Header | Place::Cookie => skipped.header,
            };
            if !is_skipped {
                parameter.check(&self.requests.schemas, request, &path, &query)?;
            }
        }
        match &operation.body {
            Some(schema) if !skipped.body && !body.is_empty() => {
                Ok(schema.judge(&self.requests, &request.fields, body, look))
            }
            Some(schema) if !skipped.body && schema.is_required() => Err(Wrong::new("request body is missing")),
            _ => Ok(Judged::default()),
        }
    }
}

fn list(value: Option<&Value>) -> Vec<&Value> {
    value.and_then(Value::as_array).into_iter().flatten().collect()
}
