//! JSON as it stands in a text: what is in it is borrowed, and nothing is looked up by hashes. Schemas are checked on it.

use super::text::special;
use jsonschema::{
    JsonType,
    json::{Array, Json, Node, NodeIdentity, Object, SerdeJson},
};
use serde_json::{Number, Value};
use std::borrow::Cow;

/// As deep as `serde_json` reads.
const DEEPEST: usize = model::json::Limits::DEEPEST;

/// So many members are looked at one by one, which is faster than looking them up.
const FEW: usize = 16;

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Tree<'t> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'t, str>),
    Array(Vec<Tree<'t>>),
    Object(Members<'t>),
    /// One that is elsewhere.
    Other(&'t Tree<'t>),
}

/// Members of an object, in the order in which they stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members<'t> {
    list: Vec<(Cow<'t, str>, Tree<'t>)>,
    /// Their places by their names, where they are many.
    order: Vec<u32>,
}

impl<'t> Tree<'t> {
    /// Reads a text that is one value, in which no name comes twice in an object. `None` where it is not; [`model::json::parse`] says why.
    pub(crate) fn parse(text: &'t [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut reader = Reader { text, at: 0 };
        reader.space();
        let tree = reader.value(DEEPEST)?;
        reader.space();
        (reader.at == text.len()).then_some(tree)
    }

    /// The same as a value that was read otherwise.
    pub(crate) fn of(value: &'t Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::String(Cow::Borrowed(text)),
            Value::Array(list) => Self::Array(list.iter().map(Self::of).collect()),
            Value::Object(map) => {
                let list = map.iter().map(|(name, value)| (Cow::Borrowed(name.as_str()), Self::of(value)));
                Self::Object(Members::unsorted(list.collect()))
            }
        }
    }

    /// An object of one member.
    pub(crate) fn object_of(name: &'t str, value: &'t Self) -> Self {
        Self::Object(Members { list: vec![(Cow::Borrowed(name), Tree::Other(value))], order: Vec::new() })
    }

    pub(crate) fn members(&self) -> Option<&Members<'t>> {
        match self {
            Self::Object(members) => Some(members),
            Self::Other(other) => other.members(),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> Option<&[Tree<'t>]> {
        match self {
            Self::Array(items) => Some(items),
            Self::Other(other) => other.items(),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Other(other) => other.text(),
            _ => None,
        }
    }

    /// The member of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Tree<'t>> {
        self.members()?.get(name)
    }

    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(number) => Value::Number(number.clone()),
            Self::String(text) => Value::String(text.clone().into_owned()),
            Self::Array(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(members) => {
                members.list.iter().map(|(name, value)| (name.clone().into_owned(), value.to_value())).collect()
            }
            Self::Other(other) => Tree::to_value(other),
        }
    }

    fn here(&self) -> &Self {
        match self {
            Self::Other(other) => other.here(),
            tree => tree,
        }
    }
}

impl<'t> Members<'t> {
    /// `None` where a name comes twice.
    fn new(list: Vec<(Cow<'t, str>, Tree<'t>)>) -> Option<Self> {
        if list.len() <= FEW {
            let is_new = |(at, (name, _)): (usize, &(Cow<'t, str>, Tree<'t>))| {
                !list.iter().take(at).any(|(other, _)| other == name)
            };
            return list.iter().enumerate().all(is_new).then_some(Self { list, order: Vec::new() });
        }
        let members = Self::unsorted(list);
        let names = members.order.iter().filter_map(|&at| members.name(at));
        let is_unique = names.clone().zip(names.skip(1)).all(|(one, next)| one != next);
        is_unique.then_some(members)
    }

    fn unsorted(list: Vec<(Cow<'t, str>, Tree<'t>)>) -> Self {
        let mut members = Self { list, order: Vec::new() };
        if let (true, Ok(count)) = (members.list.len() > FEW, u32::try_from(members.list.len())) {
            let mut order: Vec<u32> = (0..count).collect();
            order.sort_unstable_by(|one, other| members.name(*one).cmp(&members.name(*other)));
            members.order = order;
        }
        members
    }

    fn name(&self, at: u32) -> Option<&str> {
        self.list.get(at as usize).map(|(name, _)| &**name)
    }

