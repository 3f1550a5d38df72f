//! A schema as compiled: each keyword that is present, in a form that cannot be invalid.

use std::collections::HashSet;

use serde_json::Value;

use super::format::Format;
use super::matcher::Matcher;

/// Index of a node in its schema.
pub(super) type NodeId = usize;

/// One (sub)schema.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The schema is just `true` or `false`.
    pub(super) always: Option<bool>,
    /// A secret reference stands for a string that is only known later, so it passes unchecked.
    pub(super) accepts_reference: bool,
    pub(super) types: Option<Types>,
    pub(super) object: Option<Box<ObjectRules>>,
    pub(super) array: Option<Box<ArrayRules>>,
    pub(super) string: StringRules,
    pub(super) number: NumberRules,
    pub(super) options: Option<Vec<Value>>,
    pub(super) all_of: Vec<NodeId>,
    pub(super) any_of: Option<AnyOf>,
    pub(super) one_of: Option<Vec<NodeId>>,
    pub(super) condition: Option<Condition>,
    pub(super) not: Option<NodeId>,
    pub(super) names_allowed: Option<bool>,
    pub(super) format: Option<Format>,
    pub(super) constant: Option<Value>,
    pub(super) contains: Option<Contains>,
    /// Checking may change the value, so a branch must be tried on a copy.
    pub(super) fills: bool,
}

#[derive(Debug)]
pub(super) struct Types {
    pub(super) any: Vec<Type>,
    /// `string`, or `one of string, integer`.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Object,
    Array,
    Table,
    Integer,
    Number,
    String,
    Boolean,
    Null,
    /// Lua's; nothing in JSON is one.
    Function,
}

#[derive(Debug, Default)]
pub(super) struct ObjectRules {
    pub(super) properties: Vec<Property>,
    /// Whether `properties` is written, be it without a name in it.
    pub(super) is_declared: bool,
    /// The names in `properties`.
    pub(super) declared: HashSet<String>,
    /// Required names that are not in `properties`.
    pub(super) required: Vec<String>,
    /// `required: []`, which the library reads as "must be empty".
    pub(super) must_be_empty: bool,
    /// Dependencies of names that are not in `properties`.
    pub(super) dependencies: Vec<(String, Dependency)>,
    pub(super) patterns: Vec<(Matcher, NodeId)>,
    pub(super) additional: Additional,
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) node: NodeId,
    pub(super) required: bool,
    pub(super) default: Option<Value>,
    pub(super) dependency: Option<Dependency>,
}

#[derive(Debug)]
pub(super) enum Dependency {
    Names(Vec<String>),
    Schema(NodeId),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Additional {
    /// The keyword is absent.
    #[default]
    Unsaid,
    /// `true`.
    Any,
    /// `false`.
    Forbidden,
    Schema(NodeId),
}

#[derive(Debug, Default)]
pub(super) struct ArrayRules {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) items: Items,
    pub(super) unique: bool,
}

#[derive(Debug, Default)]
pub(super) enum Items {
    #[default]
    Any,
    Forbidden,
    Each(NodeId),
    Tuple {
        items: Vec<NodeId>,
        additional: Additional,
    },
}

#[derive(Debug, Default)]
pub(super) struct StringRules {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) pattern: Option<Matcher>,
}

#[derive(Debug, Default)]
pub(super) struct NumberRules {
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_maximum: Option<f64>,
    pub(super) multiple_of: Option<f64>,
}

#[derive(Debug)]
pub(super) struct AnyOf {
    pub(super) branches: Vec<NodeId>,
    /// `: ["a"] or ["b"]`, or nothing when no branch requires anything.
    pub(super) requires: String,
}

#[derive(Debug)]
pub(super) struct Condition {
    pub(super) test: NodeId,
    pub(super) then: Option<NodeId>,
    pub(super) otherwise: Option<NodeId>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Contains {
    Anything,
    Nothing,
    Schema(NodeId),
}

impl Node {
    /// The subschemas that apply to the same value.
    pub(super) fn same_value(&self) -> impl Iterator<Item = NodeId> + '_ {
        let object = self.object.as_deref().into_iter();
        let properties = object.clone().flat_map(|object| &object.properties);
        let dependencies = properties
            .filter_map(|property| property.dependency.as_ref())
            .chain(object.flat_map(|object| object.dependencies.iter().map(|(_, dependency)| dependency)))
            .filter_map(|dependency| match dependency {
                Dependency::Schema(id) => Some(*id),
                Dependency::Names(_) => None,
            });
        let condition = self.condition.iter().flat_map(|c| [Some(c.test), c.then, c.otherwise]).flatten();
        let any_of = self.any_of.iter().flat_map(|any_of| &any_of.branches);
        let one_of = self.one_of.iter().flatten();
        self.all_of.iter().chain(any_of).chain(one_of).copied().chain(condition).chain(dependencies)
    }

    /// The subschemas that apply to fields and items of the value.
    pub(super) fn inner_values(&self) -> impl Iterator<Item = NodeId> + '_ {
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
            each.into_iter().chain(tuple.iter().copied()).chain(additional)
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
