//! What a GraphQL document says, as far as costs go.

use apollo_parser::{
    Parser,
    cst::{self, Definition},
};
use model::vars::number::parse_number;
use std::collections::HashMap;

/// How deep selections may be nested in each other, within one definition.
const MAX_NESTING: usize = 100;

/// How many tokens a document may have.
const MAX_TOKENS: usize = 15_000;

/// How deep selections and fragments may be nested in each other, all together.
pub(super) const MAX_EXPANSION: usize = 400;

/// Why a document has no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadQuery {
    #[error("failed to parse graphql query")]
    Unreadable,
    #[error("empty graphql query")]
    Empty,
    #[error("fragment spreads must not form cycles")]
    Cycle,
    #[error("the query expands too many selections")]
    TooLarge,
}

/// A document, with the operations that may be executed.
pub(super) struct Document {
    /// The one that is named, or all, where it is not said which.
    pub(super) operations: Vec<Operation>,
    pub(super) fragments: HashMap<String, Fragment>,
}

pub(super) struct Operation {
    name: Option<String>,
    pub(super) kind: OperationKind,
    /// Variables that have a default.
    pub(super) defaults: HashMap<String, Argument>,
    pub(super) selections: Vec<Selection>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OperationKind {
    Query,
    Mutation,
    Subscription,
}

pub(super) struct Fragment {
    /// The type that it is on.
    pub(super) on: String,
    pub(super) selections: Vec<Selection>,
}

pub(super) enum Selection {
    Field(Field),
    /// A fragment without a name; the type may be left out.
    Inline(Option<String>, Vec<Selection>),
    /// A fragment by its name.
    Spread(String),
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) arguments: Vec<(String, Argument)>,
    pub(super) selections: Vec<Selection>,
}

/// What stands for an argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    /// A number, or something else that is not one.
    Value(Option<f64>),
    Variable(String),
    /// A list or an object, of which there is no number.
    Composite,
}

impl Document {
    pub(super) fn parse(query: &str, operation_name: Option<&str>) -> Result<Self, BadQuery> {
        let tree = Parser::new(query).recursion_limit(MAX_NESTING).token_limit(MAX_TOKENS).parse();
        if tree.errors().next().is_some() {
            return Err(BadQuery::Unreadable);
        }
        let mut operations = Vec::new();
        let mut fragments = HashMap::new();
        for definition in tree.document().definitions() {
            match definition {
                Definition::FragmentDefinition(written) => {
                    let name = written.fragment_name().and_then(|name| name.name());
                    let on = written.type_condition();
                    if let (Some(name), Some(on)) = (name, on)
                        && fragments.insert(text(&name), Fragment::read(&on, written.selection_set())).is_some()
                    {
                        // Which of the two counts is not the same everywhere.
                        return Err(BadQuery::Unreadable);
                    }
                }
                Definition::OperationDefinition(written) => operations.push(Operation::read(&written)),
                _ => {}
            }
        }
        if operations.is_empty() {
            return Err(BadQuery::Empty);
        }
        if let Some(wanted) = operation_name
            && let Some(at) = operations.iter().position(|operation| operation.name.as_deref() == Some(wanted))
        {
            operations = vec![operations.swap_remove(at)];
        }
        Ok(Self { operations, fragments })
    }
}

impl Operation {
    fn read(written: &cst::OperationDefinition) -> Self {
        let kind = match written.operation_type() {
            Some(kind) if kind.mutation_token().is_some() => OperationKind::Mutation,
            Some(kind) if kind.subscription_token().is_some() => OperationKind::Subscription,
            _ => OperationKind::Query,
        };
        let variables = written.variable_definitions().into_iter().flat_map(|list| list.variable_definitions());
        let defaults = variables.filter_map(|variable| {
            let name = variable.variable()?.name()?;
            Some((text(&name), Argument::read(&variable.default_value()?.value()?)))
        });
        Self {
            name: written.name().as_ref().map(text),
            kind,
            defaults: defaults.collect(),
            selections: selections(written.selection_set()),
        }
    }
}

impl Fragment {
    fn read(on: &cst::TypeCondition, written: Option<cst::SelectionSet>) -> Self {
        Self { on: named(on).unwrap_or_default(), selections: selections(written) }
    }
}

impl Argument {
    fn read(written: &cst::Value) -> Self {
        let number = |text: &str| Self::Value(parse_number(text.as_bytes()));
        match written {
            cst::Value::Variable(variable) => match variable.name() {
                Some(name) => Self::Variable(text(&name)),
                None => Self::Value(None),
            },
            cst::Value::IntValue(value) => value.int_token().map_or(Self::Value(None), |token| number(token.text())),
            cst::Value::FloatValue(value) => {
                value.float_token().map_or(Self::Value(None), |token| number(token.text()))
            }
            cst::Value::StringValue(value) => number(&String::from(value)),
            cst::Value::EnumValue(value) => value.name().map_or(Self::Value(None), |name| number(&name.text())),
            cst::Value::BooleanValue(_) | cst::Value::NullValue(_) => Self::Value(None),
            cst::Value::ListValue(_) | cst::Value::ObjectValue(_) => Self::Composite,
        }
    }
}

fn selections(written: Option<cst::SelectionSet>) -> Vec<Selection> {
    let Some(written) = written else { return Vec::new() };
    let one = |selection| match selection {
        cst::Selection::Field(field) => {
            let arguments = field.arguments().into_iter().flat_map(|list| list.arguments());
            let arguments =
                arguments.filter_map(|argument| Some((text(&argument.name()?), Argument::read(&argument.value()?))));
            Some(Selection::Field(Field {
                name: text(&field.name()?),
                arguments: arguments.collect(),
                selections: selections(field.selection_set()),
            }))
        }
        cst::Selection::InlineFragment(inline) => {
            let on = inline.type_condition().as_ref().and_then(named);
            Some(Selection::Inline(on, selections(inline.selection_set())))
        }
        cst::Selection::FragmentSpread(spread) => Some(Selection::Spread(text(&spread.fragment_name()?.name()?))),
    };
    written.selections().filter_map(one).collect()
}

fn named(condition: &cst::TypeCondition) -> Option<String> {
    condition.named_type()?.name().as_ref().map(text)
}

fn text(name: &cst::Name) -> String {
    name.text().to_string()
}
