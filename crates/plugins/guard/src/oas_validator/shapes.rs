//! Which members of a value the document declares.

use super::{
    convert::{self, DOCUMENT, Reading, Version, absolute, escape},
    schemas::{Collected, Schemas, Slot},
    spec::Invalid,
};
use crate::content::Tree;
use serde_json::{Map, Value, json};
use std::{borrow::Cow, collections::HashMap};

/// One of the shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShapeId(usize);

/// What a schema says of the members of objects, and of the items of arrays.
#[derive(Default)]
pub(super) struct Shape {
    /// Whether messages of this side do not have it.
    is_hidden: bool,
    /// Whether it says which members there are. Where nothing does, there may be any.
    lists_members: bool,
    properties: HashMap<String, ShapeId>,
    /// Patterns of names.
    patterns: Vec<(Slot, ShapeId)>,
    /// What other members are, if there may be any that are named nowhere.
    others: Option<ShapeId>,
    first_items: Vec<ShapeId>,
    items: Option<ShapeId>,
    /// What holds for the same value.
    all: Vec<ShapeId>,
    choices: Vec<Choice>,
}

/// What holds for the same value, depending on it.
enum Choice {
    /// Those that it fits.
    Fitting(Vec<(Slot, ShapeId)>),
    /// The one that a member names.
    Named(String, HashMap<String, ShapeId>),
    /// The first if it fits, or else the second.
    Either { test: Slot, then: Vec<ShapeId>, otherwise: Option<ShapeId> },
    /// If it has this member.
    Having(String, ShapeId),
}

/// The shapes of a document.
pub(super) struct Shapes {
    all: Vec<Shape>,
    /// What decides between choices: schemas that do not mind undeclared members.
    open: Schemas,
}

/// Draws shapes while a document is compiled.
pub(super) struct Drawing<'d> {
    reading: Reading<'d>,
    all: Vec<Shape>,
    /// Those that references lead to.
    known: HashMap<String, ShapeId>,
    open: Collected<'d>,
}

impl<'d> Drawing<'d> {
    pub(super) fn new(reading: Reading<'d>) -> Self {
        let reading = Reading { is_open: true, ..reading };
        Self { reading, all: Vec::new(), known: HashMap::new(), open: Collected::new(reading) }
    }

    pub(super) fn finish(self) -> Result<Shapes, Invalid> {
        Ok(Shapes { all: self.all, open: self.open.compile()? })
    }

    /// Draws a schema that could be converted.
    pub(super) fn add(&mut self, schema: &Value, at: &str) -> Result<ShapeId, Invalid> {
        let id = ShapeId(self.all.len());
        self.all.push(Shape::default());
        self.fill(id, schema, at, None)?;
        Ok(id)
    }

    /// The shape that a reference leads to.
    fn of(&mut self, reference: &Value, at: &str) -> Result<ShapeId, Invalid> {
        let pointer = absolute(reference, at)?;
        let pointer = pointer.strip_prefix(DOCUMENT).unwrap_or_default();
        if let Some(known) = self.known.get(pointer) {
            return Ok(*known);
        }
        let target = self.reading.target(&Value::String(pointer.to_owned()));
        let target = target.ok_or_else(|| Invalid::new(at, format!("{reference} is nothing in this document")))?;
        let id = ShapeId(self.all.len());
        self.all.push(Shape::default());
        self.known.insert(pointer.to_owned(), id);
        let at = pointer.trim_start_matches('#').to_owned();
        self.fill(id, target, &at, Some(pointer))?;
        Ok(id)
    }

    fn fill(&mut self, id: ShapeId, schema: &Value, at: &str, pointer: Option<&str>) -> Result<(), Invalid> {
        let Value::Object(fields) = schema else { return Ok(()) };
        let shape = self.shape(fields, at, pointer)?;
        if let Some(place) = self.all.get_mut(id.0) {
            *place = shape;
        }
        Ok(())
    }

