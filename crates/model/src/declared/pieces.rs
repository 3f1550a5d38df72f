//! A YAML file item by item. Most of a large file is as it was when it was read last, and an item that stands there as it stood
//! before need not be parsed again.
//!
//! Only files of the plainest shape are read like this: lists in block style below the names of their sections, without
//! anchors. An item is its lines from one dash to the next, and each must be one when it is parsed alone. Then the whole is
//! what its items are, for no line with that dash can belong to the item before it. Whatever else a file has, it is parsed whole.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Contents, Declared, Reader, Refused, fill_plugins, section};
use crate::documents::Key;
use crate::yaml::{self, Item};

/// The items of the last version of a file.
#[derive(Default)]
#[allow(missing_debug_implementations)] // it may hold secrets
pub struct Known {
    hashers: [RandomState; 2],
    items: HashMap<u128, Remembered>,
}

#[derive(Clone)]
struct Remembered {
    key: Key,
    text: Arc<str>,
    problem: Option<String>,
    /// Its place in the list.
    index: usize,
    /// On which of its lines its value begins, from 0.
    line: usize,
    nodes: usize,
}

/// A section and its items, each with the line where it begins.
struct Section<'a> {
    name: &'a str,
    items: Vec<(usize, &'a str)>,
}

impl Known {
    /// The file's contents; `None` when it has to be parsed whole.
    pub(super) fn read(&mut self, text: &str, is_lenient: bool) -> Option<Result<Contents, Refused>> {
        let sections = split(text)?;
        let mut reader = Reader { is_lenient, ..Reader::default() };
        let mut now: HashMap<u128, Remembered> = HashMap::with_capacity(self.items.len());
        let mut nodes = 0;
        for Section { name, items } in &sections {
            let is_kept = section(name).is_some();
            for (at, (line, piece)) in items.iter().enumerate() {
                let hash = self.hash(name, piece);
                let known = self.items.remove(&hash).or_else(|| now.get(&hash).cloned());
                let known = known.filter(|known| is_kept && (!known.key.is_positional() || known.index == at));
                if let Some(known) = known {
                    nodes += known.nodes;
                    let Remembered { key, text, problem, .. } = known.clone();
                    reader.begin(name);
                    reader.declare(Declared { key, text, line: line + known.line, problem });
                    now.insert(hash, known);
                    continue;
                }
                let (Item { section, line: within, mut value }, count) = yaml::parse_piece(name, piece)?;
                nodes += count;
                fill_plugins(&mut value);
                let before = reader.contents.documents.len();
                reader.item(Item { section, line: line + within, value });
                if let Some(Declared { key, text, problem, .. }) = reader.contents.documents.get(before) {
                    let (key, text, problem) = (key.clone(), text.clone(), problem.clone());
                    now.insert(hash, Remembered { key, text, problem, index: at, line: within, nodes: count });
                }
            }
        }
        if nodes > yaml::NODE_LIMIT {
            return None;
        }
        self.items = now;
        let rest = sections.iter().map(|section| {
            let left = if section.items.is_empty() { Value::Null } else { Value::Array(Vec::new()) };
            (section.name.to_owned(), left)
        });
        reader.rest(Value::Object(rest.collect::<Map<_, _>>()));
        Some(reader.finish())
    }

    /// Two hashes with keys of their own: nobody can find texts that share both.
    fn hash(&self, section: &str, piece: &str) -> u128 {
        let [one, two] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one((section, piece))));
        one << 64 | two
    }
}

/// The sections of a file of the plainest shape.
fn split(text: &str) -> Option<Vec<Section<'_>>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut names = HashSet::new();
    // Where the dashes of the section are, and where the item began that is being read.
    let mut indent = None;
    let mut open: Option<(usize, usize)> = None;
    let mut offset = 0;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let start = offset;
        offset += line.len();
        let bare = line.trim_end();
        let content = bare.trim_start_matches(' ');
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let spaces = bare.len() - content.len();
        let is_dash = content == "-" || content.starts_with("- ");
        if is_dash && *indent.get_or_insert(spaces) == spaces {
            let section = sections.last_mut()?;
            if let Some((line, begin)) = open.replace((at + 1, start)) {
                section.items.push((line, text.get(begin..start)?));
            }
        } else if spaces == 0 {
            let name = content.strip_suffix(':').filter(|name| is_name(name))?;
            if let Some((line, begin)) = open.take() {
                sections.last_mut()?.items.push((line, text.get(begin..start)?));
            }
            if !names.insert(name) {
                return None;
            }
            sections.push(Section { name, items: Vec::new() });
            indent = None;
        } else if open.is_none() || indent.is_none_or(|indent| spaces <= indent) {
            return None;
        }
    }
    if let Some((line, begin)) = open {
        sections.last_mut()?.items.push((line, text.get(begin..)?));
    }
    Some(sections)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-')
}
