//! Which path of the document a request has.

use std::collections::HashMap;

/// Paths as a tree of their segments.
#[derive(Debug, Default)]
pub(super) struct Paths {
    root: Node,
    /// Paths of the servers, which may stand in front.
    bases: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Vec<u8>, Node>,
    templates: Vec<(Template, Node)>,
    item: Option<usize>,
}

/// A segment with parameters in it.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    /// What is in front of the first.
    prefix: Vec<u8>,
    /// Each with what is behind it.
    parameters: Vec<(String, Vec<u8>)>,
}

/// Values of the parameters of a path, by their names.
pub(super) type Found<'p> = Vec<(&'p str, &'p [u8])>;

impl Paths {
    /// Adds the path of a server.
    pub(super) fn add_base(&mut self, base: &str) {
        let base = base.trim_end_matches('/');
        if !base.is_empty() && !base.contains('{') {
            self.bases.push(base.as_bytes().to_vec());
        }
    }

    /// Adds a path under a number.
    ///
    /// # Errors
    /// It is malformed, or there is one that is the same but for the names of its parameters.
    pub(super) fn add(&mut self, path: &str, item: usize) -> Result<(), String> {
        let path = path.strip_prefix('/').ok_or("does not begin with a slash")?;
        let mut node = &mut self.root;
        for segment in path.split('/') {
            node = match Template::parse(segment)? {
                None => node.literals.entry(segment.as_bytes().to_vec()).or_default(),
                Some(template) => {
                    let known = node.templates.iter().position(|(other, _)| other.is_like(&template));
                    let at = known.unwrap_or_else(|| {
                        node.templates.push((template, Node::default()));
                        node.templates.len() - 1
                    });
                    &mut node.templates.get_mut(at).ok_or("")?.1
                }
            };
        }
        if node.item.replace(item).is_some() {
            return Err("is there twice".to_owned());
        }
        Ok(())
    }

    /// The number of the path that a request has, and its parameters. What is written out comes before what is not.
    pub(super) fn find<'p>(&'p self, path: &'p [u8]) -> Option<(usize, Found<'p>)> {
        let whole = std::iter::once(path);
        let without = self.bases.iter().filter_map(|base| path.strip_prefix(&**base));
        whole.chain(without).find_map(|path| {
            let mut found = Found::new();
            let item = self.root.find(path.strip_prefix(b"/")?, &mut found)?;
            Some((item, found))
        })
    }
}

impl Node {
    fn find<'p>(&'p self, path: &'p [u8], found: &mut Found<'p>) -> Option<usize> {
        let end = path.iter().position(|&b| b == b'/');
        let (segment, rest) = match end {
            Some(end) => (path.get(..end)?, path.get(end + 1..)),
            None => (path, None),
        };
        let go_on = |node: &'p Self, found: &mut Found<'p>| match rest {
            Some(rest) => node.find(rest, found),
            None => node.item,
        };
        if let Some(item) = self.literals.get(segment).and_then(|node| go_on(node, found)) {
            return Some(item);
        }
        for (template, node) in &self.templates {
            let before = found.len();
            if template.take(segment, found)
                && let Some(item) = go_on(node, found)
            {
                return Some(item);
            }
            found.truncate(before);
        }
        None
    }
}

impl Template {
    /// `None` where there is no parameter.
    fn parse(segment: &str) -> Result<Option<Self>, String> {
        let Some((prefix, mut rest)) = segment.split_once('{') else { return Ok(None) };
        let mut parameters = Vec::new();
        loop {
            let (name, after) = rest.split_once('}').ok_or("has a parameter without an end")?;
            let (literal, next) = after.split_once('{').map_or((after, None), |(literal, next)| (literal, Some(next)));
            if name.is_empty() || (literal.is_empty() && next.is_some()) {
                return Err("has parameters that cannot be told apart".to_owned());
            }
            parameters.push((name.to_owned(), literal.as_bytes().to_vec()));
            match next {
                Some(next) => rest = next,
                None => return Ok(Some(Self { prefix: prefix.as_bytes().to_vec(), parameters })),
            }
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let literals =
            |template: &Self| template.parameters.iter().map(|(_, literal)| literal.clone()).collect::<Vec<_>>();
        self.prefix == other.prefix && literals(self) == literals(other)
    }

    fn take<'p>(&'p self, segment: &'p [u8], found: &mut Found<'p>) -> bool {
        let Some(mut rest) = segment.strip_prefix(&*self.prefix) else { return false };
        for (index, (name, literal)) in self.parameters.iter().enumerate() {
            let is_last = index + 1 == self.parameters.len();
            let end = if is_last {
                rest.ends_with(literal).then(|| rest.len() - literal.len())
            } else {
                memchr::memmem::find(rest, literal)
            };
            let Some((value, after)) = end.filter(|end| *end > 0).and_then(|end| rest.split_at_checked(end)) else {
                return false;
            };
            found.push((name, value));
            rest = after.get(literal.len()..).unwrap_or_default();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found() {
        let mut paths = Paths::default();
        for (item, path) in [
            "/",
            "/pets",
            "/pets/{id}",
            "/pets/mine",
            "/pets/{id}/toys/{toy}",
            "/files/{name}.json",
            "/r/{a}-{b}",
            "/{x}/list",
            "/pets/",
        ]
        .iter()
        .enumerate()
        {
            paths.add(path, item).unwrap_or_else(|error| panic!("{path} {error}"));
        }
        paths.add_base("/v1/");
        paths.add_base("/{region}/v2");
        for (path, expected) in [
            ("/", Some((0, vec![]))),
            ("/pets", Some((1, vec![]))),
            ("/pets/7", Some((2, vec![("id", "7")]))),
            ("/pets/mine", Some((3, vec![]))),
            ("/pets/mine/toys/ball", Some((4, vec![("id", "mine"), ("toy", "ball")]))),
            ("/files/a.b.json", Some((5, vec![("name", "a.b")]))),
            ("/files/.json", None),
            ("/files/a.xml", None),
            ("/r/1-2-3", Some((6, vec![("a", "1"), ("b", "2-3")]))),
            ("/r/1", None),
            ("/pets/list", Some((2, vec![("id", "list")]))),
            ("/cats/list", Some((7, vec![("x", "cats")]))),
            ("/pets/", Some((8, vec![]))),
            ("/pets//toys/a", None),
            ("/v1/pets/7", Some((2, vec![("id", "7")]))),
            ("/v2/pets", None),
            ("/nothing", None),
        ] {
            let found = paths.find(path.as_bytes());
            let found = found.map(|(item, found)| {
                (item, found.into_iter().map(|(n, v)| (n, std::str::from_utf8(v).unwrap())).collect())
            });
            assert_eq!(found, expected, "{path}");
        }
        for path in ["pets", "/pets/{name}", "/{a}{b}", "/{", "/{}"] {
            assert!(paths.add(path, 99).is_err(), "{path}");
        }
    }
}