    fn shape(&mut self, fields: &Map<String, Value>, at: &str, pointer: Option<&str>) -> Result<Shape, Invalid> {
        let mut shape =
            Shape { is_hidden: fields.get(self.reading.side.hidden()) == Some(&Value::Bool(true)), ..Shape::default() };
        if let Some(reference) = fields.get("$ref") {
            shape.all.push(self.of(reference, at)?);
            if self.reading.version == Version::V30 {
                return Ok(shape);
            }
        }
        let object = |name: &str| fields.get(name).and_then(Value::as_object).into_iter().flatten();
        let list = |name: &str| fields.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
        for (name, property) in object("properties") {
            let id = self.add(property, &format!("{at}/properties/{}", escape(name)))?;
            shape.properties.insert(name.clone(), id);
        }
        for (pattern, property) in object("patternProperties") {
            let at = format!("{at}/patternProperties/{}", escape(pattern));
            let slot = self.open.add(&json!({ "pattern": pattern }), &at)?;
            shape.patterns.push((slot, self.add(property, &at)?));
        }
        for name in ["additionalProperties", "unevaluatedProperties"] {
            if let Some(others) = fields.get(name).filter(|others| **others != Value::Bool(false)) {
                shape.others = Some(self.add(others, &format!("{at}/{name}"))?);
            }
        }
        shape.lists_members = ["properties", "patternProperties", "additionalProperties", "unevaluatedProperties"]
            .iter()
            .any(|name| fields.contains_key(*name));
        for (index, item) in list("prefixItems") {
            shape.first_items.push(self.add(item, &format!("{at}/prefixItems/{index}"))?);
        }
        if let Some(items) = fields.get("items") {
            shape.items = Some(self.add(items, &format!("{at}/items"))?);
        }
        for (index, part) in list("allOf") {
            shape.all.push(self.add(part, &format!("{at}/allOf/{index}"))?);
        }
        self.choices(fields, at, pointer, &mut shape)?;
        Ok(shape)
    }

    fn choices(
        &mut self,
        fields: &Map<String, Value>,
        at: &str,
        pointer: Option<&str>,
        shape: &mut Shape,
    ) -> Result<(), Invalid> {
        let branch = |this: &mut Self, schema: &Value, at: &str| -> Result<(Slot, ShapeId), Invalid> {
            Ok((this.open.add(schema, at)?, this.add(schema, at)?))
        };
        let discriminator = fields.get("discriminator");
        for name in ["oneOf", "anyOf"] {
            let Some(Value::Array(list)) = fields.get(name) else { continue };
            let choice = match discriminator {
                Some(discriminator) => {
                    let (property, cases) = convert::cases(discriminator, list, at)?;
                    self.named(property, &cases, at)?
                }
                None => {
                    let branches = list.iter().enumerate();
                    let branches =
                        branches.map(|(index, schema)| branch(self, schema, &format!("{at}/{name}/{index}")));
                    Choice::Fitting(branches.collect::<Result<_, _>>()?)
                }
            };
            shape.choices.push(choice);
        }
        let has_choices = fields.contains_key("oneOf") || fields.contains_key("anyOf");
        if let (Some(discriminator), Some(pointer), false) = (discriminator, pointer, has_choices) {
            let heirs = self.heirs(pointer);
            let (property, cases) = convert::cases(discriminator, &heirs, at)?;
            let choice = self.named(property, &cases, at)?;
            shape.choices.push(choice);
        }
        if let Some(test) = fields.get("if") {
            let (slot, own) = branch(self, test, &format!("{at}/if"))?;
            let part = |this: &mut Self, name: &str| {
                fields.get(name).map(|schema| this.add(schema, &format!("{at}/{name}"))).transpose()
            };
            let then = [Some(own), part(self, "then")?].into_iter().flatten().collect();
            let otherwise = part(self, "else")?;
            shape.choices.push(Choice::Either { test: slot, then, otherwise });
        }
        for (name, schema) in fields.get("dependentSchemas").and_then(Value::as_object).into_iter().flatten() {
            let id = self.add(schema, &format!("{at}/dependentSchemas/{}", escape(name)))?;
            shape.choices.push(Choice::Having(name.clone(), id));
        }
        Ok(())
    }

    fn named(&mut self, property: String, cases: &[(String, String)], at: &str) -> Result<Choice, Invalid> {
        let mut named = HashMap::new();
        for (value, target) in cases {
            let reference = target.strip_prefix(DOCUMENT).unwrap_or_default();
            named.insert(value.clone(), self.of(&Value::String(reference.to_owned()), at)?);
        }
        Ok(Choice::Named(property, named))
    }

