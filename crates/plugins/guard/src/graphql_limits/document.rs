//! What a GraphQL document costs.

use apollo_parser::{
    Parser,
    cst::{
        CstChildren, Definition, Directive, Document, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
    },
};
use std::collections::HashMap;

/// How deep the parser goes, and how many fragments and fields may be entered within each other.
const DEEPEST: usize = 200;

/// How much an operation may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) depth: usize,
    pub(super) fields: usize,
    pub(super) aliases: usize,
    pub(super) directives: usize,
    pub(super) tokens: usize,
    pub(super) allows_introspection: bool,
}

/// What is wrong with a document, in a closed set of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("the GraphQL document cannot be read")]
    Syntax,
    #[error("the GraphQL document has too many tokens, or is nested too deeply to be read")]
    Tokens,
    #[error("the GraphQL document has no operation")]
    Empty,
    #[error("the GraphQL document defines types")]
    Types,
    #[error("two fragments of the GraphQL document have the same name")]
    Ambiguous,
    #[error("a fragment of the GraphQL document is not there, or comes back to itself")]
    Fragment,
    #[error("the GraphQL operation is nested too deeply")]
    Depth,
    #[error("the GraphQL operation asks for too many fields")]
    Fields,
    #[error("the GraphQL operation has too many aliases")]
    Aliases,
    #[error("the GraphQL operation has too many directives")]
    Directives,
    #[error("introspection is not allowed")]
    Introspection,
    #[error("only queries can be sent with GET")]
    Method,
}

/// What a selection costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cost {
    depth: usize,
    fields: usize,
    aliases: usize,
    directives: usize,
    introspects: bool,
}

impl Cost {
    /// Beside each other.
    fn add(&mut self, other: Self) {
        self.depth = self.depth.max(other.depth);
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.introspects |= other.introspects;
    }
}

/// Checks every operation of a document, for which of them will be executed is the server's choice.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn check(text: &str, only_queries: bool, limits: &Limits) -> Result<(), Wrong> {
    let tree = Parser::new(text).recursion_limit(DEEPEST).token_limit(limits.tokens).parse();
    if tree.errors().any(apollo_parser::Error::is_limit) {
        return Err(Wrong::Tokens);
    }
    if tree.errors().next().is_some() {
        return Err(Wrong::Syntax);
    }
    let mut costs = Costs { fragments: HashMap::new(), depth: 0 };
    let operations = costs.take(&tree.document())?;
    if operations.is_empty() {
        return Err(Wrong::Empty);
    }
    for operation in &operations {
        if only_queries && operation.operation_type().is_some_and(|kind| kind.query_token().is_none()) {
            return Err(Wrong::Method);
        }
        let cost = costs.operation(operation)?;
        for (exceeds, wrong) in [
            (cost.introspects && !limits.allows_introspection, Wrong::Introspection),
            (cost.depth > limits.depth, Wrong::Depth),
            (cost.fields > limits.fields, Wrong::Fields),
            (cost.aliases > limits.aliases, Wrong::Aliases),
            (cost.directives > limits.directives, Wrong::Directives),
        ] {
            if exceeds {
                return Err(wrong);
            }
        }
    }
    Ok(())
}

/// A fragment, and what is known of it.
enum Fragment {
    Unknown(FragmentDefinition),
    /// It is being looked at: whoever comes here again goes in a circle.
    Entered,
    Known(Cost),
}

struct Costs {
    fragments: HashMap<String, Fragment>,
    depth: usize,
}

impl Costs {
    /// Takes the fragments in, and gives the operations.
    fn take(&mut self, document: &Document) -> Result<Vec<OperationDefinition>, Wrong> {
        let mut operations = Vec::new();
        for definition in document.definitions() {
            match definition {
                Definition::OperationDefinition(operation) => operations.push(operation),
                Definition::FragmentDefinition(fragment) => {
                    let name = fragment.fragment_name().and_then(|name| name.name()).ok_or(Wrong::Syntax)?;
                    let name = name.text().to_string();
                    if self.fragments.insert(name, Fragment::Unknown(fragment)).is_some() {
                        return Err(Wrong::Ambiguous);
                    }
                }
                _ => return Err(Wrong::Types),
            }
        }
        Ok(operations)
    }

    fn operation(&mut self, operation: &OperationDefinition) -> Result<Cost, Wrong> {
        let mut cost = self.set(operation.selection_set())?;
        cost.directives = cost.directives.saturating_add(count(operation.directives().map(|all| all.directives())));
        for variable in operation.variable_definitions().into_iter().flat_map(|all| all.variable_definitions()) {
            cost.directives = cost.directives.saturating_add(count(variable.directives().map(|all| all.directives())));
        }
        Ok(cost)
    }

    fn set(&mut self, set: Option<SelectionSet>) -> Result<Cost, Wrong> {
        let mut cost = Cost::default();
        let Some(set) = set else { return Ok(cost) };
        if self.depth >= DEEPEST {
            return Err(Wrong::Depth);
        }
        self.depth += 1;
        for selection in set.selections() {
            cost.add(self.selection(selection)?);
        }
        self.depth -= 1;
        Ok(cost)
    }

    fn selection(&mut self, selection: Selection) -> Result<Cost, Wrong> {
        let (mut cost, directives) = match selection {
            Selection::Field(field) => {
                let mut cost = self.set(field.selection_set())?;
                cost.depth += 1;
                cost.fields = cost.fields.saturating_add(1);
                cost.aliases = cost.aliases.saturating_add(usize::from(field.alias().is_some()));
                let name = field.name().ok_or(Wrong::Syntax)?;
                cost.introspects |= matches!(&*name.text(), "__schema" | "__type");
                (cost, field.directives())
            }
            Selection::InlineFragment(inline) => (self.set(inline.selection_set())?, inline.directives()),
            Selection::FragmentSpread(spread) => {
                let name = spread.fragment_name().and_then(|name| name.name()).ok_or(Wrong::Syntax)?;
                (self.fragment(&name.text())?, spread.directives())
            }
        };
        cost.directives = cost.directives.saturating_add(count(directives.map(|all| all.directives())));
        Ok(cost)
    }

    /// Each fragment is looked at once, so that fragments of fragments take no more time than they have text.
    fn fragment(&mut self, name: &str) -> Result<Cost, Wrong> {
        let state = self.fragments.get_mut(name).ok_or(Wrong::Fragment)?;
        let definition = match std::mem::replace(state, Fragment::Entered) {
            Fragment::Unknown(definition) => definition,
            Fragment::Entered => return Err(Wrong::Fragment),
            Fragment::Known(cost) => {
                *state = Fragment::Known(cost);
                return Ok(cost);
            }
        };
        let mut cost = self.set(definition.selection_set())?;
        cost.directives = cost.directives.saturating_add(count(definition.directives().map(|all| all.directives())));
        self.fragments.insert(name.to_owned(), Fragment::Known(cost));
        Ok(cost)
    }
}

fn count(directives: Option<CstChildren<Directive>>) -> usize {
    directives.map_or(0, Iterator::count)
}
