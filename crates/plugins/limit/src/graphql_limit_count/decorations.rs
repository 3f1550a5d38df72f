use model::documents::CostDecoration;
use smallvec::SmallVec;
use std::collections::HashMap;

/// A service's cost decorations, as a tree of the names in their paths.
#[derive(Debug)]
pub(super) struct Decorations {
    /// The first one is the root.
    nodes: Vec<Node>,
    /// Whether there is any path that is not a type and a field.
    is_deep: bool,
}

/// A place in the paths that begin alike.
#[derive(Debug, Default)]
struct Node {
    below: HashMap<String, usize>,
    decoration: Option<CostDecoration>,
    /// How many names lead here.
    depth: usize,
}

/// Paths that a selection is on.
pub(super) type Live = SmallVec<[usize; 4]>;

/// What a field costs, by the decorations that name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) add: f64,
    pub(super) add_arguments: &'a [String],
    pub(super) mul: f64,
    pub(super) mul_arguments: &'a [String],
}

impl Weights<'_> {
    /// Of a field that no decoration names.
    pub(super) const NONE: Self = Self { add: 1.0, add_arguments: &[], mul: 1.0, mul_arguments: &[] };
}

const ROOT: usize = 0;

impl Decorations {
    pub(super) fn compile(written: &[CostDecoration]) -> Self {
        let mut this = Self { nodes: vec![Node::default()], is_deep: false };
        for decoration in written {
            let mut at = ROOT;
            let mut depth = 0;
            for name in decoration.field_path.split('.').filter(|name| !name.is_empty()) {
                depth += 1;
                at = this.below_or_new(at, name, depth);
            }
            if depth != 2 {
                this.is_deep = true;
            }
            if let Some(node) = this.nodes.get_mut(at).filter(|node| node.depth > 0) {
                node.decoration = Some(decoration.clone());
            }
        }
        this
    }

    fn below_or_new(&mut self, at: usize, name: &str, depth: usize) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return ROOT };
        let found = *node.below.entry(name.to_owned()).or_insert(next);
        if found == next {
            self.nodes.push(Node { depth, ..Node::default() });
        }
        found
    }

    fn below(&self, at: usize, name: &str) -> Option<usize> {
        self.nodes.get(at)?.below.get(name).copied()
    }

    /// The paths that an operation on a type begins with.
    pub(super) fn begin(&self, on: &str) -> Live {
        if self.is_deep { self.below(ROOT, on).into_iter().collect() } else { Live::new() }
    }

    /// The paths inside a fragment, which may be on another type than its surroundings.
    pub(super) fn narrow(&self, live: &Live, on: Option<&str>, outer: Option<&str>) -> Live {
        let seed = on.filter(|_| self.is_deep && on != outer).and_then(|on| self.below(ROOT, on));
        seed.into_iter().chain(live.iter().copied()).collect()
    }

    /// The paths that a field is on: those of its surroundings that go on with its name, and those that begin with its own type.
    pub(super) fn advance(&self, live: &Live, name: &str, result: Option<&str>) -> Live {
        if !self.is_deep {
            return Live::new();
        }
        let inherited = live.iter().filter_map(|&at| self.below(at, name));
        inherited.chain(result.and_then(|result| self.below(ROOT, result))).collect()
    }

    /// What a field of a type costs, whose paths are these.
    pub(super) fn of_field(&self, live: &Live, on: &str, name: &str) -> Weights<'_> {
        if self.is_deep {
            return self.of(live);
        }
        let found = self.below(ROOT, on).and_then(|at| self.below(at, name));
        self.of(&found.into_iter().collect())
    }

    /// What these paths say all together: the longer one counts, part by part.
    pub(super) fn of(&self, live: &Live) -> Weights<'_> {
        let mut found: SmallVec<[(usize, &CostDecoration); 4]> = live
            .iter()
            .filter_map(|&at| self.nodes.get(at).and_then(|node| Some((node.depth, node.decoration.as_ref()?))))
            .collect();
        found.sort_by_key(|(depth, _)| *depth);
        let mut weights = Weights::NONE;
        for (_, decoration) in found {
            (weights.add, weights.mul) = (decoration.add_value, decoration.mul_value);
            if let Some(arguments) = &decoration.add_arguments {
                weights.add_arguments = arguments;
            }
            if let Some(arguments) = &decoration.mul_arguments {
                weights.mul_arguments = arguments;
            }
        }
        weights
    }
}
