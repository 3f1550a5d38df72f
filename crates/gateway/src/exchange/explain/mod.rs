//! What would happen to a request, and why: the same code as the request path, without a connection and without running a plugin.

mod others;
mod question;
#[cfg(test)]
mod tests;

pub use question::{BadQuestion, Question};

use super::{Held, Options, Received, forwarded, query, request};
use crate::{
    chain::{self, EffectiveChain, Slot},
    flow::Flow,
    route::Match,
    snapshot::{CompiledRoute, Snapshot},
    upstream::CompiledUpstream,
};
use plugin::{Ctx, Directory, PluginClass};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    rc::{Rc, Weak},
};

/// Nodes of an upstream that are shown.
const NODES_SHOWN: usize = 32;

/// What would happen to a request. It says which plugins would run, never with what: their configuration may be secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Revision of the configuration that answers.
    pub revision: u64,
    /// The request as routes and plugins see it; `None` when it is refused before.
    pub request: Option<Seen>,
    /// What the gateway answers by itself before any plugin runs, if it does.
    pub answer: Option<Answer>,
    /// The route that is chosen.
    pub route: Option<Chosen>,
    /// What runs, in its order; phase by phase, the plugins of the global rules come first.
    pub plugins: Vec<Running>,
    /// Where the request goes unless a plugin answers or chooses another.
    pub upstream: Option<Target>,
    /// Routes whose path fits too, nearest first, and why they are not chosen.
    pub others: Vec<Other>,
    /// How many of these are not shown.
    pub others_left_out: usize,
}

/// A request as routes and plugins see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The host in lower case, without port.
    pub host: String,
    /// The canonical path, which all decisions are made by.
    pub path: String,
    /// The client's address after trusted proxies were believed.
    pub client: String,
}

/// An answer of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Why.
    pub reason: String,
}

/// The route that is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chosen {
    /// Its key, such as `/routes/1`.
    pub key: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The pattern of its path that fits.
    pub uri: String,
    /// The pattern of its host that fits, if it has hosts.
    pub host: Option<String>,
    /// Parameters in the path.
    pub parameters: BTreeMap<String, String>,
    /// Its priority.
    pub priority: i64,
    /// Its service.
    pub service: Option<String>,
    /// Its plugin config.
    pub plugin_config: Option<String>,
}

/// A plugin that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Running {
    /// Its name.
    pub plugin: &'static str,
    /// The document that configures it.
    pub origin: String,
    /// Its place in the order.
    pub priority: i32,
    /// Phases of the request in which it takes part.
    pub phases: Vec<&'static str>,
    /// Whether it says who the client is.
    pub authenticates: bool,
    /// Why it does nothing for this request, if so.
    pub idle: Option<String>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The document that describes the upstream.
    pub key: String,
    /// The balancer.
    pub balancer: &'static str,
    /// Its nodes; the first of a long list.
    pub nodes: Vec<TargetNode>,
    /// How many there are.
    pub node_count: usize,
}

/// A node of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetNode {
    /// Host and port.
    pub address: String,
    /// Its weight.
    pub weight: u32,
    /// Its priority.
    pub priority: i64,
    /// What health checks say, where there are any.
    pub health: Option<&'static str>,
}

/// A route that is not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Other {
    /// Its key.
    pub key: String,
    /// Why it is not.
    pub reason: String,
}

/// Explains what would happen to a request under the configuration in force.
///
/// # Errors
/// The question itself cannot be asked.
pub async fn explain(flow: &Flow, options: &Options, question: &Question) -> Result<Explanation, BadQuestion> {
    let snapshot = flow.snapshot();
    let mut explanation = Explanation {
        revision: snapshot.revision(),
        request: None,
        answer: None,
        route: None,
        plugins: Vec::new(),
        upstream: None,
        others: Vec::new(),
        others_left_out: 0,
    };
    let arrived = match question.arrive(options)? {
        Ok(arrived) => arrived,
        Err(refused) => {
            explanation.answer = Some(refused);
            return Ok(explanation);
        }
    };
    let (shared, bodies) = (flow.shared(), Rc::new(flow.shared().bodies.clone()));
    let (received, bad_target) = request::receive(arrived.head, &arrived.client, &bodies, options);
    let Received { mut request, match_path, .. } = received;
    let client = request::client_addr(arrived.connection.peer, &request.fields, options);
    forwarded::arrive(&mut request, &arrived.connection, options);
    let directory: Rc<dyn Directory> = Rc::new(Held(snapshot.clone(), Weak::new()));
    let now = engine::now();
    let mut cx = Ctx::new(request, arrived.connection, client, directory, arrived.client, shared.clone(), now);
    explanation.request = Some(Seen {
        method: cx.request.method.as_str().to_owned(),
        host: cx.request.host.clone(),
        path: String::from_utf8_lossy(&cx.request.path).into_owned(),
        client: cx.client.ip().to_string(),
    });
    if let Some(bad) = bad_target {
        explanation.answer = Some(Answer { status: 400, reason: bad.reason().to_owned() });
        return Ok(explanation);
    }
    if let Err(error) = cx.request.gather(snapshot.routes().body_need()).await {
        explanation.answer = Some(Answer { status: 413, reason: error.to_string() });
        return Ok(explanation);
    }
    let matched = {
        let query = query(&cx, match_path.as_deref());
        let matched = snapshot.routes().find(&query, &cx);
        let winner = matched.as_ref().ok().and_then(Option::as_ref);
        (explanation.others, explanation.others_left_out) = others::explain(snapshot.routes(), &query, &cx, winner);
        matched
    };
    match matched {
        Err(fault) => {
            explanation.answer = Some(Answer { status: 500, reason: format!("a route's condition: {fault}") });
        }
        Ok(found) => {
            if let Some(found) = &found {
                cx.route = Some(found.route.facts.clone());
                cx.matched_uri = Some(found.uri.clone());
                cx.matched_host.clone_from(&found.host);
                cx.uri_params.clone_from(&found.parameters);
            }
            go_on(&mut explanation, found.as_ref(), &snapshot, &cx, question)?;
        }
    }
    Ok(explanation)
}

