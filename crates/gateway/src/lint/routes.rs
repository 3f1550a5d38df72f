//! Routes beside each other.

use super::Finding;
use crate::{
    chain::{Chain, Slot},
    snapshot::{CompiledRoute, Snapshot},
};
use plugin::PluginClass;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

pub(super) fn findings(snapshot: &Snapshot, found: &mut Vec<Finding>) {
    let mut routes = snapshot.routes().all();
    routes.sort_by(|a, b| (a.arrival, &a.facts.id).cmp(&(b.arrival, &b.facts.id)));
    anonymous(snapshot, &routes, found);
    shadowed(&routes, found);
}

fn key(route: &CompiledRoute) -> String {
    format!("/routes/{}", route.facts.id)
}

/// A way to nodes without saying who one is, where another route asks for it.
fn anonymous(snapshot: &Snapshot, routes: &[Arc<CompiledRoute>], found: &mut Vec<Finding>) {
    let mut protected: HashMap<String, (String, &'static str)> = HashMap::new();
    let mut open = Vec::new();
    for route in routes {
        if route.quarantined.is_some() || route.missing.is_some() {
            continue;
        }
        let places = places(snapshot, route);
        match authenticator(snapshot.global()).or_else(|| authenticator(&route.chain)) {
            Some(slot) => {
                for place in places {
                    protected.entry(place).or_insert_with(|| (key(route), slot.name));
                }
            }
            None => open.push((route, places)),
        }
    }
    for (route, places) in open {
        let Some((other, plugin)) = places.iter().find_map(|place| protected.get(place)) else { continue };
        let message = format!(
            "it leads to the same nodes as {other}, which asks for {plugin}, and does not ask who the client is; \
                 add an authentication plugin, or give what is public nodes of its own"
        );
        found.push(Finding::new("anonymous-route", key(route), String::new(), message));
    }
}

/// The plugin that asks every request who it is from.
fn authenticator(chain: &Chain) -> Option<&Slot> {
    let asks = |slot: &&Arc<Slot>| slot.class == PluginClass::Auth && slot.meta.filter.is_none() && !slot.has_anonymous;
    chain.slots().iter().find(asks).map(|slot| &**slot)
}

/// What tells apart where a route leads: its nodes, or what finds them.
fn places(snapshot: &Snapshot, route: &CompiledRoute) -> Vec<String> {
    let Ok(upstream) = snapshot.upstream_of(route, None) else { return Vec::new() };
    let nodes = upstream.all_nodes();
    match nodes.len() {
        0 => vec![upstream.owner().to_owned()],
        _ => nodes.iter().map(|node| node.address().to_ascii_lowercase()).collect(),
    }
}

/// Routes of the same uri and host that are compared with each one: enough for whom people write, and no work without end.
const COMPARED: usize = 256;

/// A route that no request can reach because another takes all of them.
fn shadowed(routes: &[Arc<CompiledRoute>], found: &mut Vec<Finding>) {
    let mut by_place: BTreeMap<(Option<&str>, &str), Vec<&CompiledRoute>> = BTreeMap::new();
    for route in routes {
        for uri in &route.uris {
            let hosts = route.hosts.iter().map(|host| Some(&**host));
            let any = route.hosts.is_empty().then_some(None);
            for host in hosts.chain(any) {
                by_place.entry((host, &uri.text)).or_default().push(route);
            }
        }
    }
    let takes_all = |first: &CompiledRoute, route: &CompiledRoute| {
        let methods = &first.conditions.methods;
        let has_methods = methods.is_empty()
            || (!route.conditions.methods.is_empty() && route.conditions.methods.iter().all(|m| methods.contains(m)));
        has_methods && first.conditions.clients.is_empty() && first.conditions.vars.is_none()
    };
    for route in routes {
        let hosts: Vec<Option<&str>> = match route.hosts.is_empty() {
            true => vec![None],
            false => route.hosts.iter().map(|host| Some(&**host)).collect(),
        };
        let mut by = None;
        let is_shadowed = route.uris.iter().all(|uri| {
            hosts.iter().all(|host| {
                let others = by_place.get(&(*host, &*uri.text)).into_iter().flatten().take(COMPARED);
                let comes_first = |other: &&&CompiledRoute| {
                    other.facts.id != route.facts.id
                        && (other.priority, std::cmp::Reverse(other.arrival))
                            > (route.priority, std::cmp::Reverse(route.arrival))
                        && takes_all(other, route)
                };
                let first = others.copied().find(|other| comes_first(&other));
                by = first.or(by);
                first.is_some()
            })
        });
        if let Some(by) = by.filter(|_| is_shadowed) {
            let message = format!(
                "no request reaches it: {} has the same uri and host and takes them all; what protects here does not \
                     there; change a uri, a condition or the priority",
                key(by)
            );
            found.push(Finding::new("shadowed-route", key(route), String::new(), message));
        }
    }
}
