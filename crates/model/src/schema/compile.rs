//! From a schema as written to its nodes.

use std::collections::HashMap;

use serde_json::Value;

use super::SchemaError;
use super::format::Format;
use super::keyword::{Fields, count, keyword, matcher, members, no_table, numbers, string, strings, types};
use super::node::{
    Additional, AnyOf, ArrayRules, Condition, Contains, Dependency, Items, Node, NodeId, ObjectRules, Property, Type,
};
use crate::json::prepend;

/// Schemas nested deeper than this are refused.
const DEEPEST: usize = 64;

/// Compiles `source`; the first node is the root.
pub(super) fn compile(source: &Value) -> Result<Vec<Node>, SchemaError> {
    let mut compiler = Compiler { root: source, nodes: Vec::new(), references: HashMap::new(), depth: 0 };
    compiler.target("", source)?;
    Ok(compiler.nodes)
}

struct Compiler<'a> {
    root: &'a Value,
    nodes: Vec<Node>,
    /// Nodes that `$ref` may share, by JSON pointer.
    references: HashMap<String, NodeId>,
    depth: usize,
}

impl Compiler<'_> {
    /// Compiles the target of a reference once.
    fn target(&mut self, pointer: &str, source: &Value) -> Result<NodeId, SchemaError> {
        if let Some(id) = self.references.get(pointer) {
            return Ok(*id);
        }
        let id = self.reserve();
        self.references.insert(pointer.to_owned(), id);
        let node = self.node(source)?;
        self.place(id, node);
        Ok(id)
    }

    fn reserve(&mut self) -> NodeId {
        // A node that is still being compiled may be reached again by a reference; assume that it fills.
        self.nodes.push(Node { fills: true, ..Node::default() });
        self.nodes.len() - 1
    }

    fn place(&mut self, id: NodeId, node: Node) {
        if let Some(slot) = self.nodes.get_mut(id) {
            *slot = node;
        }
    }

    fn fills(&self, id: NodeId) -> bool {
        self.nodes.get(id).is_some_and(|node| node.fills)
    }

    fn schema(&mut self, source: &Value) -> Result<NodeId, SchemaError> {
        if let Some(reference) = source.get("$ref").and_then(Value::as_str) {
            return self.reference(reference);
        }
        let node = self.node(source)?;
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn reference(&mut self, reference: &str) -> Result<NodeId, SchemaError> {
        let unknown = || SchemaError::Reference { path: String::new(), reference: reference.to_owned() };
        let encoded = reference.strip_prefix('#').ok_or_else(unknown)?;
        let pointer = percent_encoding::percent_decode_str(encoded).decode_utf8().map_err(|_| unknown())?;
        let root = self.root;
        let source = root.pointer(&pointer).ok_or_else(unknown)?;
        self.target(&pointer, source)
    }

    /// Compiles a child under `keyword`, completing the paths of errors.
    fn child(&mut self, keyword: &str, source: &Value) -> Result<NodeId, SchemaError> {
        self.schema(source).map_err(|error| error.within(keyword))
    }

    fn node(&mut self, source: &Value) -> Result<Node, SchemaError> {
        if self.depth >= DEEPEST {
            return Err(SchemaError::TooDeep);
        }
        self.depth += 1;
        let node = match source {
            Value::Bool(always) => Ok(Node { always: Some(*always), ..Node::default() }),
            Value::Object(fields) => self.keywords(fields),
            _ => Err(SchemaError::NotASchema { path: String::new() }),
        };
        self.depth -= 1;
        node
    }

    fn keywords(&mut self, fields: &Fields) -> Result<Node, SchemaError> {
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            // Reached only when the root or the target of a reference is a reference itself.
            let target = self.reference(reference)?;
            return Ok(Node { all_of: vec![target], fills: true, ..Node::default() });
        }
        let types = types(fields)?;
        let options = match fields.get("enum") {
            None => None,
            Some(Value::Array(options)) => Some(options.clone()),
            Some(found) => return Err(no_table("enum", "an array", found)),
        };
        let mut node = Node {
            accepts_reference: types.as_ref().is_none_or(|types| types.text == "string"),
            types,
            object: self.object(fields)?.map(Box::new),
            array: self.array(fields)?.map(Box::new),
            string: string(fields)?,
            number: numbers(fields)?,
            options,
            all_of: self.branches(fields, "allOf")?.unwrap_or_default(),
            any_of: self.any_of(fields)?,
            one_of: self.branches(fields, "oneOf")?,
            condition: self.condition(fields)?,
            not: self.optional(fields, "not")?,
            names_allowed: fields.get("propertyNames").and_then(Value::as_bool),
            format: fields.get("format").and_then(Value::as_str).and_then(Format::named),
            constant: fields.get("const").cloned(),
            contains: match fields.get("contains") {
                None => None,
                Some(Value::Bool(true)) => Some(Contains::Anything),
                Some(Value::Bool(false)) => Some(Contains::Nothing),
                Some(schema) => Some(Contains::Schema(self.child("contains", schema)?)),
            },
            always: None,
            fills: false,
        };
        node.fills = self.changes(&node);
        Ok(node)
    }

    /// Whether checking against `node` can change the value: by a default, or by telling `[]` from `{}`.
    fn changes(&self, node: &Node) -> bool {
        let typed =
            node.types.as_ref().is_some_and(|types| matches!(types.any.as_slice(), [Type::Object | Type::Array]));
        typed
            || node.object.as_deref().is_some_and(|object| object.properties.iter().any(|p| p.default.is_some()))
            || node.same_value().chain(node.inner_values()).any(|id| self.fills(id))
    }

    fn object(&mut self, fields: &Fields) -> Result<Option<ObjectRules>, SchemaError> {
        const KEYWORDS: [&str; 7] = [
            "properties",
            "additionalProperties",
            "patternProperties",
            "minProperties",
            "maxProperties",
            "dependencies",
            "required",
        ];
        if !KEYWORDS.iter().any(|keyword| fields.contains_key(*keyword)) {
            return Ok(None);
        }
        let mut required = match fields.get("required") {
            None => Vec::new(),
            Some(names) => strings(names).ok_or_else(|| no_table("required", "an array of strings", names))?,
        };
        let mut rules = ObjectRules {
            is_declared: fields.contains_key("properties"),
            must_be_empty: fields.contains_key("required") && required.is_empty(),
            min: count(fields, "minProperties")?,
            max: count(fields, "maxProperties")?,
            additional: self.additional(fields, "additionalProperties")?,
            ..ObjectRules::default()
        };
        let mut dependencies = Vec::new();
        for (name, dependency) in members(fields, "dependencies")? {
            dependencies.push((name.clone(), self.dependency(name, dependency)?));
        }
        for (name, source) in members(fields, "properties")? {
            let node = self.child(name, source).map_err(|error| error.within("properties"))?;
            let dependency = dependencies
                .iter()
                .position(|(dependent, _)| dependent == name)
                .map(|index| dependencies.remove(index).1);
            rules.properties.push(Property {
                node,
                required: required.contains(name),
                default: source.get("default").filter(|default| !default.is_null()).cloned(),
                dependency,
                name: name.clone(),
            });
            rules.declared.insert(name.clone());
        }
        required.retain(|name| !rules.declared.contains(name));
        rules.required = required;
        rules.dependencies = dependencies;
        for (pattern, source) in members(fields, "patternProperties")? {
            let node = self.child(pattern, source).map_err(|error| error.within("patternProperties"))?;
            rules.patterns.push((matcher(pattern)?, node));
        }
        Ok(Some(rules))
    }

    fn dependency(&mut self, name: &str, source: &Value) -> Result<Dependency, SchemaError> {
        if source.is_array() {
            let names = strings(source).ok_or_else(|| keyword("dependencies", "arrays of strings or schemas"))?;
            return Ok(Dependency::Names(names));
        }
        let node = self.child(name, source).map_err(|error| error.within("dependencies"))?;
        Ok(Dependency::Schema(node))
    }

    fn array(&mut self, fields: &Fields) -> Result<Option<ArrayRules>, SchemaError> {
        const KEYWORDS: [&str; 4] = ["items", "minItems", "maxItems", "uniqueItems"];
        if !KEYWORDS.iter().any(|keyword| fields.contains_key(*keyword)) {
            return Ok(None);
        }
        let items = match fields.get("items") {
            None | Some(Value::Bool(true)) => Items::Any,
            Some(Value::Bool(false)) => Items::Forbidden,
            Some(Value::Array(sources)) if !sources.is_empty() => {
                let mut items = Vec::with_capacity(sources.len());
                for source in sources {
                    items.push(self.child("items", source)?);
                }
                Items::Tuple { items, additional: self.additional(fields, "additionalItems")? }
            }
            Some(Value::Array(_)) => Items::Any,
            Some(source) => Items::Each(self.child("items", source)?),
        };
        Ok(Some(ArrayRules {
            min: count(fields, "minItems")?,
            max: count(fields, "maxItems")?,
            items,
            unique: fields.get("uniqueItems").and_then(Value::as_bool).unwrap_or(false),
        }))
    }

    fn additional(&mut self, fields: &Fields, keyword: &str) -> Result<Additional, SchemaError> {
        Ok(match fields.get(keyword) {
            None => Additional::Unsaid,
            Some(Value::Bool(true)) => Additional::Any,
            Some(Value::Bool(false)) => Additional::Forbidden,
            Some(source) => Additional::Schema(self.child(keyword, source)?),
        })
    }

    fn branches(&mut self, fields: &Fields, name: &'static str) -> Result<Option<Vec<NodeId>>, SchemaError> {
        let sources = match fields.get(name) {
            None => return Ok(None),
            Some(Value::Array(sources)) => sources,
            Some(_) => return Err(keyword(name, "an array of schemas")),
        };
        let mut branches = Vec::with_capacity(sources.len());
        for (index, source) in sources.iter().enumerate() {
            branches.push(self.child(&index.to_string(), source).map_err(|error| error.within(name))?);
        }
        Ok(Some(branches))
    }

    fn any_of(&mut self, fields: &Fields) -> Result<Option<AnyOf>, SchemaError> {
        let Some(branches) = self.branches(fields, "anyOf")? else {
            return Ok(None);
        };
        if branches.is_empty() {
            return Err(keyword("anyOf", "an array that is not empty"));
        }
        let sources = fields.get("anyOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let required: Vec<String> = sources
            .iter()
            .filter_map(|source| source.get("required"))
            .map(|names| names.to_string().replace('/', "\\/")) // as cjson writes it
            .collect();
        let requires = if required.is_empty() { String::new() } else { format!(": {}", required.join(" or ")) };
        Ok(Some(AnyOf { branches, requires }))
    }

    fn condition(&mut self, fields: &Fields) -> Result<Option<Condition>, SchemaError> {
        let Some(test) = self.optional(fields, "if")? else {
            return Ok(None);
        };
        Ok(Some(Condition { test, then: self.optional(fields, "then")?, otherwise: self.optional(fields, "else")? }))
    }

    fn optional(&mut self, fields: &Fields, keyword: &str) -> Result<Option<NodeId>, SchemaError> {
        fields.get(keyword).map(|source| self.child(keyword, source)).transpose()
    }
}

impl SchemaError {
    fn within(mut self, segment: &str) -> SchemaError {
        match &mut self {
            SchemaError::NotASchema { path }
            | SchemaError::UnknownType { path, .. }
            | SchemaError::Keyword { path, .. }
            | SchemaError::Pattern { path, .. }
            | SchemaError::Reference { path, .. } => *path = prepend(path, segment),
            SchemaError::TooDeep => {}
        }
        self
    }
}
