//! The names of the objects that are open, to find one that comes twice.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    ops::Range,
};

/// So many names are compared one by one, which is faster than hashing them.
const FEW: usize = 16;

/// Names of open objects, those of the innermost last: where they are in the text.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: Vec<Name>,
    objects: Vec<Object>,
    /// Clients choose the names, so the hash has a key of its own.
    hash: RandomState,
}

#[derive(Debug, Clone)]
struct Name {
    place: Range<usize>,
    has_escapes: bool,
}

/// An open object.
#[derive(Debug)]
struct Object {
    /// Where its names begin.
    start: usize,
    /// Its names by their hashes, once they are many.
    many: Option<HashMap<u64, Name>>,
}

impl Name {
    /// What it stands for. Its escapes are right.
    fn read<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let written = text.get(self.place.clone()).unwrap_or_default();
        if self.has_escapes { Cow::Owned(unescape(written)) } else { Cow::Borrowed(written) }
    }
}

impl Names {
    pub(super) fn enter(&mut self) {
        self.objects.push(Object { start: self.all.len(), many: None });
    }

    pub(super) fn leave(&mut self) {
        if let Some(object) = self.objects.pop() {
            self.all.truncate(object.start);
        }
    }

    /// Adds a name to the innermost object; whether it was not there.
    pub(super) fn add(&mut self, text: &[u8], place: Range<usize>, has_escapes: bool) -> bool {
        let name = Name { place, has_escapes };
        let read = name.read(text);
        let Self { all, objects, hash } = self;
        let Some(object) = objects.last_mut() else { return true };
        let own = all.get(object.start..).unwrap_or_default();
        // Names that are written in another length differ, unless something is escaped in one of them.
        let may_be = |other: &Name| other.place.len() == name.place.len() || other.has_escapes || name.has_escapes;
        if own.iter().any(|other| may_be(other) && other.read(text) == read) {
            return false;
        }
        let Some(many) = &mut object.many else {
            all.push(name);
            if all.len() - object.start > FEW {
                let mut many = HashMap::default();
                let few: Vec<Name> = all.drain(object.start..).collect();
                for name in few {
                    let key = hash.hash_one(&*name.read(text));
                    all.extend(many.insert(key, name));
                }
                object.many = Some(many);
            }
            return true;
        };
        match many.entry(hash.hash_one(&*read)) {
            Entry::Vacant(entry) => {
                entry.insert(name);
            }
            Entry::Occupied(entry) if entry.get().read(text) == read => return false,
            // Two names of one hash: as good as never, and then they are compared one by one.
            Entry::Occupied(_) => all.push(name),
        }
        true
    }
}

/// The text that a valid JSON string stands for.
fn unescape(name: &[u8]) -> Vec<u8> {
    let quoted = [b"\"", name, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| name.to_vec(), String::into_bytes)
}
