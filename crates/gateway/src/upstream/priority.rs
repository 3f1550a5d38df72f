//! The order in which a request tries the nodes: groups of one priority, higher ones first, and in each what the balancer picks.

use super::{
    chash::{HashKey, Ring},
    ewma::{self, Pace},
    health::{Checker, Report},
    least_conn::LeastConn,
    node::{Node, Pick},
    roundrobin::RoundRobin,
};
use model::vars::Lookup;
use smallvec::SmallVec;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

/// How nodes are balanced.
#[derive(Debug)]
pub(super) enum Algorithm {
    RoundRobin,
    Chash(HashKey),
    LeastConn,
    Ewma,
}

/// What balancers share over changes of an upstream.
pub(super) trait Memory {
    /// The counts of the nodes of one priority.
    fn least_conn(&self, priority: i64) -> Arc<LeastConn>;
    /// The pace of a node.
    fn pace(&self, address: &str) -> Arc<Pace>;
}

/// The nodes of an upstream as they are at one moment.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) all: Arc<[Pick]>,
    groups: Box<[Group]>,
    /// The checker's version that the groups are of.
    pub(super) version: u64,
    /// Whether all nodes are used although none is healthy.
    is_desperate: bool,
}

/// Nodes of one priority.
#[derive(Debug)]
struct Group {
    members: Box<[Pick]>,
    picker: Picker,
}

#[derive(Debug)]
enum Picker {
    RoundRobin(RoundRobin),
    Chash(Arc<Ring>),
    LeastConn { shared: Arc<LeastConn>, generation: u64, addresses: Box<[Arc<str>]> },
    Ewma(Box<[Arc<Pace>]>),
}

impl Nodes {
    /// Without any.
    pub(super) fn none() -> Self {
        Self { all: Arc::from([]), groups: Box::default(), version: 0, is_desperate: false }
    }

    /// Groups nodes, of which only healthy ones are used as long as there are any. A ring keeps all its nodes, so that keys only
    /// leave those that are not healthy: `old` has the one that was made before of the same nodes.
    pub(super) fn new(
        all: Arc<[Pick]>,
        algorithm: &Algorithm,
        checker: Option<&Checker>,
        memory: &dyn Memory,
        old: Option<&Self>,
    ) -> Self {
        // Before the states: what changes in between is seen as a change.
        let version = checker.map_or(0, Checker::version);
        let is_healthy = |node: &Pick| node.target.as_ref().is_none_or(|target| target.is_usable());
        let is_desperate = !all.iter().any(is_healthy);
        let takes_all = is_desperate || matches!(algorithm, Algorithm::Chash(_));
        let mut by_priority: BTreeMap<_, Vec<Pick>> = BTreeMap::new();
        for node in all.iter().filter(|node| takes_all || is_healthy(node)) {
            by_priority.entry(std::cmp::Reverse(node.priority)).or_default().push(node.clone());
        }
        let old_rings = old.filter(|old| Arc::ptr_eq(&old.all, &all)).map(|old| &old.groups);
        let groups = by_priority.into_iter().enumerate().map(|(at, (priority, members))| {
            let picker = match algorithm {
                Algorithm::RoundRobin => {
                    Picker::RoundRobin(RoundRobin::new(&members.iter().map(|node| node.weight).collect::<Vec<_>>()))
                }
                Algorithm::Chash(_) => match old_rings.and_then(|groups| groups.get(at)).map(|group| &group.picker) {
                    Some(Picker::Chash(ring)) => Picker::Chash(ring.clone()),
                    _ => Picker::Chash(Arc::new(Ring::new(members.iter().map(|node| (&*node.address, node.weight))))),
                },
                Algorithm::LeastConn => {
                    let shared = memory.least_conn(priority.0);
                    let generation = shared.renew(members.iter().map(|node| (&node.address, node.weight)));
                    let addresses = members.iter().map(|node| node.address.clone()).collect();
                    Picker::LeastConn { shared, generation, addresses }
                }
                Algorithm::Ewma => Picker::Ewma(members.iter().map(|node| memory.pace(&node.address)).collect()),
            };
            Group { members: members.into(), picker }
        });
        let groups = groups.collect();
        Self { all, groups, version, is_desperate }
    }
}

/// Members of a group that a request has tried, as often as it has.
#[derive(Debug, Default)]
pub(super) struct Tried(SmallVec<[u32; 4]>);

impl Tried {
    pub(super) fn add(&mut self, member: u32) {
        self.0.push(member);
    }

    pub(super) fn contains(&self, member: u32) -> bool {
        self.0.contains(&member)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }
}

