//! The names of the objects that are open, to find one that comes twice.

use std::{borrow::Cow, collections::HashSet};

/// So many names are compared one by one, which is faster than hashing them.
const FEW: usize = 16;

/// Names of open objects, those of the innermost last.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    all: Vec<Cow<'a, [u8]>>,
    objects: Vec<Object<'a>>,
}

/// An open object.
#[derive(Debug)]
struct Object<'a> {
    /// Where its names begin.
    start: usize,
    /// Its names once they are many. Clients choose them, so the set has a key of its own.
    many: Option<HashSet<Cow<'a, [u8]>>>,
}

impl<'a> Names<'a> {
    pub(super) fn enter(&mut self) {
        self.objects.push(Object { start: self.all.len(), many: None });
    }

    pub(super) fn leave(&mut self) {
        if let Some(object) = self.objects.pop() {
            self.all.truncate(object.start);
        }
    }

    /// Adds a name to the innermost object; whether it was not there. Its escapes are right.
    pub(super) fn add(&mut self, name: &'a [u8], has_escapes: bool) -> bool {
        let name = if has_escapes { Cow::Owned(unescape(name)) } else { Cow::Borrowed(name) };
        let Some(object) = self.objects.last_mut() else { return true };
        if let Some(many) = &mut object.many {
            return many.insert(name);
        }
        let own = self.all.get(object.start..).unwrap_or_default();
        if own.contains(&name) {
            return false;
        }
        self.all.push(name);
        if self.all.len() - object.start > FEW {
            object.many = Some(self.all.drain(object.start..).collect());
        }
        true
    }
}

/// The text that a valid JSON string stands for.
fn unescape(name: &[u8]) -> Vec<u8> {
    let quoted = [b"\"", name, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| name.to_vec(), String::into_bytes)
}
