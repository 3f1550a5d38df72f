//! Routes, merged with what they refer to.

use super::{CompiledService, Compiler, Problem, Written, Wrong};
use crate::{
    chain::Chain,
    route::{Conditions, UriPattern, network},
    snapshot::{CompiledRoute, UpstreamRef},
};
use model::{documents, settings::Router, vars::Expr};
use plugin::RouteFacts;
use serde_json::Value;
use std::sync::Arc;

/// A route as written.
pub(super) struct WrittenRoute {
    text: Arc<str>,
    /// The keys under which it waits for changes.
    references: Box<[String]>,
    /// Kept over its changes, so that an update does not send it behind its equals.
    pub(super) arrival: u64,
}

impl Compiler {
    pub(super) fn route(&mut self, id: &str, new: Option<&Written<'_>>) -> Result<(), Wrong> {
        let owner = format!("/routes/{id}");
        let Some(written) = new else {
            self.unplace(id);
            self.slots.remove(&owner);
            self.upstreams.forget(&owner);
            self.forget_dependent(id);
            self.written_routes.remove(id);
            return Ok(());
        };
        let arrival = self.remember(id, written);
        let value = written.value;
        match self.compile_route(id, &owner, value, arrival) {
            Ok(Some(route)) => {
                self.place(id, route);
                Ok(())
            }
            Ok(None) => {
                self.upstreams.forget(&owner);
                self.unplace(id);
                Ok(())
            }
            Err(wrong) => {
                // A route that was good stays as it was; one that never was is closed.
                if self.routes.get(id).is_none_or(|route| route.quarantined.is_some()) {
                    self.close(id, value, arrival, &wrong.message);
                }
                Err(wrong)
            }
        }
    }

    pub(super) fn compile_route(
        &mut self,
        id: &str,
        owner: &str,
        value: &Value,
        arrival: u64,
    ) -> Result<Option<CompiledRoute>, Wrong> {
        let written = documents::Route::load(value)?;
        if !written.is_enabled() {
            return Ok(None);
        }
        if written.filter_func.is_some() || written.script.is_some() {
            return Err("filter_func and script need Lua, which this version does not have".to_owned().into());
        }
        let conditions = conditions(&written)?;
        let own = self.chain(owner, &written.plugins, false)?;
        let inline = match &written.upstream {
            Some(upstream) => Some(self.compile_upstream(upstream, owner)?),
            None => {
                self.upstreams.forget(owner);
                None
            }
        };
        let service = written.service_id.as_ref().map(|id| self.services.get(id));
        let plugin_config = written.plugin_config_id.as_ref().map(|id| self.plugin_configs.get(id));
        let mut quarantined = None;
        let mut missing = None;
        let none = Arc::<Chain>::default();
        let mut service_hosts: &[Arc<str>] = &[];
        let service = match service {
            Some(Some(Ok(service))) => {
                service_hosts = &service.facts.1;
                Some(service)
            }
            Some(Some(Err(broken))) => {
                service_hosts = &broken.hosts;
                quarantined = Some(format!("its service: {}", broken.reason));
                None
            }
            Some(None) => {
                missing = Some(404);
                None
            }
            None => None,
        };
        let plugin_config = match plugin_config {
            Some(Some(Ok(chain))) => chain,
            Some(Some(Err(reason))) => {
                quarantined = Some(format!("its plugin config: {reason}"));
                &none
            }
            Some(None) => {
                missing = missing.or(Some(503));
                &none
            }
            None => &none,
        };
        let chain = match service {
            None if plugin_config.slots().is_empty() => own,
            service => Chain::merge([&own, plugin_config, service.map_or(&*none, |s| &s.chain)]),
        };
        // As in APISIX, an id comes before what is written beside it.
        let upstream = match (inline, &written.upstream_id, service) {
            (_, Some(id), _) => UpstreamRef::Id(id.as_str().into()),
            (Some(inline), None, _) => UpstreamRef::Inline(inline),
            (None, None, Some(service)) => service.upstream.clone(),
            (None, None, None) => UpstreamRef::None,
        };
        let mut hosts: Vec<Arc<str>> = written.hosts().map(Into::into).collect();
        if hosts.is_empty() {
            hosts.extend_from_slice(service_hosts);
        }
        Ok(Some(CompiledRoute {
            facts: Arc::new(RouteFacts {
                id: id.into(),
                name: written.name.as_deref().unwrap_or_default().into(),
                service_id: written.service_id.as_deref().map(Into::into),
                service_name: service.and_then(|s| s.facts.0.clone()),
                plugin_config_id: written.plugin_config_id.as_deref().map(Into::into),
            }),
            uris: written.uris().map(|uri| UriPattern::new(uri, self.snapshot.routes.router())).collect(),
            hosts,
            conditions,
            priority: written.priority,
            arrival,
            chain: Arc::new(chain),
            upstream,
            timeouts: written.timeout.as_ref().map(Into::into),
            enable_websocket: written
                .enable_websocket
                .or_else(|| service.and_then(|s| s.enable_websocket))
                .unwrap_or(false),
            quarantined,
            missing,
        }))
    }

    pub(super) fn place(&mut self, id: &str, route: CompiledRoute) {
        self.unplace(id);
        let route = Arc::new(route);
        let service = route.facts.service_id.as_ref().and_then(|id| self.services.get(&**id));
        if let Some(Ok(CompiledService { upstream: UpstreamRef::None, .. })) = service {
            self.snapshot.homes.insert(format!("/routes/{id}").as_bytes(), route.upstream.clone());
        }
        self.snapshot.routes.insert(&route);
        self.routes.insert(id.to_owned(), route);
    }

