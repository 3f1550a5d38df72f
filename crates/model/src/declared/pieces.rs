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

use super::{Declared, Reader, Refused, Version, fill_plugins, section};
use crate::documents::Key;
use crate::yaml::{self, Item};

/// The items of the last version of a file.
#[derive(Default)]
#[allow(missing_debug_implementations)] // it may hold secrets
pub struct Known {
    hashers: [RandomState; 2],
    items: HashMap<u128, Remembered, foldhash::fast::RandomState>,
    /// How the items stand in the file, where each of them is a document of its own.
    outline: Option<Outline>,
}

/// What has to stay the same for the documents to be the same but for those whose items changed.
struct Outline {
    /// The sections, how many items each has, and where they begin.
    sections: Vec<(String, usize, usize)>,
    /// The items of all sections, one after the other.
    hashes: Vec<u128>,
    nodes: usize,
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
    lines: usize,
    nodes: usize,
}

/// A section and its items, each with the line where it begins.
struct Section<'a> {
    name: &'a str,
    items: Vec<(usize, &'a str)>,
}

impl Section<'_> {
    /// The line of its first item.
    fn begin(&self) -> usize {
        self.items.first().map_or(0, |(line, _)| *line)
    }
}

impl Known {
    /// The file's contents; `None` when it has to be parsed whole.
    pub(super) fn read(&mut self, text: &str, is_lenient: bool) -> Option<Result<Version, Refused>> {
        let outline = self.outline.take();
        let sections = split(text)?;
        let hashes: Vec<u128> = sections.iter().flat_map(|section| self.hashes(section)).collect();
        if let Some(outline) = outline
            && let Some(changed) = self.changed(outline, &sections, &hashes)
        {
            return Some(Ok(Version::Changed(changed)));
        }
        let mut reader = Reader { is_lenient, ..Reader::default() };
        let mut now = HashMap::with_capacity_and_hasher(self.items.len(), Default::default());
        let mut nodes = 0;
        let mut rest = hashes.iter().copied();
        for Section { name, items } in &sections {
            let is_kept = section(name).is_some();
            for ((at, (line, piece)), hash) in items.iter().enumerate().zip(&mut rest) {
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
                    let lines = count_lines(piece);
                    now.insert(hash, Remembered { key, text, problem, index: at, line: within, lines, nodes: count });
                }
            }
        }
        if nodes > yaml::NODE_LIMIT {
            return None;
        }
        self.items = now;
        let outlined = sections.iter().map(|section| (section.name.to_owned(), section.items.len(), section.begin()));
        let outlined = outlined.collect();
        let rest = sections.iter().map(|section| {
            let left = if section.items.is_empty() { Value::Null } else { Value::Array(Vec::new()) };
            (section.name.to_owned(), left)
        });
        reader.rest(Value::Object(rest.collect::<Map<_, _>>()));
        let contents = reader.finish();
        if let Ok(contents) = &contents
            && contents.documents.len() == hashes.len()
            && self.items.len() == hashes.len()
        {
            self.outline = Some(Outline { sections: outlined, hashes, nodes });
        }
        Some(contents.map(Version::Whole))
    }

    /// The documents whose items changed, where all others stand as they stood, on the same lines, and no key changed.
    fn changed(&mut self, mut outline: Outline, sections: &[Section<'_>], hashes: &[u128]) -> Option<Vec<Declared>> {
        let is_alike = |(section, (name, count, begin)): (&Section<'_>, &(String, usize, usize))| {
            section.name == name && section.items.len() == *count && section.begin() == *begin
        };
        if sections.len() != outline.sections.len() || !sections.iter().zip(&outline.sections).all(is_alike) {
            return None;
        }
        let places = sections.iter().flat_map(|Section { name, items }| {
            items.iter().enumerate().map(move |(index, (line, piece))| (*name, index, *line, *piece))
        });
        let mut changed = Vec::new();
        for ((name, index, line, piece), (hash, old_hash)) in places.zip(hashes.iter().zip(&mut outline.hashes)) {
            if hash == old_hash {
                continue;
            }
            let old = self.items.get(old_hash)?;
            if self.items.contains_key(hash) || count_lines(piece) != old.lines {
                return None;
            }
            let (Item { section, line: within, mut value }, nodes) = yaml::parse_piece(name, piece)?;
            fill_plugins(&mut value);
            let mut reader =
                Reader { items: index, kind: super::section(name), section: section.clone(), ..Reader::default() };
            reader.item(Item { section, line: line + within, value });
            let mut documents = reader.finish().ok()?.documents.into_iter();
            let (Some(declared), None) = (documents.next(), documents.next()) else { return None };
            if declared.key != old.key || within != old.line {
                return None;
            }
            outline.nodes = (outline.nodes + nodes).saturating_sub(old.nodes);
            let Declared { key, text, problem, .. } = declared.clone();
            let now = Remembered { key, text, problem, index, line: within, lines: old.lines, nodes };
            self.items.remove(old_hash);
            self.items.insert(*hash, now);
            *old_hash = *hash;
            changed.push(declared);
        }
        if outline.nodes > yaml::NODE_LIMIT {
            return None;
        }
        self.outline = Some(outline);
        Some(changed)
    }

    /// Of each item two hashes with keys of their own: nobody can find texts that share both.
    fn hashes<'a>(&'a self, section: &'a Section<'_>) -> impl Iterator<Item = u128> + 'a {
        let name = section.name;
        section.items.iter().map(move |(_, piece)| {
            let [one, two] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one((name, piece))));
            one << 64 | two
        })
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

fn count_lines(piece: &str) -> usize {
    memchr::memchr_iter(b'\n', piece.as_bytes()).count()
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-')
}
