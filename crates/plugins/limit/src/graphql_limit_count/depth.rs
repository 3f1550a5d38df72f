use super::document::{BadQuery, Document, MAX_EXPANSION, Selection};
use std::collections::HashMap;

/// How deep the operation is nested that will be executed, at least 1; of several the deepest.
pub(super) fn of(document: &Document) -> Result<usize, BadQuery> {
    let mut fragments = Depths { document, of_fragments: HashMap::new() };
    let mut deepest = 1;
    for operation in &document.operations {
        deepest = deepest.max(fragments.depth(&operation.selections, 0)? + 1);
    }
    Ok(deepest)
}

/// How deep those fragments are that were looked at.
struct Depths<'a> {
    document: &'a Document,
    /// `None` while it is looked at.
    of_fragments: HashMap<&'a str, Option<usize>>,
}

impl<'a> Depths<'a> {
    /// How deep the fields below a selection are nested.
    fn depth(&mut self, selections: &'a [Selection], above: usize) -> Result<usize, BadQuery> {
        if above > MAX_EXPANSION {
            return Err(BadQuery::Unreadable);
        }
        let mut deepest = 0;
        for selection in selections {
            let depth = match selection {
                Selection::Field(field) if field.selections.is_empty() => 0,
                Selection::Field(field) => self.depth(&field.selections, above + 1)? + 1,
                // Fragments are as deep as what stands in them.
                Selection::Inline(_, below) => self.depth(below, above + 1)?,
                Selection::Spread(name) => self.depth_of_fragment(name, above)?,
            };
            deepest = deepest.max(depth);
        }
        Ok(deepest)
    }

    /// Each fragment is looked at once.
    fn depth_of_fragment(&mut self, name: &'a str, above: usize) -> Result<usize, BadQuery> {
        match self.of_fragments.get(name) {
            Some(Some(depth)) => return Ok(*depth),
            Some(None) => return Err(BadQuery::Cycle),
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(0) };
        self.of_fragments.insert(name, None);
        let depth = self.depth(&fragment.selections, above + 1)?;
        self.of_fragments.insert(name, Some(depth));
        Ok(depth)
    }
}
