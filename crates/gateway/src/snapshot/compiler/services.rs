//! Services, plugin configs and upstreams: what routes refer to.

use super::{Compiler, Wrong};
use crate::{chain::Chain, snapshot::UpstreamRef};
use model::documents;
use serde_json::Value;
use std::sync::Arc;

/// A service as compiled.
pub(super) struct CompiledService {
    pub(super) facts: (Option<Arc<str>>, Vec<Arc<str>>),
    pub(super) chain: Arc<Chain>,
    pub(super) upstream: UpstreamRef,
    pub(super) enable_websocket: Option<bool>,
}

/// A service that cannot be used. Its routes still match only on its hosts: were they lost, requests would go to another route
/// instead of being refused.
pub(super) struct BrokenService {
    pub(super) reason: String,
    pub(super) hosts: Vec<Arc<str>>,
}

impl BrokenService {
    pub(super) fn new(value: &Value, reason: &str) -> Self {
        let hosts = value.get("hosts").and_then(Value::as_array).into_iter().flatten();
        Self { reason: reason.to_owned(), hosts: hosts.filter_map(|host| host.as_str().map(Into::into)).collect() }
    }
}

impl Compiler {
    pub(super) fn service(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/services/{id}");
        let outcome = match new {
            None => {
                self.slots.remove(&owner);
                self.upstreams.forget(&owner);
                self.snapshot.homes.remove(owner.as_bytes());
                self.services.remove(id);
                Ok(())
            }
            Some(value) => self.compile_service(&owner, value).map(|service| {
                match &service.upstream {
                    UpstreamRef::None => {
                        self.snapshot.homes.remove(owner.as_bytes());
                    }
                    upstream => self.snapshot.homes.insert(owner.as_bytes(), upstream.clone()),
                }
                self.services.insert(id.to_owned(), Ok(service));
            }),
        };
        if let Err(wrong) = &outcome
            && !matches!(self.services.get(id), Some(Ok(_)))
            && let Some(value) = new
        {
            self.services.insert(id.to_owned(), Err(BrokenService::new(value, &wrong.message)));
        }
        self.rebuild_dependents("service", id);
        outcome
    }

    pub(super) fn compile_service(&mut self, owner: &str, value: &Value) -> Result<CompiledService, Wrong> {
        let written = documents::Service::load(value)?;
        if written.script.is_some() {
            return Err("script needs Lua, which this version does not have".to_owned().into());
        }
        let chain = Arc::new(self.chain(owner, &written.plugins, false)?);
        if written.upstream.is_none() || written.upstream_id.is_some() {
            self.upstreams.forget(owner);
        }
        let upstream = match (&written.upstream, &written.upstream_id) {
            (_, Some(id)) => UpstreamRef::Id(id.as_str().into()),
            (Some(upstream), None) => UpstreamRef::Inline(self.compile_upstream(upstream, owner)?),
            (None, None) => UpstreamRef::None,
        };
        Ok(CompiledService {
            facts: (
                written.name.as_deref().map(Into::into),
                written.hosts.iter().map(|host| host.as_str().into()).collect(),
            ),
            chain,
            upstream,
            enable_websocket: written.enable_websocket,
        })
    }

    pub(super) fn plugin_config(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/plugin_configs/{id}");
        let outcome = match new {
            None => {
                self.slots.remove(&owner);
                self.plugin_configs.remove(id);
                Ok(())
            }
            Some(value) => documents::PluginHolder::parse(documents::Kind::PluginConfig, value)
                .map_err(Wrong::from)
                .and_then(|written| self.chain(&owner, &written.plugins, false))
                .map(|chain| {
                    self.plugin_configs.insert(id.to_owned(), Ok(Arc::new(chain)));
                }),
        };
        if let Err(wrong) = &outcome
            && !matches!(self.plugin_configs.get(id), Some(Ok(_)))
        {
            self.plugin_configs.insert(id.to_owned(), Err(wrong.message.clone()));
        }
        self.rebuild_dependents("plugin_config", id);
        outcome
    }

    pub(super) fn upstream(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let owner = format!("/upstreams/{id}");
        let Some(value) = new else {
            self.upstreams.forget(&owner);
            self.snapshot.upstreams.remove(id.as_bytes());
            return Ok(());
        };
        let compiled = documents::Upstream::load(value)
            .map_err(Wrong::from)
            .and_then(|written| self.compile_upstream(&written, &owner).map_err(Wrong::from));
        match compiled {
            Ok(upstream) => {
                self.snapshot.upstreams.insert(id.as_bytes(), Some(upstream));
                Ok(())
            }
            Err(wrong) => {
                if !matches!(self.snapshot.upstreams.get(id.as_bytes()), Some(Some(_))) {
                    self.snapshot.upstreams.insert(id.as_bytes(), None);
                }
                Err(wrong)
            }
        }
    }
}
