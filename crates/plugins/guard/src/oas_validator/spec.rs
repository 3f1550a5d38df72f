//! A document of OpenAPI, compiled.

use super::{
    Wrong,
    body::Body,
    convert::{DOCUMENT, Version, escape},
    parameter::{Parameter, Place, pairs},
    paths::Paths,
};
use jsonschema::{PatternOptions, Registry, Validator};
use plugin::Request;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Upper bound of the memory of one compiled pattern.
const PATTERN_SIZE: usize = 4 << 20;

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
}

/// One operation.
struct Operation {
    parameters: Vec<Parameter>,
    body: Option<Body>,
}

/// What is not looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skipped {
    pub(super) path: bool,
    pub(super) query: bool,
    pub(super) header: bool,
    pub(super) body: bool,
}

/// What compiling needs.
pub(super) struct Builder<'a> {
    pub(super) document: &'a Value,
    version: Version,
    registry: &'a Registry<'a>,
}

impl Builder<'_> {
    /// Compiles a schema of the document.
    pub(super) fn validator(&self, schema: &Value, at: &str) -> Result<Validator, Invalid> {
        let converted = self.version.convert(schema, at)?;
        let mut options = jsonschema::options()
            .with_draft(self.version.draft())
            .with_registry(self.registry)
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_SIZE))
            .should_validate_formats(true)
            // OpenAPI leaves the list of formats open.
            .should_ignore_unknown_formats(true);
        for format in ["byte", "binary", "password"] {
            options = options.with_format(format, |_: &str| true);
        }
        options
            .build(&converted)
            .map_err(|error| Invalid::new(at, format!("{}, below {}", error.masked(), error.instance_path())))
    }

    /// What an object is, or what it refers to within the document.
    fn resolve<'s>(&'s self, source: &'s Value, at: &str) -> Result<&'s Value, Invalid> {
        let mut source = source;
        for _ in 0..8 {
            let Some(reference) = source.get("$ref") else { return Ok(source) };
            let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
            let target = pointer.and_then(|pointer| self.document.pointer(pointer));
            source = target.ok_or_else(|| Invalid::new(at, format!("{reference} is nothing in this document")))?;
        }
        Err(Invalid::new(at, "references that lead to references"))
    }

    fn operation(&self, shared: &[&Value], source: &Value, at: &str) -> Result<Operation, Invalid> {
        let own = list(source.get("parameters"));
        let mut parameters: Vec<Parameter> = Vec::new();
        // What the operation says comes before what its path says.
        for (index, parameter) in own.iter().chain(shared).enumerate() {
            let at = format!("{at}/parameters/{index}");
            let parameter = Parameter::compile(self, self.resolve(parameter, &at)?, &at)?;
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
            Body::compile(self, self.resolve(body, &at)?, &at)
        });
        Ok(Operation { parameters, body: body.transpose()? })
    }
}

impl Spec {
    /// Compiles a document.
    pub(super) fn compile(document: &Value) -> Result<Self, Invalid> {
        let version = Version::of(document)?;
        let mut schemas = Map::new();
        for (name, schema) in document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten() {
            let at = format!("/components/schemas/{}", escape(name));
            schemas.insert(name.clone(), version.convert(schema, &at)?);
        }
        let shared = version.draft().create_resource(json!({ "components": { "schemas": schemas } }));
        let wrong = |error: jsonschema::ReferencingError| Invalid::new("/components/schemas", error.to_string());
        let registry = Registry::new().add(DOCUMENT, shared).map_err(wrong)?.prepare().map_err(wrong)?;
        let builder = Builder { document, version, registry: &registry };
        let mut spec = Self { paths: Paths::default(), items: Vec::new() };
        for server in list(document.get("servers")) {
            let url = server.get("url").and_then(Value::as_str).unwrap_or_default();
            let path = url
                .split_once("://")
                .map_or(url, |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""));
            spec.paths.add_base(path);
        }
        let paths = document.get("paths").and_then(Value::as_object);
        for (path, item) in paths.ok_or_else(|| Invalid::new("/paths", "there are no paths"))? {
            if path.starts_with("x-") {
                continue;
            }
            let at = format!("/paths/{}", escape(path));
            spec.paths.add(path, spec.items.len()).map_err(|reason| Invalid::new(&at, format!("the path {reason}")))?;
            let item = builder.resolve(item, &at)?;
            let shared = list(item.get("parameters"));
            let mut operations = HashMap::new();
            for method in ["get", "put", "post", "delete", "options", "head", "patch", "trace"] {
                if let Some(source) = item.get(method) {
                    let operation = builder.operation(&shared, source, &format!("{at}/{method}"))?;
                    operations.insert(method.to_ascii_uppercase(), operation);
                }
            }
            spec.items.push(operations);
        }
        Ok(spec)
    }

    /// Checks a request whose body, if it is looked at, is this.
    pub(super) fn check(&self, request: &Request, body: &[u8], skipped: Skipped, is_strict: bool) -> Result<(), Wrong> {
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
                parameter.check(request, &path, &query)?;
            }
        }
        match &operation.body {
            Some(schema) if !skipped.body => schema.check(&request.fields, body, is_strict),
            _ => Ok(()),
        }
    }
}

fn list(value: Option<&Value>) -> Vec<&Value> {
    value.and_then(Value::as_array).into_iter().flatten().collect()
}