fn go_on(
    explanation: &mut Explanation,
    found: Option<&Match>,
    snapshot: &Snapshot,
    cx: &Ctx,
    question: &Question,
) -> Result<(), BadQuestion> {
    let route = found.map(|found| &found.route);
    explanation.route = found.map(chosen);
    let refused = |status, reason: String| Some(Answer { status, reason });
    if let Some(reason) = snapshot.closed() {
        explanation.answer = refused(503, format!("a global rule is broken, every request is refused: {reason}"));
        return Ok(());
    }
    if let Some(reason) = route.and_then(|route| route.quarantined.as_deref()) {
        explanation.answer = refused(503, format!("the route is quarantined: {reason}"));
        return Ok(());
    }
    if let Some(status) = route.and_then(|route| route.missing) {
        let what = if status == 404 { "service" } else { "plugin config" };
        explanation.answer = refused(status, format!("the route refers to a {what} that does not exist"));
        return Ok(());
    }
    let mut chain = route.map_or_else(EffectiveChain::none, EffectiveChain::of);
    if let Some(name) = &question.consumer {
        let consumer = snapshot.consumer(name).ok_or_else(|| BadQuestion::UnknownConsumer(name.clone()))?;
        if let Some((own, group)) = snapshot.consumer_chains(&consumer) {
            if let Some(id) = consumer.group_id.as_ref().filter(|_| group.is_none()) {
                explanation.answer = refused(503, format!("the consumer's group {id} does not exist"));
                return Ok(());
            }
            chain.overlay(own, group);
        }
    }
    let own = chain.slots();
    for slot in snapshot.global().slots() {
        let gives_way = chain::run::gives_way(slot, own);
        let idle = gives_way.then(|| "it gives way to the one below".to_owned());
        explanation.plugins.push(running(slot, cx, idle));
    }
    explanation.plugins.extend(own.iter().map(|slot| running(slot, cx, None)));
    let Some(route) = route else {
        explanation.answer = refused(404, "no route fits: 404 Route Not Found, after the global rules".to_owned());
        return Ok(());
    };
    match snapshot.upstream_of(route, None) {
        Ok(upstream) => explanation.upstream = Some(target(&upstream)),
        Err(status) => {
            let reason =
                "the route's upstream does not exist or cannot be used, unless a plugin answers or chooses another";
            explanation.answer = refused(status, reason.to_owned());
        }
    }
    Ok(())
}

fn chosen(found: &Match) -> Chosen {
    let CompiledRoute { facts, priority, .. } = &*found.route;
    let parameters = found.parameters.iter();
    Chosen {
        key: format!("/routes/{}", facts.id),
        name: Some(facts.name.to_string()).filter(|name| !name.is_empty()),
        uri: found.uri.to_string(),
        host: found.host.as_deref().map(str::to_owned),
        parameters: parameters.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value).into())).collect(),
        priority: *priority,
        service: facts.service_id.as_ref().map(|id| format!("/services/{id}")),
        plugin_config: facts.plugin_config_id.as_ref().map(|id| format!("/plugin_configs/{id}")),
    }
}

fn running(slot: &Slot, cx: &Ctx, idle: Option<String>) -> Running {
    let filter = slot.meta.filter.as_ref().map(|filter| filter.eval(cx));
    let filtered = match filter {
        Some(Ok(false)) => {
            Some("its _meta.filter does not hold (as far as can be said when the request arrives)".to_owned())
        }
        _ => None,
    };
    Running {
        plugin: slot.name,
        origin: slot.origin.to_string(),
        priority: slot.priority,
        phases: slot.hooks.phases(),
        authenticates: slot.class == PluginClass::Auth,
        idle: idle.or(filtered),
    }
}

fn target(upstream: &CompiledUpstream) -> Target {
    let nodes = upstream.all_nodes();
    Target {
        key: upstream.owner().to_owned(),
        balancer: upstream.balancer(),
        node_count: nodes.len(),
        nodes: nodes
            .iter()
            .take(NODES_SHOWN)
            .map(|node| TargetNode {
                address: node.address().to_owned(),
                weight: node.weight(),
                priority: node.priority(),
                health: node.health(),
            })
            .collect(),
    }
}