    /// References to the schemas that extend the one at this pointer.
    fn heirs(&self, pointer: &str) -> Vec<Value> {
        let schemas = self.reading.document.pointer("/components/schemas").and_then(Value::as_object);
        let extends = |schema: &Value| {
            let mut parts = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
            parts.any(|part| part.get("$ref").and_then(Value::as_str) == Some(pointer))
        };
        let heirs = schemas.into_iter().flatten().filter(|(_, schema)| extends(schema));
        heirs.map(|(name, _)| json!({ "$ref": format!("#/components/schemas/{}", escape(name)) })).collect()
    }
}

impl Shapes {
    fn shape(&self, id: ShapeId) -> Option<&Shape> {
        self.all.get(id.0)
    }

    /// Whether members of this shape are hidden.
    pub(super) fn is_hidden(&self, id: ShapeId) -> bool {
        let (mut open, mut seen) = (vec![id], Vec::new());
        while let Some(id) = open.pop() {
            let Some(shape) = self.shape(id).filter(|_| !seen.contains(&id)) else { continue };
            if shape.is_hidden {
                return true;
            }
            seen.push(id);
            open.extend(&shape.all);
        }
        false
    }

    /// All that holds for a value for which these hold. `pay` is asked before schemas are tried, with how many.
    pub(super) fn applied<E>(
        &self,
        shapes: &[ShapeId],
        value: &Tree<'_>,
        mut pay: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Vec<ShapeId>, E> {
        let (mut open, mut applied) = (shapes.to_vec(), Vec::new());
        while let Some(id) = open.pop() {
            if applied.contains(&id) {
                continue;
            }
            applied.push(id);
            let Some(shape) = self.shape(id) else { continue };
            open.extend(&shape.all);
            for choice in &shape.choices {
                match choice {
                    Choice::Fitting(branches) => {
                        pay(branches.len())?;
                        let before = open.len();
                        let fitting = branches.iter().filter(|(slot, _)| self.open.fits(*slot, value));
                        open.extend(fitting.map(|(_, id)| id));
                        if open.len() == before {
                            // It does not fit, which is said elsewhere.
                            open.extend(branches.iter().map(|(_, id)| id));
                        }
                    }
                    Choice::Named(property, cases) => {
                        let named = value.get(property).and_then(Tree::text).and_then(|name| cases.get(name));
                        open.extend(named);
                    }
                    Choice::Either { test, then, otherwise } => {
                        pay(1)?;
                        match self.open.fits(*test, value) {
                            true => open.extend(then),
                            false => open.extend(otherwise),
                        }
                    }
                    Choice::Having(property, id) if value.get(property).is_some() => open.push(*id),
                    Choice::Having(..) => {}
                }
            }
        }
        Ok(applied)
    }

    /// Whether any of these says which members an object has.
    pub(super) fn lists_members(&self, applied: &[ShapeId]) -> bool {
        applied.iter().filter_map(|id| self.shape(*id)).any(|shape| shape.lists_members)
    }

    /// What holds for a member; `None` where it is not declared.
    pub(super) fn member(&self, applied: &[ShapeId], name: &str) -> Option<Vec<ShapeId>> {
        let (mut found, mut is_declared) = (Vec::new(), false);
        for shape in applied.iter().filter_map(|id| self.shape(*id)) {
            let before = found.len();
            found.extend(shape.properties.get(name));
            if !shape.patterns.is_empty() {
                let text = Tree::String(Cow::Borrowed(name));
                let patterns = shape.patterns.iter().filter(|(slot, _)| self.open.fits(*slot, &text));
                found.extend(patterns.map(|(_, id)| id));
            }
            if found.len() == before {
                found.extend(shape.others);
            }
            is_declared |= found.len() > before;
        }
        is_declared.then_some(found)
    }

    /// What holds for an item.
    pub(super) fn item(&self, applied: &[ShapeId], index: usize) -> Vec<ShapeId> {
        let shapes = applied.iter().filter_map(|id| self.shape(*id));
        shapes.filter_map(|shape| shape.first_items.get(index).copied().or(shape.items)).collect()
    }
}