    fn get(&self, name: &str) -> Option<&Tree<'t>> {
        if self.order.is_empty() {
            return self.list.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        }
        let found = self.order.binary_search_by(|&at| self.name(at).unwrap_or_default().cmp(name)).ok()?;
        let at = *self.order.get(found)?;
        self.list.get(at as usize).map(|(_, value)| value)
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn value(&mut self, left: usize) -> Option<Tree<'t>> {
        Some(match self.peek()? {
            b'{' => Tree::Object(self.object(left.checked_sub(1)?)?),
            b'[' => Tree::Array(self.array(left.checked_sub(1)?)?),
            b'"' => Tree::String(self.string()?),
            b't' => self.word("true", Tree::Bool(true))?,
            b'f' => self.word("false", Tree::Bool(false))?,
            b'n' => self.word("null", Tree::Null)?,
            _ => Tree::Number(self.number()?),
        })
    }

    fn object(&mut self, left: usize) -> Option<Members<'t>> {
        self.at += 1;
        self.space();
        let mut list = Vec::new();
        if self.take(b'}') {
            return Some(Members::default());
        }
        loop {
            if self.peek()? != b'"' {
                return None;
            }
            let name = self.string()?;
            self.space();
            self.take(b':').then_some(())?;
            self.space();
            list.push((name, self.value(left)?));
            self.space();
            if self.take(b'}') {
                return Members::new(list);
            }
            self.take(b',').then_some(())?;
            self.space();
        }
    }

    fn array(&mut self, left: usize) -> Option<Vec<Tree<'t>>> {
        self.at += 1;
        self.space();
        let mut items = Vec::new();
        if self.take(b']') {
            return Some(items);
        }
        loop {
            items.push(self.value(left)?);
            self.space();
            if self.take(b']') {
                return Some(items);
            }
            self.take(b',').then_some(())?;
            self.space();
        }
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            at = special(bytes, at);
            match bytes.get(at)? {
                b'"' => break,
                // Whatever is escaped is no quote of ours.
                b'\\' => at += 2,
                _ => return None,
            }
        }
        self.at = at + 1;
        let plain = self.text.get(start + 1..at)?;
        if !plain.contains('\\') {
            return Some(Cow::Borrowed(plain));
        }
        serde_json::from_str(self.text.get(start..=at)?).ok().map(Cow::Owned)
    }

    fn number(&mut self) -> Option<Number> {
        let rest = self.text.get(self.at..)?;
        let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
        let end = rest.bytes().position(|b| !is_part(b)).unwrap_or(rest.len());
        let text = rest.get(..end)?;
        self.at += end;
        let is_plain = (1..=18).contains(&end) && text.bytes().all(|b| b.is_ascii_digit());
        if is_plain && (end == 1 || !text.starts_with('0')) {
            return Some(text.bytes().fold(0_u64, |number, b| number * 10 + u64::from(b - b'0')).into());
        }
        serde_json::from_str(text).ok()
    }

    fn word(&mut self, word: &str, tree: Tree<'t>) -> Option<Tree<'t>> {
        self.text.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            tree
        })
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// How the library sees trees.
pub(crate) struct Trees;

impl Json for Trees {
    type Node<'a> = &'a Tree<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    const KEYS_PER_LOOKUP: usize = 4;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Self::Node<'_>) -> T) -> T {
        f(&Tree::String(Cow::Borrowed(string)))
    }
}

impl<'a> Node<'a, Trees> for &'a Tree<'a> {
    type Object = &'a Members<'a>;
    type Array = &'a [Tree<'a>];
    type Number = &'a Number;

    fn as_object(&self) -> Option<Self::Object> {
        Tree::members(self)
    }

    fn as_array(&self) -> Option<Self::Array> {
        Tree::items(self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        Tree::text(self).map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<Self::Number> {
        match self.here() {
            Tree::Number(number) => Some(number),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.here() {
            Tree::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self.here(), Tree::Null)
    }

    fn json_type(&self) -> JsonType {
        match self.here() {
            Tree::Null | Tree::Other(_) => JsonType::Null,
            Tree::Bool(_) => JsonType::Boolean,
            Tree::Number(_) => JsonType::Number,
            Tree::String(_) => JsonType::String,
            Tree::Array(_) => JsonType::Array,
            Tree::Object(_) => JsonType::Object,
        }
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let text = Tree::text(self)?;
        // A character takes one to four bytes.
        let (most, least) = (text.len() as u64, text.len().div_ceil(4) as u64);
        if min <= least && most <= max {
            return Some(true);
        }
        if most < min || least > max {
            return Some(false);
        }
        Some((min..=max).contains(&(text.chars().count() as u64)))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (self.here(), expected) {
            (Tree::String(text), Value::String(other)) => **text == **other,
            (Tree::String(_), _) | (_, Value::String(_)) => false,
            (tree, other) => Node::<SerdeJson>::equals_value(&&tree.to_value(), other),
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(Tree::to_value(self))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.here()) as usize))
    }
}

/// Members as they stand.
pub(crate) struct Iter<'a>(std::slice::Iter<'a, (Cow<'a, str>, Tree<'a>)>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a Tree<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (&**name, value))
    }
}

impl<'a> Object<'a, Trees> for &'a Members<'a> {
    type Node = &'a Tree<'a>;
    type MemberName = &'a str;
    type MembersIter = Iter<'a>;

    fn len(&self) -> usize {
        self.list.len()
    }

    fn get(&self, key: &String) -> Option<&'a Tree<'a>> {
        Members::get(self, key)
    }

    fn members(&self) -> Iter<'a> {
        Iter(self.list.iter())
    }
}

impl<'a> Array<'a, Trees> for &'a [Tree<'a>] {
    type Node = &'a Tree<'a>;
    type ElementsIter = std::slice::Iter<'a, Tree<'a>>;

    fn len(&self) -> usize {
        <[Tree<'a>]>::len(self)
    }

    fn elements(&self) -> Self::ElementsIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
