//! From a schema as written to its nodes.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::SchemaError;
use super::format::Format;
use super::lua;
use super::matcher::Matcher;
use super::node::{
    Additional, AnyOf, ArrayRules, Condition, Contains, Dependency, Items, Node, NodeId,
    NumberRules, ObjectRules, Property, StringRules, Type, Types,
};
use crate::json::prepend;

/// Schemas nested deeper than this are refused.
const DEEPEST: usize = 64;

/// Compiles `source`; the first node is the root.
pub(super) fn compile(source: &Value) -> Result<Vec<Node>, SchemaError> {
    let mut compiler = Compiler {
        root: source,
        nodes: Vec::new(),
        references: HashMap::new(),
        depth: 0,
    };
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

type Fields = Map<String, Value>;

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
        self.nodes.push(Node {
            fills: true,
            ..Node::default()
        });
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
        let unknown = || SchemaError::Reference {
            path: String::new(),
            reference: reference.to_owned(),
        };
        let encoded = reference.strip_prefix('#').ok_or_else(unknown)?;
        let pointer = percent_encoding::percent_decode_str(encoded)
            .decode_utf8()
            .map_err(|_| unknown())?;
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
            Value::Bool(always) => Ok(Node {
                always: Some(*always),
                ..Node::default()
            }),
            Value::Object(fields) => self.keywords(fields),
            _ => Err(SchemaError::NotASchema {
                path: String::new(),
            }),
        };
        self.depth -= 1;
        node
    }

    fn keywords(&mut self, fields: &Fields) -> Result<Node, SchemaError> {
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            // Reached only when the root or the target of a reference is a reference itself.
            let target = self.reference(reference)?;
            return Ok(Node {
                all_of: vec![target],
                fills: true,
                ..Node::default()
            });
        }
        let types = types(fields)?;
        let options = match fields.get("enum") {
            None => None,
            Some(Value::Array(options)) => Some(options.clone()),
            Some(_) => return Err(keyword("enum", "an array")),
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
            format: fields
                .get("format")
                .and_then(Value::as_str)
                .and_then(Format::named),
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
        let typed = node
            .types
            .as_ref()
            .is_some_and(|types| matches!(types.any.as_slice(), [Type::Object | Type::Array]));
        typed
            || node
                .object
                .as_deref()
                .is_some_and(|object| object.properties.iter().any(|p| p.default.is_some()))
            || node
                .same_value()
                .chain(node.inner_values())
                .any(|id| self.fills(id))
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
            Some(names) => {
                strings(names).ok_or_else(|| keyword("required", "an array of strings"))?
            }
        };
        let mut rules = ObjectRules {
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
            let node = self
                .child(name, source)
                .map_err(|error| error.within("properties"))?;
            let dependency = dependencies
                .iter()
                .position(|(dependent, _)| dependent == name)
                .map(|index| dependencies.remove(index).1);
            rules.properties.push(Property {
                node,
                required: required.contains(name),
                default: source
                    .get("default")
                    .filter(|default| !default.is_null())
                    .cloned(),
                dependency,
                name: name.clone(),
            });
            rules.declared.insert(name.clone());
        }
        required.retain(|name| !rules.declared.contains(name));
        rules.required = required;
        rules.dependencies = dependencies;
        for (pattern, source) in members(fields, "patternProperties")? {
            let node = self
                .child(pattern, source)
                .map_err(|error| error.within("patternProperties"))?;
            rules.patterns.push((matcher(pattern)?, node));
        }
        Ok(Some(rules))
    }

    fn dependency(&mut self, name: &str, source: &Value) -> Result<Dependency, SchemaError> {
        if source.is_array() {
            let names = strings(source)
                .ok_or_else(|| keyword("dependencies", "arrays of strings or schemas"))?;
            return Ok(Dependency::Names(names));
        }
        let node = self
            .child(name, source)
            .map_err(|error| error.within("dependencies"))?;
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
                Items::Tuple {
                    items,
                    additional: self.additional(fields, "additionalItems")?,
                }
            }
            Some(Value::Array(_)) => Items::Any,
            Some(source) => Items::Each(self.child("items", source)?),
        };
        Ok(Some(ArrayRules {
            min: count(fields, "minItems")?,
            max: count(fields, "maxItems")?,
            items,
            unique: fields
                .get("uniqueItems")
                .and_then(Value::as_bool)
                .unwrap_or(false),
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

    fn branches(
        &mut self,
        fields: &Fields,
        name: &'static str,
    ) -> Result<Option<Vec<NodeId>>, SchemaError> {
        let sources = match fields.get(name) {
            None => return Ok(None),
            Some(Value::Array(sources)) => sources,
            Some(_) => return Err(keyword(name, "an array of schemas")),
        };
        let mut branches = Vec::with_capacity(sources.len());
        for (index, source) in sources.iter().enumerate() {
            branches.push(
                self.child(&index.to_string(), source)
                    .map_err(|error| error.within(name))?,
            );
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
        let sources = fields
            .get("anyOf")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let required: Vec<String> = sources
            .iter()
            .filter_map(|source| source.get("required"))
            .map(|names| names.to_string().replace('/', "\\/")) // as cjson writes it
            .collect();
        let requires = if required.is_empty() {
            String::new()
        } else {
            format!(": {}", required.join(" or "))
        };
        Ok(Some(AnyOf { branches, requires }))
    }

    fn condition(&mut self, fields: &Fields) -> Result<Option<Condition>, SchemaError> {
        let Some(test) = self.optional(fields, "if")? else {
            return Ok(None);
        };
        Ok(Some(Condition {
            test,
            then: self.optional(fields, "then")?,
            otherwise: self.optional(fields, "else")?,
        }))
    }

    fn optional(&mut self, fields: &Fields, keyword: &str) -> Result<Option<NodeId>, SchemaError> {
        fields
            .get(keyword)
            .map(|source| self.child(keyword, source))
            .transpose()
    }
}

impl Node {
    /// The subschemas that apply to the same value.
    pub(super) fn same_value(&self) -> impl Iterator<Item = NodeId> + '_ {
        let object = self.object.as_deref().into_iter();
        let properties = object.clone().flat_map(|object| &object.properties);
        let dependencies =
            properties
                .filter_map(|property| property.dependency.as_ref())
                .chain(object.flat_map(|object| {
                    object.dependencies.iter().map(|(_, dependency)| dependency)
                }))
                .filter_map(|dependency| match dependency {
                    Dependency::Schema(id) => Some(*id),
                    Dependency::Names(_) => None,
                });
        let condition = self
            .condition
            .iter()
            .flat_map(|c| [Some(c.test), c.then, c.otherwise])
            .flatten();
        let any_of = self.any_of.iter().flat_map(|any_of| &any_of.branches);
        let one_of = self.one_of.iter().flatten();
        self.all_of
            .iter()
            .chain(any_of)
            .chain(one_of)
            .copied()
            .chain(condition)
            .chain(dependencies)
    }

    /// The subschemas that apply to fields and items of the value.
    fn inner_values(&self) -> impl Iterator<Item = NodeId> + '_ {
        let fields = self.object.as_deref().into_iter().flat_map(|object| {
            let properties = object.properties.iter().map(|property| property.node);
            let patterns = object.patterns.iter().map(|(_, id)| *id);
            properties.chain(patterns).chain(object.additional.schema())
        });
        let items = self.array.as_deref().into_iter().flat_map(|array| {
            let (each, tuple, additional) = match &array.items {
                Items::Each(id) => (Some(*id), [].as_slice(), None),
                Items::Tuple { items, additional } => (None, items.as_slice(), additional.schema()),
                Items::Any | Items::Forbidden => (None, [].as_slice(), None),
            };
            each.into_iter()
                .chain(tuple.iter().copied())
                .chain(additional)
        });
        fields.chain(items)
    }
}

impl Additional {
    pub(super) fn schema(self) -> Option<NodeId> {
        match self {
            Additional::Schema(id) => Some(id),
            Additional::Unsaid | Additional::Any | Additional::Forbidden => None,
        }
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

fn types(fields: &Fields) -> Result<Option<Types>, SchemaError> {
    let (names, multiple) = match fields.get("type") {
        None => return Ok(None),
        Some(Value::String(name)) => (vec![name.clone()], false),
        Some(names) => (
            strings(names).ok_or_else(|| keyword("type", "a string or an array of strings"))?,
            true,
        ),
    };
    let mut any = Vec::with_capacity(names.len());
    for name in &names {
        any.push(Type::named(name).ok_or_else(|| SchemaError::UnknownType {
            path: String::new(),
            name: name.clone(),
        })?);
    }
    let text = names.join(", ");
    Ok(Some(Types {
        any,
        text: if multiple {
            format!("one of {text}")
        } else {
            text
        },
    }))
}

impl Type {
    fn named(name: &str) -> Option<Type> {
        Some(match name {
            "object" => Type::Object,
            "array" => Type::Array,
            "table" => Type::Table,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "string" => Type::String,
            "boolean" => Type::Boolean,
            "null" => Type::Null,
            _ => return None,
        })
    }
}

fn string(fields: &Fields) -> Result<StringRules, SchemaError> {
    let pattern = match fields.get("pattern") {
        None => None,
        Some(Value::String(pattern)) => Some(matcher(pattern)?),
        Some(_) => return Err(keyword("pattern", "a string")),
    };
    Ok(StringRules {
        min: count(fields, "minLength")?,
        max: count(fields, "maxLength")?,
        pattern,
    })
}

fn numbers(fields: &Fields) -> Result<NumberRules, SchemaError> {
    Ok(NumberRules {
        minimum: number(fields, "minimum")?,
        exclusive_minimum: number(fields, "exclusiveMinimum")?,
        maximum: number(fields, "maximum")?,
        exclusive_maximum: number(fields, "exclusiveMaximum")?,
        multiple_of: number(fields, "multipleOf")?,
    })
}

fn matcher(pattern: &str) -> Result<Matcher, SchemaError> {
    Matcher::new(pattern).map_err(|reason| SchemaError::Pattern {
        path: String::new(),
        pattern: lua::quote(pattern),
        reason,
    })
}

fn number(fields: &Fields, name: &'static str) -> Result<Option<f64>, SchemaError> {
    match fields.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| keyword(name, "a number")),
    }
}

fn count(fields: &Fields, name: &'static str) -> Result<Option<u64>, SchemaError> {
    let counted = |number: f64| {
        if number >= 0.0 {
            Ok(number as u64)
        } else {
            Err(keyword(name, "0 or more"))
        }
    };
    number(fields, name)?.map(counted).transpose()
}

fn members<'a>(
    fields: &'a Fields,
    name: &'static str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, SchemaError> {
    match fields.get(name) {
        None => Ok(None.into_iter().flatten()),
        Some(Value::Object(members)) => Ok(Some(members).into_iter().flatten()),
        // An empty Lua table.
        Some(Value::Array(items)) if items.is_empty() => Ok(None.into_iter().flatten()),
        Some(_) => Err(keyword(name, "an object")),
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}

fn keyword(keyword: &'static str, expected: &'static str) -> SchemaError {
    SchemaError::Keyword {
        path: String::new(),
        keyword,
        expected,
    }
}
