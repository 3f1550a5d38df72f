use apollo_parser::{
    Parser,
    cst::{Definition, OperationDefinition, Selection, SelectionSet},
};
use std::collections::HashMap;

/// How deep selections may be nested in each other, within one definition.
const MAX_NESTING: usize = 100;

/// How many tokens a document may have.
const MAX_TOKENS: usize = 15_000;

/// How deep selections and fragments may be nested in each other, all together.
const MAX_EXPANSION: usize = 400;

/// Why a document has no depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadQuery {
    #[error("failed to parse graphql query")]
    Unreadable,
    #[error("empty graphql query")]
    Empty,
    #[error("fragment spreads must not form cycles")]
    Cycle,
}

/// Fragments by name, and how deep those are that were looked at.
struct Fragments {
    selections: HashMap<String, SelectionSet>,
    /// `None` while it is looked at.
    depths: HashMap<String, Option<usize>>,
}

/// How deep the operation is nested that will be executed, at least 1; of all operations the deepest, where it is not said which.
pub(super) fn of(query: &str, operation_name: Option<&str>) -> Result<usize, BadQuery> {
    let tree = Parser::new(query).recursion_limit(MAX_NESTING).token_limit(MAX_TOKENS).parse();
    if tree.errors().next().is_some() {
        return Err(BadQuery::Unreadable);
    }
    let mut operations = Vec::new();
    let mut fragments = Fragments { selections: HashMap::new(), depths: HashMap::new() };
    for definition in tree.document().definitions() {
        match definition {
            Definition::FragmentDefinition(fragment) => {
                let name = fragment.fragment_name().and_then(|name| name.name()).map(|name| name.text().to_string());
                if let (Some(name), Some(selections)) = (name, fragment.selection_set())
                    && fragments.selections.insert(name, selections).is_some()
                {
                    // Which of the two counts is not the same everywhere.
                    return Err(BadQuery::Unreadable);
                }
            }
            Definition::OperationDefinition(operation) => operations.push(operation),
            _ => {}
        }
    }
    if operations.is_empty() {
        return Err(BadQuery::Empty);
    }
    let is_named = |operation: &&OperationDefinition| {
        operation_name.is_some_and(|wanted| operation.name().is_some_and(|name| name.text() == wanted))
    };
    let executed = match operations.iter().find(is_named) {
        Some(named) => std::slice::from_ref(named),
        None => &operations,
    };
    let mut deepest = 1;
    for selections in executed.iter().filter_map(OperationDefinition::selection_set) {
        deepest = deepest.max(fragments.depth(&selections, 0)? + 1);
    }
    Ok(deepest)
}

impl Fragments {
    /// How deep the fields below a selection are nested.
    fn depth(&mut self, selections: &SelectionSet, above: usize) -> Result<usize, BadQuery> {
        if above > MAX_EXPANSION {
            return Err(BadQuery::Unreadable);
        }
        let mut deepest = 0;
        for selection in selections.selections() {
            let depth = match selection {
                Selection::Field(field) => match field.selection_set() {
                    Some(below) => self.depth(&below, above + 1)? + 1,
                    None => 0,
                },
                // Fragments are as deep as what stands in them.
                Selection::InlineFragment(inline) => match inline.selection_set() {
                    Some(below) => self.depth(&below, above + 1)?,
                    None => 0,
                },
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name().and_then(|name| name.name());
                    match name {
                        Some(name) => self.depth_of_fragment(&name.text(), above)?,
                        None => 0,
                    }
                }
            };
            deepest = deepest.max(depth);
        }
        Ok(deepest)
    }

    /// Each fragment is looked at once.
    fn depth_of_fragment(&mut self, name: &str, above: usize) -> Result<usize, BadQuery> {
        match self.depths.get(name) {
            Some(Some(depth)) => return Ok(*depth),
            Some(None) => return Err(BadQuery::Cycle),
            None => {}
        }
        let Some(selections) = self.selections.get(name).cloned() else { return Ok(0) };
        self.depths.insert(name.to_owned(), None);
        let depth = self.depth(&selections, above + 1)?;
        self.depths.insert(name.to_owned(), Some(depth));
        Ok(depth)
    }
}
