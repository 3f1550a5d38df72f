//! The node with the fewest requests for its weight.
//!
//! What runs is counted under the node's address, over all workers and over changes of the upstream: a node that stays, or comes back,
//! keeps its count, and long connections are not forgotten.

use super::priority::Tried;
use parking_lot::Mutex;
use std::{cmp::Ordering, sync::Arc};

/// The counts of one upstream's nodes of one priority.
#[derive(Debug, Default)]
pub(super) struct LeastConn(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Which set of members the tree is of.
    generation: u64,
    members: Vec<Member>,
    positions: foldhash::HashMap<Arc<str>, u32>,
    /// A tournament: the root is at 1, the winner of two is their parent, and members are the leaves from `leaves` on.
    tree: Vec<u32>,
    leaves: usize,
    /// What still runs on nodes that are no members now.
    others: foldhash::HashMap<Arc<str>, u64>,
    /// Counts picks: of equals, who waited longest is next.
    clock: u64,
}

#[derive(Debug)]
struct Member {
    address: Arc<str>,
    weight: u64,
    running: u64,
    last: u64,
    is_out: bool,
}

/// No member.
const NOBODY: u32 = u32::MAX;

impl Member {
    /// `(running + 1) / weight`, then who waited longest; without weight after all others.
    fn cmp(&self, other: &Self) -> Ordering {
        let score = match (self.weight, other.weight) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Greater,
            (_, 0) => Ordering::Less,
            (own, theirs) => (u128::from(self.running + 1) * u128::from(theirs))
                .cmp(&(u128::from(other.running + 1) * u128::from(own))),
        };
        self.is_out.cmp(&other.is_out).then(score).then(self.last.cmp(&other.last))
    }
}

impl State {
    fn better(&self, a: u32, b: u32) -> u32 {
        match (self.members.get(a as usize), self.members.get(b as usize)) {
            (Some(one), Some(other)) => {
                if other.cmp(one) == Ordering::Less {
                    b
                } else {
                    a
                }
            }
            (None, Some(_)) => b,
            _ => a,
        }
    }

    fn play(&mut self, at: usize) {
        let side = |tree: &[u32], at| tree.get(at).copied().unwrap_or(NOBODY);
        let winner = self.better(side(&self.tree, at * 2), side(&self.tree, at * 2 + 1));
        if let Some(place) = self.tree.get_mut(at) {
            *place = winner;
        }
    }

    fn change(&mut self, member: u32, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(member as usize) {
            change(member);
        }
        let mut at = (self.leaves + member as usize) / 2;
        while at > 0 {
            self.play(at);
            at /= 2;
        }
    }

    fn begin(&mut self, member: u32) {
        self.clock += 1;
        let now = self.clock;
        self.change(member, |member| {
            member.running += 1;
            member.last = now;
        });
    }
}

impl LeastConn {
    /// Follows a change of the members; gives the number under which their set is known.
    pub(super) fn renew<'a>(&self, members: impl Iterator<Item = (&'a Arc<str>, u32)>) -> u64 {
        let state = &mut *self.0.lock();
        for Member { address, running, .. } in state.members.drain(..).filter(|member| member.running > 0) {
            state.others.insert(address, running);
        }
        state.positions.clear();
        for (address, weight) in members {
            let running = state.others.remove(address).unwrap_or(0);
            state.positions.insert(address.clone(), state.members.len() as u32);
            let address = address.clone();
            state.members.push(Member { address, weight: u64::from(weight), running, last: 0, is_out: false });
        }
        state.leaves = state.members.len().next_power_of_two();
        state.tree = vec![NOBODY; state.leaves];
        state.tree.extend(0..state.members.len() as u32);
        for at in (1..state.leaves).rev() {
            state.play(at);
        }
        state.generation += 1;
        state.generation
    }

    /// The best member that was not tried; it counts as running until it is [released](Self::release). `addresses` are the
    /// members of the set `generation`.
    pub(super) fn pick(&self, generation: u64, addresses: &[Arc<str>], tried: &Tried) -> Option<u32> {
        let state = &mut *self.0.lock();
        if state.generation != generation {
            return state.pick_of_old(addresses, tried);
        }
        for member in tried.iter() {
            state.change(member, |member| member.is_out = true);
        }
        let best = state.tree.get(1).copied().filter(|best| !tried.contains(*best) && *best != NOBODY);
        for member in tried.iter() {
            state.change(member, |member| member.is_out = false);
        }
        if let Some(best) = best {
            state.begin(best);
        }
        best
    }

    /// A request has left a node.
    pub(super) fn release(&self, address: &Arc<str>) {
        let state = &mut *self.0.lock();
        if let Some(member) = state.positions.get(address).copied() {
            return state.change(member, |member| member.running = member.running.saturating_sub(1));
        }
        if let Some(running) = state.others.get_mut(address) {
            *running -= 1;
            if *running == 0 {
                state.others.remove(address);
            }
        }
    }
}

impl State {
    /// For a request that still runs on an older set of members.
    fn pick_of_old(&mut self, addresses: &[Arc<str>], tried: &Tried) -> Option<u32> {
        let running = |address| match self.positions.get(address) {
            Some(member) => self.members.get(*member as usize).map_or(0, |member| member.running),
            None => self.others.get(address).copied().unwrap_or(0),
        };
        let untried = (0u32..).zip(addresses).filter(|(member, _)| !tried.contains(*member));
        let (member, address) = untried.min_by_key(|(_, address)| running(*address))?;
        match self.positions.get(address).copied() {
            Some(now) => self.begin(now),
            None => *self.others.entry(address.clone()).or_default() += 1,
        }
        Some(member)
    }
}

#[cfg(test)]
mod tests;