    pub(super) fn unplace(&mut self, id: &str) {
        if let Some(old) = self.routes.remove(id) {
            self.snapshot.routes.remove(&old);
            if old.facts.service_id.is_some() {
                self.snapshot.homes.remove(format!("/routes/{id}").as_bytes());
            }
        }
    }

    /// Closes a route: it matches where it did or would have, and answers 503.
    pub(super) fn close(&mut self, id: &str, value: &Value, arrival: u64, reason: &str) {
        if value.get("status").and_then(Value::as_i64) == Some(0) {
            return self.unplace(id);
        }
        let service = value.get("service_id").and_then(reference).and_then(|id| self.services.get(&id));
        let service_hosts = match service {
            Some(Ok(service)) => &service.facts.1[..],
            Some(Err(broken)) => &broken.hosts[..],
            None => &[],
        };
        let closed = closed_route(id, value, service_hosts, arrival, self.snapshot.routes.router(), reason);
        self.place(id, closed);
    }

    /// Remembers a route as written, and what it refers to; says when it arrived first.
    pub(super) fn remember(&mut self, id: &str, written: &Written<'_>) -> u64 {
        self.forget_dependent(id);
        let known = self.written_routes.get(id).map(|known| known.arrival);
        let arrival = written.order.or(known).unwrap_or(self.arrivals);
        self.arrivals = self.arrivals.max(arrival + 1);
        let references: Box<[String]> = references(written.value).collect();
        for at in &references {
            self.dependents.entry(at.clone()).or_default().insert(id.to_owned());
        }
        let written = WrittenRoute { text: written.text.clone(), references, arrival };
        self.written_routes.insert(id.to_owned(), written);
        arrival
    }

    /// Takes a route from what it refers to, before it is changed or forgotten.
    pub(super) fn forget_dependent(&mut self, id: &str) {
        let Some(written) = self.written_routes.get(id) else { return };
        for at in &written.references {
            if let Some(routes) = self.dependents.get_mut(at) {
                routes.remove(id);
                if routes.is_empty() {
                    self.dependents.remove(at);
                }
            }
        }
    }

    pub(super) fn rebuild_dependents(&mut self, kind: &str, id: &str) {
        for route in self.dependents.get(&format!("{kind}/{id}")).cloned().unwrap_or_default() {
            if let Some(text) = self.written_routes.get(&route).map(|written| written.text.clone()) {
                // It was written from a value.
                let value = serde_json::from_str(&text).unwrap_or_default();
                let path = format!("/routes/{route}");
                let place = self.problems.remove(&path).and_then(|problem| problem.place);
                if let Err(Wrong { path: json_path, message }) =
                    self.route(&route, Some(&Written { value: &value, text, order: None, place: place.clone() }))
                {
                    self.problems.insert(path.clone(), Problem { key: path, json_path, message, place });
                }
            }
        }
    }
}

fn conditions(written: &documents::Route) -> Result<Conditions, Wrong> {
    let mut clients = Vec::new();
    for text in written.remote_addrs() {
        let network = network(text)
            .ok_or_else(|| Wrong { path: "/remote_addr".to_owned(), message: format!("invalid ip address: {text}") })?;
        clients.push(network);
    }
    let vars = match &written.vars {
        None => None,
        Some(rule) => Some(Expr::compile(rule).map_err(|e| Wrong {
            path: "/vars".to_owned(),
            message: format!("failed to validate the 'vars' expression: {e}"),
        })?),
    };
    Ok(Conditions {
        methods: written.methods.iter().map(|m| m.as_str().into()).collect(),
        clients,
        vars: vars.filter(|expr| !expr.is_empty()),
    })
}

/// A route that never compiled: the conditions that can be read hold, the others count as true, and the answer is 503.
fn closed_route(
    id: &str,
    value: &Value,
    service_hosts: &[Arc<str>],
    arrival: u64,
    router: Router,
    reason: &str,
) -> CompiledRoute {
    let texts = |one: &str, many: &str| -> Vec<String> {
        let many = value.get(many).and_then(Value::as_array).into_iter().flatten();
        value.get(one).into_iter().chain(many).filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let mut uris: Vec<UriPattern> = texts("uri", "uris").iter().map(|uri| UriPattern::new(uri, router)).collect();
    if uris.is_empty() {
        uris.push(UriPattern::new("/*", router));
    }
    let mut hosts: Vec<Arc<str>> = texts("host", "hosts").iter().map(|host| host.as_str().into()).collect();
    if hosts.is_empty() {
        hosts.extend_from_slice(service_hosts);
    }
    CompiledRoute {
        facts: Arc::new(RouteFacts { id: id.into(), ..RouteFacts::default() }),
        uris,
        hosts,
        conditions: Conditions {
            methods: texts("", "methods").into_iter().map(Into::into).collect(),
            clients: texts("remote_addr", "remote_addrs").iter().filter_map(|text| network(text)).collect(),
            vars: value.get("vars").and_then(|rule| Expr::compile(rule).ok()).filter(|expr| !expr.is_empty()),
        },
        priority: value.get("priority").and_then(Value::as_i64).unwrap_or(0),
        arrival,
        chain: Arc::default(),
        upstream: UpstreamRef::None,
        timeouts: None,
        enable_websocket: false,
        quarantined: Some(reason.to_owned()),
        missing: None,
    }
}

/// The keys under which a route waits for changes of what it refers to.
fn references(route: &Value) -> impl Iterator<Item = String> {
    [("service", "service_id"), ("plugin_config", "plugin_config_id")]
        .into_iter()
        .filter_map(|(kind, field)| Some(format!("{kind}/{}", reference(route.get(field)?)?)))
}

fn reference(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|id| id.to_string()))
}
