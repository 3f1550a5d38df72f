//! Which plugins run for a request, and in which order.

pub mod run;
#[cfg(test)]
mod tests;

use crate::plugins::Meta;
use crate::{snapshot::CompiledRoute, upstream::CompiledUpstream};
use model::vars::BodyNeed;
use plugin::{Hooks, PluginClass, RunPolicy, SlotId};
use smallvec::SmallVec;
use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// One plugin instance with its `_meta`.
#[allow(missing_debug_implementations)]
pub struct Slot {
    /// Unique in the process: state is kept under it.
    pub id: SlotId,
    /// The plugin's name.
    pub name: &'static str,
    /// The document that configures it, such as `/routes/1`.
    pub origin: Arc<str>,
    /// Where it stands in the order.
    pub priority: i32,
    /// Whether it authenticates.
    pub class: PluginClass,
    /// Whether it lets clients pass as an anonymous consumer that do not say who they are.
    pub has_anonymous: bool,
    /// Whether a global instance gives way to a route's.
    pub run_policy: RunPolicy,
    /// Its phases.
    pub hooks: Hooks,
    /// Upstreams of its own.
    pub upstreams: Vec<Arc<CompiledUpstream>>,
    /// Its `_meta`.
    pub meta: Meta,
    /// The request body that its configuration looks into.
    pub body_need: BodyNeed,
}

impl Slot {
    /// A number that no other slot has.
    pub fn next_id() -> SlotId {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        SlotId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The slots of one document, or of several merged: highest priority first, ties by name.
#[derive(Default, Clone)]
#[allow(missing_debug_implementations)]
pub struct Chain {
    slots: Vec<Arc<Slot>>,
    body_need: BodyNeed,
    holds_answers: bool,
}

impl Chain {
    /// Sorts slots into a chain.
    pub fn new(mut slots: Vec<Arc<Slot>>) -> Self {
        slots.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(b.name)));
        let body_need = slots.iter().map(|slot| slot.body_need).fold(BodyNeed::NONE, BodyNeed::and);
        let holds_answers = slots.iter().any(|slot| slot.hooks.whole_response.is_some());
        Self { slots, body_need, holds_answers }
    }

    /// Merges by precedence, first wins; a plugin is replaced whole.
    pub fn merge<'a>(layers: impl IntoIterator<Item = &'a Chain>) -> Self {
        let mut slots: Vec<Arc<Slot>> = Vec::new();
        for layer in layers {
            for slot in &layer.slots {
                if !slots.iter().any(|have| have.name == slot.name) {
                    slots.push(slot.clone());
                }
            }
        }
        Self::new(slots)
    }

    /// The slots, in the order in which they run.
    pub fn slots(&self) -> &[Arc<Slot>] {
        &self.slots
    }

    /// The request body that its plugins look into.
    pub fn body_need(&self) -> BodyNeed {
        self.body_need
    }

    /// Whether a plugin of it has to see an answer before it is sent.
    pub fn holds_answers(&self) -> bool {
        self.holds_answers
    }

    /// Whether a plugin is in it.
    pub fn has(&self, name: &str) -> bool {
        self.slots.iter().any(|slot| slot.name == name)
    }
}

/// The chain of one request: the route's, later with the consumer's plugins.
#[allow(missing_debug_implementations)]
pub struct EffectiveChain {
    route: Option<Arc<CompiledRoute>>,
    merged: Option<Box<Chain>>,
    /// What `_meta.filter` came to; evaluated once per request and slot.
    filters: RefCell<SmallVec<[(SlotId, bool); 2]>>,
}

impl EffectiveChain {
    /// No route, no plugins.
    pub fn none() -> Self {
        Self { route: None, merged: None, filters: RefCell::default() }
    }

    /// A route's chain.
    pub fn of(route: &Arc<CompiledRoute>) -> Self {
        Self { route: Some(route.clone()), merged: None, filters: RefCell::default() }
    }

    /// The slots that run now.
    pub fn slots(&self) -> &[Arc<Slot>] {
        match (&self.merged, &self.route) {
            (Some(merged), _) => merged.slots(),
            (None, Some(route)) => route.chain.slots(),
            (None, None) => &[],
        }
    }

    /// The request body that they look into.
    pub fn body_need(&self) -> BodyNeed {
        match (&self.merged, &self.route) {
            (Some(merged), _) => merged.body_need(),
            (None, Some(route)) => route.chain.body_need(),
            (None, None) => BodyNeed::NONE,
        }
    }

    /// Whether one of them has to see an answer before it is sent.
    pub fn holds_answers(&self) -> bool {
        match (&self.merged, &self.route) {
            (Some(merged), _) => merged.holds_answers(),
            (None, Some(route)) => route.chain.holds_answers(),
            (None, None) => false,
        }
    }

    /// Puts the consumer's and its group's plugins over the route's. Credentials are not plugins.
    pub(crate) fn overlay(&mut self, consumer: &Chain, group: Option<&Chain>) {
        let none = Chain::default();
        let route = self.route.as_ref().map_or(&none, |route| &*route.chain);
        self.merged = Some(Box::new(Chain::merge([consumer, group.unwrap_or(&none), route])));
    }
}
