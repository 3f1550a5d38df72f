//! Members of a JSON text that have no place in it, and the text without them.

use super::shapes::{ShapeId, Shapes};
use crate::content::Tree;
use std::borrow::Cow;

/// How often a text may be looked at again to choose between schemas.
const LOOKS: usize = 64;
const FREE: usize = 1 << 20;

/// A member that has no place, and the bytes that go with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// A JSON pointer.
    pub(super) path: String,
    /// It, and the comma that it does not need any more.
    from: usize,
    to: usize,
}

/// Too many schemas would have to be tried.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// The members of a text that are not declared, or hidden; `value` is what the text says, which has no name twice.
pub(super) fn find(shapes: &Shapes, shape: ShapeId, text: &[u8], value: &Tree<'_>) -> Result<Vec<Member>, TooMuch> {
    let left = text.len().saturating_mul(LOOKS).saturating_add(FREE);
    let mut walk = Walk { shapes, text, at: 0, path: Vec::new(), found: Vec::new(), left };
    walk.value(&[shape], value)?;
    Ok(walk.found)
}

/// The text without these members, and otherwise byte for byte as it is.
pub(super) fn without(text: &[u8], members: &[Member]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(text.len());
    let mut at = 0;
    for member in members {
        rest.extend_from_slice(text.get(at..member.from).unwrap_or_default());
        at = member.to;
    }
    rest.extend_from_slice(text.get(at..).unwrap_or_default());
    rest
}

/// Goes along a text that is known to be JSON.
struct Walk<'a> {
    shapes: &'a Shapes,
    text: &'a [u8],
    at: usize,
    path: Vec<Step<'a>>,
    found: Vec<Member>,
    /// Bytes that may still be looked at again.
    left: usize,
}

enum Step<'a> {
    Name(Cow<'a, str>),
    Index(usize),
}

impl<'a> Walk<'a> {
    fn value(&mut self, shapes: &[ShapeId], value: &Tree<'_>) -> Result<(), TooMuch> {
        if shapes.is_empty() || (value.members().is_none() && value.items().is_none()) {
            self.skip();
            return Ok(());
        }
        let (text, at) = (self.text, self.at);
        let left = &mut self.left;
        let mut length = None;
        let applied = self.shapes.applied(shapes, value, |schemas| {
            let length = *length.get_or_insert_with(|| end_of_value(text, at) - at);
            *left = left.checked_sub(schemas.saturating_mul(length)).ok_or(TooMuch)?;
            Ok(())
        })?;
        match value {
            Tree::Array(items) => self.array(&applied, items)?,
            _ if !self.shapes.lists_members(&applied) => self.skip(),
            _ => self.object(&applied, value)?,
        }
        Ok(())
    }

    fn array(&mut self, applied: &[ShapeId], items: &[Tree<'_>]) -> Result<(), TooMuch> {
        self.at += 1;
        for (index, item) in items.iter().enumerate() {
            self.separator();
            self.path.push(Step::Index(index));
            self.value(&self.shapes.item(applied, index), item)?;
            self.path.pop();
        }
        self.separator();
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, applied: &[ShapeId], value: &Tree<'_>) -> Result<(), TooMuch> {
        self.at += 1;
        // Where a member begins that goes, with no other before it that stays.
        let mut first = None;
        let (mut before, mut keeps_any) = (self.at, false);
        loop {
            self.separator();
            if self.text.get(self.at) != Some(&b'"') {
                break;
            }
            let start = self.at;
            if let Some(from) = first.take() {
                self.end_last(from, start);
            }
            let name = self.name();
            let declared = self.shapes.member(applied, &name);
            let declared = declared.filter(|shapes| !shapes.iter().any(|id| self.shapes.is_hidden(*id)));
            let inner = value.get(&name).unwrap_or(&Tree::Null);
            self.path.push(Step::Name(name));
            match declared {
                Some(shapes) => {
                    self.value(&shapes, inner)?;
                    keeps_any = true;
                }
                None => {
                    self.skip();
                    let path = self.pointer();
                    let (from, to) = if keeps_any { (before, self.at) } else { (start, self.at) };
                    self.found.push(Member { path, from, to });
                    first = (!keeps_any).then_some(start);
                }
            }
            self.path.pop();
            before = self.at;
        }
        self.at += 1;
        Ok(())
    }

    /// A member that goes takes with it what is between it and the next.
    fn end_last(&mut self, from: usize, to: usize) {
        if let Some(last) = self.found.last_mut().filter(|last| last.from == from) {
            last.to = to;
        }
    }

    /// Goes over a comma and the space around it.
    fn separator(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t' | b',')) {
            self.at += 1;
        }
    }

    /// A name and its colon, up to the value.
    fn name(&mut self) -> Cow<'a, str> {
        let start = self.at;
        self.at = end_of_string(self.text, start);
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t' | b':')) {
            self.at += 1;
        }
        let plain = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        match std::str::from_utf8(plain) {
            Ok(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
            _ => Cow::Owned(serde_json::from_slice(quoted).unwrap_or_default()),
        }
    }

    fn skip(&mut self) {
        self.at = end_of_value(self.text, self.at);
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Name(name) => pointer.push_str(&super::convert::escape(name)),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }
}

/// Behind the text in quotes that begins at `at`.
fn end_of_string(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(found) if rest.get(found) == Some(&b'"') => return at + found + 1,
            Some(found) => at += found + 2,
            None => return text.len(),
        }
    }
}

/// Behind the value that begins at `at`.
fn end_of_value(text: &[u8], at: usize) -> usize {
    let (mut at, mut depth) = (at, 0_usize);
    loop {
        match text.get(at) {
            Some(b'"') => at = end_of_string(text, at),
            Some(b'{' | b'[') => {
                depth += 1;
                at += 1;
            }
            Some(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            Some(b' ' | b'\n' | b'\r' | b'\t' | b',' | b':') => {
                at += 1;
                continue;
            }
            Some(_) => {
                let rest = text.get(at..).unwrap_or_default();
                at += rest.iter().position(|b| b" \n\r\t,:]}".contains(b)).unwrap_or(rest.len());
            }
            None => return text.len(),
        }
        if depth == 0 {
            return at;
        }
    }
}
