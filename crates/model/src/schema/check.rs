//! One walk of a value along a compiled schema, in the order of the Lua library.

use serde_json::{Map, Value};

use super::Violation;
use super::lua;
use super::matcher::GivenUp;
use super::node::{Additional, AnyOf, ArrayRules, Condition, Contains, Dependency, Items, Node, NodeId, ObjectRules};
use super::value::{Check, check_number, check_string, check_type, is_empty, is_object, is_table, violation};
use crate::json::prepend;

/// Schemas entered within each other at once: guards the stack against recursive references.
const DEEPEST: usize = 250;
/// Schemas entered in one walk: guards the clock against references that branch at each level.
pub(super) const MOST_STEPS: usize = 10_000_000;

pub(super) struct Run<'a> {
    nodes: &'a [Node],
    depth: usize,
    steps_left: usize,
    /// Whether something was not looked at to its end. Then the value does not fit, whatever `not` or `anyOf` made of it.
    has_given_up: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(nodes: &'a [Node], steps: usize) -> Run<'a> {
        Run { nodes, depth: 0, steps_left: steps, has_given_up: false }
    }

    pub(super) fn root(&mut self, value: &mut Value) -> Check {
        let check = self.schema(0, value);
        if self.has_given_up { Err(self.give_up()) } else { check }
    }

    fn give_up(&mut self) -> Violation {
        self.has_given_up = true;
        violation("value is too complex for its schema")
    }

    fn schema(&mut self, id: NodeId, value: &mut Value) -> Check {
        let Some(node) = self.nodes.get(id) else {
            return Ok(());
        };
        let Some(left) = self.steps_left.checked_sub(1).filter(|_| self.depth < DEEPEST) else {
            return Err(self.give_up());
        };
        self.steps_left = left;
        self.depth += 1;
        let result = self.node(node, value);
        self.depth -= 1;
        result
    }

    /// A schema whose failure is not the end: a failed attempt leaves the value as it was.
    fn attempt(&mut self, id: NodeId, value: &mut Value) -> Check {
        if !self.nodes.get(id).is_some_and(|node| node.fills) {
            return self.schema(id, value);
        }
        let mut copy = value.clone();
        self.schema(id, &mut copy)?;
        *value = copy;
        Ok(())
    }

    fn node(&mut self, node: &'a Node, value: &mut Value) -> Check {
        match node.always {
            Some(true) => return Ok(()),
            Some(false) => return Err(violation("expect false always")),
            None => {}
        }
        if node.accepts_reference && value.as_str().is_some_and(crate::reference::is_reference) {
            return Ok(());
        }
        if let Some(types) = &node.types {
            check_type(types, value)?;
        }
        if let Some(rules) = &node.object {
            if is_object(value) {
                self.object(rules, value)?;
            }
            if rules.must_be_empty && !is_empty(value) {
                return Err(violation("the input data should be an empty table"));
            }
        }
        if let Some(rules) = &node.array {
            match value {
                Value::Array(items) => self.array(rules, items)?,
                Value::Object(fields) if fields.is_empty() => self.array(rules, &mut [])?,
                _ => {}
            }
        }
        if let Value::String(text) = value {
            check_string(&node.string, text).unwrap_or_else(|GivenUp| Err(self.give_up()))?;
        }
        if let Value::Number(number) = value {
            check_number(&node.number, number.as_f64().unwrap_or(f64::NAN))?;
        }
        if let Some(options) = &node.options
            && !options.iter().any(|option| lua::equal(option, value))
        {
            return Err(violation("matches none of the enum values"));
        }
        self.compound(node, value)?;
        if node.names_allowed == Some(false) && is_table(value) && !is_empty(value) {
            return Err(violation("expect false always"));
        }
        if let (Some(format), Value::String(text)) = (node.format, &*value)
            && !format.accepts(text)
        {
            return Err(violation(format!("expect valid {} format but got: {text}", format.name())));
        }
        if let Some(constant) = &node.constant
            && !lua::equal(constant, value)
        {
            return Err(violation("failed to check const value"));
        }
        node.contains.map_or(Ok(()), |contains| self.contains(contains, value))
    }

    fn compound(&mut self, node: &'a Node, value: &mut Value) -> Check {
        for (index, id) in node.all_of.iter().enumerate() {
            self.schema(*id, value).map_err(|v| v.explain(format_args!("allOf {} failed: ", index + 1)))?;
        }
        if let Some(any_of) = &node.any_of {
            self.any_of(any_of, value)?;
        }
        if let Some(branches) = &node.one_of {
            self.one_of(branches, value)?;
        }
        if let Some(condition) = &node.condition {
            self.condition(condition, value)?;
        }
        if let Some(id) = node.not
            && self.schema(id, &mut value.clone()).is_ok()
        {
            return Err(violation("value wasn't supposed to match schema"));
        }
        Ok(())
    }

    fn object(&mut self, rules: &'a ObjectRules, value: &mut Value) -> Check {
        for property in &rules.properties {
            let name = &property.name;
            if let Some(field) = value.get_mut(name) {
                self.schema(property.node, field)
                    .map_err(|v| v.explain(format_args!("property \"{name}\" validation failed: ")).within(name))?;
                if let Some(dependency) = &property.dependency {
                    self.dependency(name, dependency, value)?;
                }
            } else if property.required {
                return Err(violation(format!("property \"{name}\" is required")));
            } else if let Some(default) = &property.default {
                insert(value, name, default);
            }
        }
        for name in &rules.required {
            if value.get(name).is_none() {
                return Err(violation(format!("property \"{name}\" is required")));
            }
        }
        for (name, dependency) in &rules.dependencies {
            if value.get(name).is_some() {
                self.dependency(name, dependency, value)?;
            }
        }
        let mut count = 0;
        if let Value::Object(fields) = value {
            self.undeclared(rules, fields)?;
            count = fields.len() as u64;
        }
        if let Some(min) = rules.min.filter(|min| count < *min) {
            return Err(violation(format!("expect object to have at least {min} properties")));
        }
        if let Some(max) = rules.max.filter(|max| count > *max) {
            return Err(violation(format!("expect object to have at most {max} properties")));
        }
        Ok(())
    }

    fn dependency(&mut self, name: &str, dependency: &Dependency, value: &mut Value) -> Check {
        match dependency {
            Dependency::Names(names) => match names.iter().find(|needed| value.get(needed.as_str()).is_none()) {
                Some(needed) => Err(violation(format!("property \"{needed}\" is required when \"{name}\" is set"))),
                None => Ok(()),
            },
            Dependency::Schema(id) => self
                .schema(*id, value)
                .map_err(|v| v.explain(format_args!("failed to validate dependent schema for \"{name}\": "))),
        }
    }

    /// `patternProperties` and `additionalProperties`.
    fn undeclared(&mut self, rules: &ObjectRules, fields: &mut Map<String, Value>) -> Check {
        let lenient = matches!(rules.additional, Additional::Unsaid | Additional::Any);
        if lenient && rules.patterns.is_empty() {
            return Ok(());
        }
        for (name, field) in fields.iter_mut() {
            let mut matched = false;
            for (pattern, id) in &rules.patterns {
                if !pattern.is_match(name).map_err(|GivenUp| self.give_up())? {
                    continue;
                }
                self.schema(*id, field).map_err(|v| {
                    let source = pattern.source();
                    v.explain(format_args!("failed to validate {name} (matching \"{source}\"): ")).within(name)
                })?;
                matched = true;
            }
            if lenient || matched || rules.declared.contains(name) {
                continue;
            }
            let Additional::Schema(id) = rules.additional else {
                return Err(violation(format!("additional properties forbidden, found {name}")).within(name));
            };
            self.schema(id, field)
                .map_err(|v| v.explain(format_args!("failed to validate additional property {name}: ")).within(name))?;
        }
        Ok(())
    }

    fn array(&mut self, rules: &ArrayRules, items: &mut [Value]) -> Check {
        let count = items.len() as u64;
        if let Some(min) = rules.min.filter(|min| count < *min) {
            return Err(violation(format!("expect array to have at least {min} items")));
        }
        if let Some(max) = rules.max.filter(|max| count > *max) {
            return Err(violation(format!("expect array to have at most {max} items")));
        }
        match &rules.items {
            Items::Any => {}
            Items::Forbidden if items.is_empty() => {}
            Items::Forbidden => return Err(violation("expect false always")),
            Items::Each(id) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.item(*id, index, item, "item")?;
                }
            }
            Items::Tuple { items: schemas, additional } => {
                for (index, item) in items.iter_mut().enumerate() {
                    match (schemas.get(index), additional) {
                        (Some(id), _) => self.item(*id, index, item, "item")?,
                        (None, Additional::Schema(id)) => self.item(*id, index, item, "additional item")?,
                        (None, Additional::Forbidden) => {
                            return Err(violation("found unexpected extra items in array"));
                        }
                        (None, Additional::Unsaid | Additional::Any) => {}
                    }
                }
            }
        }
        if rules.unique
            && let Some((first, second)) = lua::equal_items(items)
        {
            return Err(violation(format!("expected unique items but items {first} and {second} are equal")));
        }
        Ok(())
    }

    fn item(&mut self, id: NodeId, index: usize, item: &mut Value, what: &str) -> Check {
        self.schema(id, item).map_err(|v| {
            v.explain(format_args!("failed to validate {what} {}: ", index + 1)).within(&index.to_string())
        })
    }

    fn any_of(&mut self, any_of: &AnyOf, value: &mut Value) -> Check {
        if any_of.branches.iter().any(|id| self.attempt(*id, value).is_ok()) {
            return Ok(());
        }
        Err(violation(format!("object matches none of the required{}", any_of.requires)))
    }

    fn one_of(&mut self, branches: &[NodeId], value: &mut Value) -> Check {
        let mut matched = None;
        for (index, id) in branches.iter().enumerate() {
            if self.attempt(*id, value).is_err() {
                continue;
            }
            if let Some(first) = matched.replace(index + 1) {
                return Err(violation(format!(
                    "value should match only one schema, but matches both schemas {first} and {}",
                    index + 1
                )));
            }
        }
        match matched {
            Some(_) => Ok(()),
            None => Err(violation("value should match only one schema, but matches none")),
        }
    }

    fn condition(&mut self, condition: &Condition, value: &mut Value) -> Check {
        let (branch, name) = match self.attempt(condition.test, value) {
            Ok(()) => (condition.then, "then"),
            Err(_) => (condition.otherwise, "else"),
        };
        match branch {
            Some(id) if self.schema(id, value).is_err() => Err(violation(format!("{name} clause did not match"))),
            _ => Ok(()),
        }
    }

    fn contains(&mut self, contains: Contains, value: &mut Value) -> Check {
        match (contains, value) {
            (Contains::Anything, Value::Array(items)) if !items.is_empty() => Ok(()),
            (Contains::Anything, _) => Err(violation("check contains: expect array table")),
            (Contains::Nothing, Value::Array(_) | Value::Object(_)) => Err(violation("check contains: expect table")),
            (Contains::Schema(_), value) if is_empty(value) => Err(violation("check contains: empty array is invalid")),
            (Contains::Schema(id), Value::Array(items)) => {
                // Every item is looked at, as each that matches may receive defaults.
                let matching = items.iter_mut().filter_map(|item| self.attempt(id, item).ok()).count();
                if matching == 0 { Err(violation("failed to check contains")) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

impl Violation {
    fn explain(mut self, prefix: std::fmt::Arguments<'_>) -> Violation {
        self.message = format!("{prefix}{}", self.message);
        self
    }

    fn within(mut self, segment: &str) -> Violation {
        self.path = prepend(&self.path, segment);
        self
    }
}

fn insert(value: &mut Value, name: &str, default: &Value) {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Value::Object(fields) = value {
        fields.insert(name.to_owned(), default.clone());
    }
}