/// One request's way through the nodes. As long as it exists, it counts as running on the node that it picked last.
pub struct Picks {
    nodes: Arc<Nodes>,
    upstream: Arc<super::CompiledUpstream>,
    group: usize,
    tried: Tried,
    /// The member that was picked last, and when.
    current: Option<(u32, Instant)>,
    /// Where on the ring that was.
    point: usize,
    ignores_health: bool,
    last: Option<Pick>,
}

impl fmt::Debug for Picks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picks").field("group", &self.group).field("last", &self.last).finish_non_exhaustive()
    }
}

impl Picks {
    pub(super) fn new(upstream: Arc<super::CompiledUpstream>, nodes: Arc<Nodes>) -> Self {
        let ignores_health = nodes.is_desperate;
        let tried = Tried::default();
        Self { nodes, upstream, group: 0, tried, current: None, point: 0, ignores_health, last: None }
    }

    /// How many nodes there are, whatever their state.
    pub fn count(&self) -> usize {
        self.nodes.all.len()
    }

    /// The first node, or after a failed attempt the next.
    pub fn next(&mut self, request: &dyn Lookup) -> Option<Pick> {
        // A single node is used whatever its weight and health, and tried again and again.
        if let ([only], false) = (&*self.nodes.all, matches!(self.upstream.algorithm, Algorithm::LeastConn)) {
            self.last = Some(only.clone());
            return self.last.clone();
        }
        if let Some(member) = self.leave(false)
            && self.count() > 1
        {
            self.tried.add(member);
        }
        loop {
            let Some(group) = self.nodes.groups.get(self.group) else {
                if self.last.is_some() || self.ignores_health {
                    return None;
                }
                // The last healthy one has fallen ill a moment ago.
                self.ignores_health = true;
                self.group = 0;
                continue;
            };
            let is_spent = !self.tried.is_empty() && self.tried.len() >= group.members.len();
            let picked = if is_spent { None } else { self.pick(request) };
            if let Some(member) = picked {
                self.current = Some((member, engine::now()));
                self.last = self.nodes.groups.get(self.group)?.members.get(member as usize).cloned();
                return self.last.clone();
            }
            self.group += 1;
            self.tried = Tried::default();
        }
    }

    fn pick(&mut self, request: &dyn Lookup) -> Option<u32> {
        let group = self.nodes.groups.get(self.group)?;
        let tried = &self.tried;
        match &group.picker {
            Picker::RoundRobin(robin) => robin.pick(tried),
            Picker::LeastConn { shared, generation, addresses } => shared.pick(*generation, addresses, tried),
            Picker::Ewma(paces) => ewma::pick(paces, tried, engine::now()),
            Picker::Chash(ring) => {
                let Algorithm::Chash(key) = &self.upstream.algorithm else { return None };
                let is_usable = |member: u32| {
                    let target = group.members.get(member as usize).and_then(|node| node.target.as_ref());
                    self.ignores_health || target.is_none_or(|target| target.is_usable())
                };
                let will_do = |member| !tried.contains(member) && is_usable(member);
                let (point, member) = if tried.is_empty() {
                    ring.find(key.hash(request), will_do)
                } else {
                    // Where only members without points are left, a usable one is tried again.
                    ring.next(self.point, will_do).or_else(|| ring.next(self.point, is_usable))
                }?;
                self.point = point;
                Some(member)
            }
        }
    }

    /// The request does not run on its node any more.
    fn leave(&mut self, is_over: bool) -> Option<u32> {
        let (member, since) = self.current.take()?;
        match &self.nodes.groups.get(self.group)?.picker {
            Picker::LeastConn { shared, addresses, .. } => shared.release(addresses.get(member as usize)?),
            Picker::Ewma(paces) if is_over => {
                let now = engine::now();
                paces.get(member as usize)?.observe(now.saturating_duration_since(since), now);
            }
            _ => {}
        }
        Some(member)
    }

    /// Tells the health checker of a failed attempt, after which another one is made.
    pub fn failed(&self, is_timeout: bool) {
        // As in APISIX, where a single node takes another way.
        let is_single = self.count() == 1 && !matches!(self.upstream.algorithm, Algorithm::LeastConn);
        if let (Some(node), false) = (&self.last, is_single) {
            self.upstream.report(node, if is_timeout { Report::Timeout } else { Report::Tcp });
        }
    }

    /// The node that was picked last.
    pub fn last(&self) -> Option<&Node> {
        self.last.as_deref()
    }
}

impl Drop for Picks {
    fn drop(&mut self) {
        self.leave(true);
    }
}
